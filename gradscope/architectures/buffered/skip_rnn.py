"""Skip RNN: h_t = tanh(W x_t + U h_{t−1} + b) + α h_{t−k}."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.architectures.affine import add_affine, affine_axes
from gradscope.contract.block_matrix import BlockMatrix
from gradscope.contract.initializer import Initializer
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.contract.symmetry import Symmetry
from gradscope.numerics.activations import tanh
from gradscope.numerics.spectrum import dense_eigenvalues, dense_singular_values


class SkipRNN(Recurrence):
    """A vanilla RNN with an additive connection k steps back.

    The Markov state is (h_t, h_{t−1}, …, h_{t−k+1}); J_t is a block companion matrix with |det J_t| = |α|^H, so with
    α = 1 its spectral radius is never below 1 and the recurrence is marginal to explosive; α < 1 contracts.
    No memory dial: the same determinant fixes the geometric mean of |λ| at |α|^{1/k}, whatever the parameters are.
    Not the Skip RNN of Campos et al. (2018), which learns to skip updates.
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias: nn.Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        layer: int = 0,
        k: int = 4,
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size
        self.k, self.alpha, self.period = k, alpha, k
        buffers = tuple(Block(f"h_{lag}", (hidden_size,), is_buffer=True) for lag in range(1, k))
        self.state_spec = (Block("h", (hidden_size,)), *buffers)
        add_affine(self, "", hidden_size, input_size, hidden_size, initializer)
        self.symmetry = Symmetry(affine_axes("", "hidden", "hidden"), {"input": input_size, "hidden": hidden_size})

    def prepare(self, x: Tensor) -> Prepared:
        """W x_t + b."""
        return {"a": F.linear(x, self.weight_ih, self.bias)}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """The equation above; every buffer takes what the one before it held."""
        h, *earlier = s.values()
        new = tanh(u["a"] + F.linear(h, self.weight_hh)) + self.alpha * [h, *earlier][-1]
        return dict(zip(s, [new, h, *earlier], strict=False))

    def null_directions(self, start: int, stop: int) -> int:
        """With α = 0 the oldest copy goes nowhere: one more copy a step, until only h_t is left."""
        return 0 if self.alpha else min(stop - start, self.k - 1) * self.hidden_size

    def jacobian_eigenvalues(self, jacobian: BlockMatrix, step: int) -> Tensor:
        """For each eigenvalue μ of the inner Jacobian J_f the k roots of λ^k − μ λ^{k−1} − α."""
        if self.k == 1:
            return super().jacobian_eigenvalues(jacobian, step)
        mu = dense_eigenvalues(jacobian.dense(("h",)))
        if self.alpha == 0:
            return torch.cat([mu, mu.new_zeros((*mu.shape[:-1], (self.k - 1) * self.hidden_size))], dim=-1)
        companion = torch.diag(mu.new_ones(self.k - 1), -1).repeat(*mu.shape, 1, 1)
        companion[..., 0, 0] = mu
        companion[..., 0, -1] += self.alpha
        roots: Tensor = torch.linalg.eigvals(companion)
        return roots.flatten(-2)

    def jacobian_singular_values(self, jacobian: BlockMatrix, step: int) -> Tensor:
        """For each singular value σ of J_f those of [[σ, α], [1, 0]]; the copies that only move count 1."""
        if self.k == 1:
            return super().jacobian_singular_values(jacobian, step)
        sigma = dense_singular_values(jacobian.dense(("h",)))
        difference = torch.sqrt(((1 + abs(self.alpha)) ** 2 + sigma**2) * ((1 - abs(self.alpha)) ** 2 + sigma**2))
        largest = torch.sqrt((sigma**2 + 1 + self.alpha**2 + difference) / 2)
        moved = torch.ones_like(sigma).repeat_interleave(self.k - 2, dim=-1)
        return torch.cat([largest, moved, abs(self.alpha) / largest], dim=-1)
