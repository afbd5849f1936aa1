"""The options of ``gradscope compare``, and what they stand for once they are read."""

from __future__ import annotations

from dataclasses import dataclass

from gradscope.errors import UnknownName
from gradscope.running.configuration import RunConfiguration
from gradscope.running.options import FLAG, MEASURE, POSITIVE, RESULT, WHAT, WORD, shared, shared_with_help
from gradscope.running.setting import Setting, with_defaults

OPTIONS = with_defaults(
    "compare",
    {
        **shared("arch", "lengths"),
        "relative_to": Setting(
            WORD,
            "ARCH",
            WHAT,
            "Also show the ratios of the gradients at step 1, and of the recurrent weights' gradients, to this row's.",
        ),
        **shared("hidden_size", "num_layers", "match", "checkpoint", "input", "data", "input_size", "batch", "loss"),
        "component": Setting(
            WORD,
            "NAME",
            MEASURE,
            "Whose norms and limits of dtypes are shown: h, c, x, <state>, …; each model's own when not given. Judged "
            "is <state> in any case.",
        ),
        "no_remedies": Setting(FLAG, "", MEASURE, "Do not try what may help where something is wrong."),
        **shared("seeds", "seed", "device", "dtype", "threads"),
        **shared_with_help("max_memory", "Refuse models without a recurrence that need more memory than this."),
        "clip_norm": Setting(
            POSITIVE, "C", RESULT, "Say by which factor clipping to this norm would shrink the weight gradients."
        ),
        **shared("format", "out", "every_step", "resume", "quiet"),
    },
)


@dataclass(frozen=True, kw_only=True)
class CompareConfiguration(RunConfiguration):
    """Every option of ``gradscope compare`` with its value."""

    command = "compare"
    lengths: tuple[int, ...]
    relative_to: str | None
    loss: str
    component: str | None
    no_remedies: bool
    clip_norm: float | None

    @property
    def longest(self) -> int:
        """The longest sequence."""
        return self.lengths[-1]

    def check_together(self, prefix: str) -> None:
        """Raises :class:`UsageError` for two options that do not fit together."""
        labels = [choice.label for choice in self.arch]
        if self.relative_to is not None and self.relative_to not in labels:
            raise UnknownName(f"row for {prefix}relative-to in this comparison", self.relative_to, labels)
        super().check_together(prefix)
