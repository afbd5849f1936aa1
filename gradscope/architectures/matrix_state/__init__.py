"""Recurrences of a matrix state."""

from __future__ import annotations

from functools import partial

from gradscope.architectures.spec import ArchitectureSpec

_matrix_state = partial(ArchitectureSpec, "matrix-state")

MATRIX_STATE = {
    "deltanet": _matrix_state(
        home="gradscope.architectures.matrix_state.deltanet:DeltaNet",
        equation="S_t = (I - β k kᵀ) S_{t-1} + β k vᵀ; y_t = Sᵀ q / √d",
        paper="Schlag et al. 2021, arXiv:2102.11174; Yang et al. 2024, arXiv:2406.06484",
        gradient_path="k",
        parallelisable=True,
        state_size="H²",
        memory_dial="bias of the write strength",
    ),
}
