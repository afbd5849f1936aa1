"""The losses that have names; read without importing torch."""

from __future__ import annotations

LOSSES = (
    "last",  # ½‖y_T − target‖² with a random target
    "mean",  # ½‖y_t − target_t‖² averaged over all steps, random targets
    "last-probe",  # u·y_T with a random unit vector u
)
LAST_OUTPUT = ("last", "last-probe")  # those of the last output alone
