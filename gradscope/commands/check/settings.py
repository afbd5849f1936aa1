"""The keys of a case, which are options of ``gradscope compare`` where they have the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradscope.running.defaults import CASE_INPUT_SIZE
from gradscope.running.options import POSITIVE, WHAT, shared, shared_with_help
from gradscope.running.setting import Setting, some_of, with_defaults

GATES = ("gradients", "slope", "weights", "exponent", "radius", "sensitivity")


def _gate(shown: str, value: Any, folder: Path) -> tuple[str, ...]:
    """One or more names of quantities, in the order of ``GATES``."""
    chosen = some_of("quantity to gate", GATES)(shown, value, folder)
    return tuple(gate for gate in GATES if gate in chosen)


CASE = with_defaults(
    "check",
    {
        **shared("arch", "lengths"),
        "gate": Setting(
            _gate,
            "A,B,…",
            WHAT,
            "What is compared: gradients (log10 norms at about 16 steps of each length), slope, weights (log10 norms "
            "of weight gradients), exponent (Lyapunov), radius (spectral), sensitivity.",
        ),
        "tolerance": Setting(
            POSITIVE,
            "DECADES",
            WHAT,
            "Differences up to this many decades are no change; at least 0.01 and ten times the measured noise.",
        ),
        **shared("hidden_size", "num_layers", "input"),
        **shared_with_help("input_size", f"Features of the input: {CASE_INPUT_SIZE}, or what the input fixes."),
        **shared("batch", "loss", "seeds", "seed"),
    },
)
