"""How well the last output can learn from the first input, from gradients before training."""

from __future__ import annotations

import math

import numpy as np

from gradscope.contract.component import INPUT
from gradscope.measurements.gradient_result import GradientNorms

LEAST_MOVED = -1.5  # log10


def forecast_of(result: GradientNorms, index: int) -> float:
    """The forecast of one length, in decades; higher is better.

    Definition:
        log10 of ‖g_1‖ / (‖g_T‖ Σ_t ‖g_t‖), g_t = ∂L/∂x_t under a probe of the last output, of norm 1, and T the last
        step that counts (the one before last where the last input has a direct path); the median over the batch, for
        the typical sample decides and not the loudest. ‖g_1‖ / ‖g_T‖ is what is carried to the first input, growth
        included. Σ_t ‖g_t‖ is how far all inputs, noise but for the first, move the output: far drowns the first; what
        moves it by less than 3 % of a unit counts as so much.

    It is in units of one output for inputs of unit variance: models are compared on the same inputs.
    ``benchmarks/trainability.py`` trains recall of the first input and says how well the forecast ranks what learns.

    Args:
        result: Under a loss of the last output.
        index: Of the length.

    Returns:
        −inf where nothing arrives at step 1; NaN where ``x`` was not measured, or nothing arrives at step T.
    """
    if INPUT not in result.log10_norm:
        return math.nan
    counted = result.log10_norm[INPUT][index, :, : result.lengths[index]].numpy()
    counted = counted - result.log10_last_output_gradient[index].numpy()[:, None]
    counted = counted[:, : max(1, counted.shape[1] - result.reference_lag)]
    first, last, largest = counted[:, 0], counted[:, -1], counted.max(axis=1)
    with np.errstate(invalid="ignore"):  # where nothing arrives at all
        total = largest + np.log10(np.sum(10.0 ** (counted - largest[:, None]), axis=1))
        each = np.where(np.isneginf(last), np.nan, first - last - np.maximum(total, LEAST_MOVED))
        return float(np.median(np.where(np.isneginf(first), -np.inf, each)))
