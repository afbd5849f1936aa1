"""Assembles the result of a gradient measurement from the pieces that a reverse pass delivers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gradscope.contract.component import layer_of
from gradscope.contract.model import Model
from gradscope.measurements.gradient_result import GradientNorms, RecurrentWeightSteps, Status
from gradscope.measurements.verdict import Zeros
from gradscope.numerics.logarithms import log10_root_sum_square


class Record:
    """Norms by length, sample and step, blank until they are put in.

    Args:
        lengths: The lengths in the user's order.
        batch: Number of samples.
        names: Components asked for, with ``x`` and ``<state>``.
        model: The model measured.
        largest_entries: Whether their largest entries are recorded too.
    """

    def __init__(
        self, lengths: tuple[int, ...], batch: int, names: Sequence[str], model: Model, *, largest_entries: bool
    ) -> None:
        self.lengths, self.model, self._batch = lengths, model, batch
        self.norms = {name: self.blank(max(lengths)) for name in names}
        self.largest = {name: self.blank(max(lengths)) for name in names} if largest_entries else {}
        self.shares: Tensor | None = None
        self.weights: dict[str, Tensor] = {}
        self.recurrent_parameters: tuple[str, ...] = ()
        self.last_output = self.blank()

    def blank(self, *steps: int) -> Tensor:
        """NaN, ``(lengths, batch, *steps)``."""
        return torch.full((len(self.lengths), self._batch, *steps), math.nan, dtype=torch.float64)

    def result(self) -> GradientNorms:
        """The frozen result, its zeros not told apart yet."""
        none: Zeros = ""
        recurrent = [self.weights[name] for name in self.recurrent_parameters if name in self.weights]
        shares = None
        if self.shares is not None and recurrent:
            shares = RecurrentWeightSteps(self.shares, log10_root_sum_square(torch.stack(recurrent)))
        return GradientNorms(
            lengths=self.lengths,
            primary_component=self.model.primary_component,
            reference_lag=self.model.reference_lag,
            log10_norm=self.norms,
            log10_largest_entry=self.largest,
            log10_last_output_gradient=self.last_output,
            log10_weight_gradient_norm=self.weights,
            recurrent_weight_steps=shares,
            layers={name: layer_of(name) for name in self.norms},
            status=tuple(self._status(index, length) for index, length in enumerate(self.lengths)),
            zeros=(none,) * len(self.lengths),
        )

    def _status(self, index: int, length: int) -> Status:
        """``non-finite`` where a norm is infinite or no number; what zeros are is found out later."""
        rows = [norm[index, :, :length] for norm in self.norms.values()]
        weights = [norm[index] for norm in self.weights.values()]
        return "non-finite" if any(bool((row.isnan() | row.isposinf()).any()) for row in (*rows, *weights)) else "ok"
