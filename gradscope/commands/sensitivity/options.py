"""The options of ``gradscope sensitivity``, and what they stand for once they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from gradscope.commands.sensitivity.lambdas import parse_lambdas
from gradscope.errors import UsageError
from gradscope.running import values
from gradscope.running.configuration import RunConfiguration
from gradscope.running.options import COUNT, FLAG, WHAT, shared, shared_with_help
from gradscope.running.setting import Setting, one_of, some_of, with_defaults, without_folder

PARAMETRIZATIONS = ("direct", "exp-exp", "sigmoid", "softplus", "tanh", "log-delta", "polar")
NORMALIZATIONS = ("none", "sqrt", "exact", "coupled")
GAMMAS = ("detached", "attached")
BLOCKS = ("residual",)

LONGEST_SCALAR, LONGEST_MODEL = 100_000, 10_000
TIME_CONSTANTS = 10  # steps that auto takes, in units of 1/(1 − λ)
DEPTH_STEPS = 512  # that auto takes for deep networks; the paper's

OPTIONS = with_defaults(
    "sensitivity",
    {
        **shared("arch"),
        "lambda_": Setting(
            lambda shown, value, folder: parse_lambdas(shown, values.joined_words(shown, value, fractions=True)),
            "SPEC",
            WHAT,
            "Moduli of λ: 0.9,0.99; 0.9..0.9999 is five values log-spaced in 1 − λ; 0.9..0.9999:7 seven.",
        ),
        "length": Setting(
            without_folder(values.count_or_auto),
            "T|auto",
            WHAT,
            f"Steps; auto takes {TIME_CONSTANTS}/(1 − λ), up to {LONGEST_SCALAR:,} for the scalar law and "
            f"{LONGEST_MODEL:,} for architectures.",
        ),
        "samples": Setting(
            without_folder(lambda shown, value: values.whole_number(shown, value, minimum=2)),
            "N",
            WHAT,
            "Sequences of the scalar law.",
        ),
        "parametrization": Setting(
            some_of("parametrization", PARAMETRIZATIONS),
            "A,B,…",
            WHAT,
            f"Of the scalar law's λ(ω): {', '.join(PARAMETRIZATIONS)} (the angle).",
        ),
        "normalization": Setting(
            some_of("normalization", NORMALIZATIONS),
            "A,B,…",
            WHAT,
            "Of the scalar law's input, γ(λ): none; sqrt √(1 − |λ|²); exact E|h|² = 1; coupled 1 − |λ|.",
        ),
        "gamma": Setting(one_of("gamma", GAMMAS), "|".join(GAMMAS), WHAT, "Whether dh/dω goes through γ too."),
        "second": Setting(FLAG, "", WHAT, "Also E|d²h/dω²|², with γ detached."),
        "landscape": Setting(FLAG, "", WHAT, "Also the loss surface over ω of a student λ that learns a teacher λ*."),
        "hessian": Setting(
            FLAG,
            "",
            WHAT,
            "Also the curvature of linear students at their teacher, and the learning rates that Adam ends up with "
            "there.",
        ),
        "teacher": Setting(without_folder(values.fraction), "λ*", WHAT, "The teacher of --landscape and --hessian."),
        "depth": Setting(
            COUNT,
            "N",
            WHAT,
            "Also the signal through N blocks at initialisation, layer by layer: complex RNN, LRU, GRU with chrono "
            "initialisation; |λ| from each value of --lambda half-way up to 1; wiki-like input when nothing is given.",
        ),
        "block": Setting(
            one_of("block", BLOCKS), "|".join(BLOCKS), WHAT, "The block of --depth: x + GLU(GELU(recurrence))."
        ),
        **shared("hidden_size", "num_layers"),
        **shared_with_help(
            "input",
            "white (when nothing is given), ar1:rho=0.9, constant, wiki-like; adding or copy for architectures alone.",
        ),
        **shared("data", "input_size"),
        **shared_with_help("batch", "Sequences of each architecture, λ and seed."),
        **shared_with_help(
            "seeds", "Draws of weights; their scatter is the error of an architecture's exponents, which one has not."
        ),
        **shared("seed", "device", "dtype", "threads", "format", "out", "resume", "quiet"),
    },
)


@dataclass(frozen=True, kw_only=True)
class SensitivityConfiguration(RunConfiguration):
    """Every option of ``gradscope sensitivity`` with its value.

    Attributes:
        lambda_: Moduli, ascending.
        length: 0 for auto.
        second: Whether E|d²h/dω²|² is measured.
        landscape: Whether the loss surface around ``teacher`` is drawn.
        hessian: Whether the curvature around ``teacher`` is measured.
        depth: Blocks of the deep networks; None for no deep network.
        most_steps: That there are; a plan sets it where the data have fewer than auto would take.
    """

    command = "sensitivity"
    match: str = "hidden"
    checkpoint: Path | None = None
    max_memory: float = math.inf
    every_step: bool = False
    lambda_: tuple[float, ...]
    length: int
    samples: int
    parametrization: tuple[str, ...]
    normalization: tuple[str, ...]
    gamma: str
    second: bool
    landscape: bool
    hessian: bool
    teacher: float
    depth: int | None
    block: str
    most_steps: int = LONGEST_SCALAR

    @property
    def longest(self) -> int:
        """The longest sequence that a model reads."""
        return max(self.lengths(LONGEST_MODEL))

    def lengths(self, longest: int) -> tuple[int, ...]:
        """Steps for each λ: as given, or ten time constants up to a limit."""
        if self.length:
            return (self.length,) * len(self.lambda_)
        longest = min(longest, self.most_steps)
        return tuple(min(longest, math.ceil(TIME_CONSTANTS / (1 - modulus) - 1e-6)) for modulus in self.lambda_)

    def check_together(self, prefix: str) -> None:
        """Raises :class:`UsageError` for two options that do not fit together."""
        super().check_together(prefix)
        if self.second and self.gamma == "attached":
            raise UsageError(f"{prefix}second is E|d²h/dω²|² with γ detached; leave {prefix}gamma attached out.")
