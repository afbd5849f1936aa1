"""Parameters of one affine map W x + U h + b, as the dense cells hold them."""

from __future__ import annotations

import math

from torch import nn

from gradscope.contract.initializer import Initializer


def add_affine(
    module: nn.Module, suffix: str, rows: int, input_size: int, hidden_size: int, initializer: Initializer
) -> None:
    """Registers ``weight_ih{suffix}``, ``weight_hh{suffix}`` and one ``bias{suffix}``, all U(±1/√hidden_size)."""
    bound = 1 / math.sqrt(hidden_size)
    module.register_parameter(f"weight_ih{suffix}", initializer.uniform(rows, input_size, bound=bound))
    module.register_parameter(f"weight_hh{suffix}", initializer.uniform(rows, hidden_size, bound=bound))
    module.register_parameter(f"bias{suffix}", initializer.uniform(rows, bound=bound))


def affine_axes(suffix: str, rows: str, hidden: str) -> dict[str, str]:
    """Axes of these parameters, for a symmetry: ``rows`` are those of W, U and b, ``hidden`` what U is applied to."""
    return {f"weight_ih{suffix}": f"{rows} input", f"weight_hh{suffix}": f"{rows} {hidden}", f"bias{suffix}": rows}
