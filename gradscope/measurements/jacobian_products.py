"""Products ∂s_T/∂s_t of the state Jacobians: what the whole way back through time does to a gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gradscope.dynamics.linearize import Linearization
from gradscope.errors import Unmeasurable, UsageError
from gradscope.measurements.conditions import full_precision, linearize, measurement, overflow_step, whole_numbers
from gradscope.measurements.description import Described, Description, counted, middle, number, overflowed, shape
from gradscope.measurements.lags import LAGS_SHOWN, sampled_lags
from gradscope.measurements.tidy import tidy
from gradscope.numerics.logarithms import log10_root_sum_square

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class JacobianProducts(Described):
    """Of ∂s_T/∂s_t = J_T ⋯ J_{t+1}, the whole state.

    It prints as medians over the samples at some lags.

    Attributes:
        length: T.
        lags: T − t, ascending.
        log10_largest_singular_value: The 2-norm, ``(batch, lags)`` float64.
        log10_smallest_singular_value: Shaped alike; −inf for a product that is singular by construction, NaN where it
            is rounding.
        log10_frobenius_norm: Shaped alike.
        overflow_step: The step from which on states are not finite, and the norms NaN; None for none.
    """

    length: int
    lags: tuple[int, ...]
    log10_largest_singular_value: Tensor
    log10_smallest_singular_value: Tensor
    log10_frobenius_norm: Tensor
    overflow_step: int | None

    @property
    def steps(self) -> tuple[int, ...]:
        """t of each product."""
        return tuple(self.length - lag for lag in self.lags)

    @property
    def stable_rank(self) -> Tensor:
        """‖·‖_F² / ‖·‖₂², ``(batch, lags)``: how many directions share the gain."""
        return 10.0 ** (2 * (self.log10_frobenius_norm - self.log10_largest_singular_value))

    def to_dataframe(self) -> pd.DataFrame:
        """One row a sample and lag, with the columns of ``products.csv``."""
        names = ("log10_largest_singular_value", "log10_smallest_singular_value", "log10_frobenius_norm", "stable_rank")
        frame = tidy(("sample", "step"), {name: getattr(self, name) for name in names}, {"step": self.steps})
        frame.insert(2, "steps_back", self.length - frame["step"])
        return frame

    def plot(self, **options: Any) -> Figure:
        """Largest and smallest singular value against steps back, means over the samples.

        Args:
            options: Passed on to matplotlib's ``Figure``.
        """
        from gradscope.measurements.singular_value_figure import plot_singular_values

        title = "The whole way back: singular values of ∂s_T/∂s_t"
        return plot_singular_values(self.to_dataframe().assign(arch="∂s_T/∂s_t", seed=0), title, **options)

    def _description(self) -> Description:
        quantities = (
            self.log10_largest_singular_value,
            self.log10_smallest_singular_value,
            self.log10_frobenius_norm,
            self.stable_rank,
        )
        rows = [
            [str(self.lags[index]), *(number(middle(values[:, index])) for values in quantities)]
            for index in sampled_lags(len(self.lags), LAGS_SHOWN)
        ]
        largest = self.log10_largest_singular_value
        samples = counted(len(largest), "sample")
        return Description(
            f"∂s_T/∂s_t at T = {self.length:,}: log10 of its singular values, medians over {samples}",
            rows,
            ("steps\nback", "largest\nlog10", "smallest\nlog10", "Frobenius norm\nlog10", "stable\nrank"),
            texts=(),
            remarks=(
                f"log10_largest_singular_value {shape(largest)}, the others alike",
                *overflowed(self.overflow_step),
            ),
        )


@measurement
def jacobian_products(model: nn.Module, x: Tensor, lags: Sequence[int] | None = None) -> JacobianProducts:
    """Norms of ∂s_T/∂s_t for all t, exact at any length by scaled arithmetic.

    ‖(∂s_T/∂s_t)ᵀ g‖ is the gradient at s_t of a loss whose gradient at s_T is g: it lies between the smallest and the
    largest singular value times ‖g‖. The smallest one comes from the product of the inverses.

    Args:
        model: A recurrent model, or a module that is one for :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.
        lags: Which T − t, from 1 to T; all by default.

    Returns:
        Singular values and norms as log10.

    Raises:
        NoRecurrentState: The model has no recurrent state (a transformer, a sequence module).
        UsageError: Lags outside the sequence, or inputs that do not fit.

    Cost:
        O(T n³) for a dense J_t, O(T n) for a diagonal one; memory of a few matrices.

    Example:
        >>> import gradscope
        >>> model = gradscope.build("linear-rnn", input_size=1, hidden_size=4, init="orthogonal", radius=0.5)
        >>> x = gradscope.make_inputs("white", batch=1, length=1001, input_size=1)
        >>> products = gradscope.jacobian_products(model, x)
        >>> round(float(products.log10_smallest_singular_value[0, 999]), 2)  # 1000 log10(1/2)
        -301.03
    """
    linearization = linearize(model, x)
    return products_of(linearization, checked_lags(lags, linearization.length))


def products_of(linearization: Linearization, lags: Sequence[int]) -> JacobianProducts:
    """:func:`jacobian_products` along a trajectory that is at hand."""
    overflow = overflow_step(linearization)
    large = [part.size for part in linearization.coupled if part.is_too_large]
    if large:
        raise Unmeasurable(
            f"The joint state of the layers has {large[0]:,} numbers; its products would take too long. Measure one "
            "layer, or a smaller state."
        )
    if overflow is not None:
        nothing = torch.full((linearization.recurrences[0].batch, len(lags)), math.nan, dtype=torch.float64)
        return JacobianProducts(linearization.length, tuple(lags), nothing, nothing, nothing, overflow)
    with full_precision():
        parts = [part.product_norms(lags) for part in linearization.coupled]
    largest = torch.stack([part.log10_largest_singular_value for part in parts]).amax(0)
    smallest = torch.stack([part.log10_smallest_singular_value for part in parts]).amin(0)
    frobenius = log10_root_sum_square(torch.stack([part.log10_frobenius_norm for part in parts]))
    return JacobianProducts(linearization.length, parts[0].lags, largest.mT, smallest.mT, frobenius.mT, None)


def checked_lags(lags: Sequence[int] | None, length: int) -> tuple[int, ...]:
    """Lags in ascending order, all of them by default.

    Raises:
        UsageError: None, or one outside the sequence.
    """
    if lags is None:
        return tuple(range(1, length + 1))
    asked = sorted(set(whole_numbers(lags, "Lags")))
    if not asked or asked[0] < 1 or asked[-1] > length:
        raise UsageError(f"Lags should lie from 1 to {length}, the length of the sequence, but {asked} was given.")
    return tuple(asked)
