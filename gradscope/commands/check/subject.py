"""What is measured: a model for every seed, its inputs, and which numbers are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gradscope.contract.model import Model
from gradscope.inputs.catalogue import INPUTS
from gradscope.inputs.make import make_inputs
from gradscope.measurements.losses import Loss
from gradscope.running.input_choice import InputChoice


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, and how its gradients are measured.

    Attributes:
        make: Seed to a model in float64 on the CPU that nobody else holds.
        lengths: Ascending.
        gate: Which quantities.
    """

    make: Callable[[int], Model]
    lengths: tuple[int, ...]
    gate: tuple[str, ...]
    input: InputChoice
    input_size: int
    batch: int
    loss: str

    @property
    def runs(self) -> tuple[tuple[int, ...], ...]:
        """Lengths that share an input: all of them where a shorter input is the beginning of a longer one."""
        return (self.lengths,) if INPUTS[self.input.kind].prefix_stable else tuple((T,) for T in self.lengths)

    def loss_of(self, seed: int) -> Loss:
        """The loss, whose targets and probes belong to the seed."""
        return self.loss

    def inputs(self, length: int, seed: int) -> Tensor:
        """``(batch, length, input_size)``, float64."""
        return make_inputs(
            self.input.kind,
            batch=self.batch,
            length=length,
            input_size=self.input_size,
            seed=seed,
            dtype=torch.float64,
            device="cpu",
            **dict(self.input.options),
        )
