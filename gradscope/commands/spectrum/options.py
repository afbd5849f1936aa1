"""The options of ``gradscope spectrum``, and what they stand for once they are read."""

from __future__ import annotations

from dataclasses import dataclass

from gradscope.commands.spectrum.steps import StepChoice, parse_steps
from gradscope.running import values
from gradscope.running.configuration import RunConfiguration
from gradscope.running.options import COUNT, FLAG, WHAT, shared, shared_with_help
from gradscope.running.setting import Setting, with_defaults, without_folder

PRODUCT_LAGS = 40  # products ∂s_T/∂s_t are taken at so many log-spaced lags unless every step is asked for

OPTIONS = with_defaults(
    "spectrum",
    {
        **shared("arch"),
        "length": Setting(COUNT, "T", WHAT, "Steps of the sequence that drives the recurrence."),
        "steps": Setting(
            lambda shown, value, folder: parse_steps(shown, values.joined_words(shown, value)),
            "SPEC",
            WHAT,
            "At which steps J_t is decomposed: 10,50,200; every:20; last.",
        ),
        "lyapunov": Setting(
            without_folder(values.count_or_all), "K|all", WHAT, "How many leading Lyapunov exponents of each layer."
        ),
        "warm_up": Setting(
            without_folder(lambda shown, value: values.whole_number(shown, value, minimum=0)),
            "W",
            WHAT,
            "Steps before the exponents are measured; a period that does not fit makes it longer.",
        ),
        "temporal": Setting(FLAG, "", WHAT, "Also the temporal Jacobian ∂y_T/∂x_t, of every architecture (slower)."),
        "no_products": Setting(FLAG, "", WHAT, "Leave out the products ∂s_T/∂s_t."),
        "leading": Setting(
            COUNT,
            "K",
            WHAT,
            "Only the K leading eigenvalues and singular values, by iteration; 16 for dense states above 512 numbers.",
        ),
        **shared("hidden_size", "num_layers", "match", "checkpoint", "input", "data", "input_size", "batch"),
        **shared("seeds", "seed", "device", "dtype", "threads", "max_memory", "format", "out"),
        **shared_with_help("every_step", f"Products ∂s_T/∂s_t at every lag, not at {PRODUCT_LAGS} log-spaced ones."),
        **shared("resume", "quiet"),
    },
)


@dataclass(frozen=True, kw_only=True)
class SpectrumConfiguration(RunConfiguration):
    """Every option of ``gradscope spectrum`` with its value.

    Attributes:
        lyapunov: How many leading exponents of each layer; 0 for all.
        leading: How many leading eigenvalues; None for all that a dense solver can give.
    """

    command = "spectrum"
    length: int
    steps: StepChoice
    lyapunov: int
    warm_up: int
    temporal: bool
    no_products: bool
    leading: int | None

    @property
    def longest(self) -> int:
        """The one sequence."""
        return self.length

    def check_together(self, prefix: str) -> None:
        """Raises :class:`UsageError` for two options that do not fit together."""
        self.steps.of_length(self.length)
        super().check_together(prefix)
