"""Models without a recurrent state: attention, convolutions, a user's sequence module."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from gradscope.contract.model import Model


class SequenceModel(Model):
    """A causal map of whole sequences; what is measured are gradients at its nodes, from one backward pass.

    Nodes are tensors ``(batch, length, features)`` that a later layer consumes, such as the residual stream entering
    each layer; never the model's own output, whose gradient is zero before the last step by construction.
    """

    reference_lag: ClassVar[int] = 1

    def forward_with_nodes(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The outputs and the nodes of one forward pass, all in one autograd graph."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """The outputs alone."""
        return self.forward_with_nodes(x)[0]

    def working_bytes(self, batch: int, length: int) -> int:
        """Estimate of the memory that a forward and backward pass needs, in bytes; 0 where it is not known."""
        return 0
