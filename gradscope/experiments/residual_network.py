"""The deep network of the signal-propagation experiment: blocks of recurrence → GELU → GLU with a skip connection."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.architectures.diagonal.lru import LRU
from gradscope.architectures.gated.gru import GRU
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryGroups, grouped
from gradscope.contract.recurrence import Recurrence
from gradscope.contract.state import Block, Prepared, State
from gradscope.numerics.diagonal_scan import diagonal_scan


class ComplexRNN(Recurrence):
    """h_t = λ ⊙ h_{t−1} + B x_t,  y_t = Re(C h_t) + D ⊙ x_t: neither normalised nor reparametrised.

    λ is trained as real and imaginary part. λ, B, C and D start as the LRU's do with the same initializer.
    """

    def __init__(self, width: int, initializer: Initializer, *, r_min: float, r_max: float) -> None:
        super().__init__()
        self.input_size = self.output_size = width
        self.state_spec = (Block("h", (width,), is_complex=True),)
        drawn = LRU(width, width, initializer, r_min=r_min, r_max=r_max)
        modulus, angle = torch.exp(-torch.exp(drawn.nu_log.detach())), torch.exp(drawn.theta_log.detach())
        self.lambda_re = nn.Parameter(modulus * torch.cos(angle))
        self.lambda_im = nn.Parameter(modulus * torch.sin(angle))
        self.B_re, self.B_im, self.C_re, self.C_im, self.D = drawn.B_re, drawn.B_im, drawn.C_re, drawn.C_im, drawn.D

    def prepare(self, x: Tensor) -> Prepared:
        """λ and B x_t."""
        b = torch.complex(x @ self.B_re.t(), x @ self.B_im.t())
        return {"a": torch.complex(self.lambda_re, self.lambda_im).expand_as(b), "b": b, "x": x}

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """h_t = λ ⊙ h_{t−1} + B x_t."""
        return {"h": u["a"] * s["h"] + u["b"]}

    def readout(self, s: State, u: Prepared) -> Tensor:
        """Re(C h_t) + D ⊙ x_t."""
        return s["h"].real @ self.C_re.t() - s["h"].imag @ self.C_im.t() + self.D * u["x"]

    @property
    def memory_groups(self) -> MemoryGroups:
        """λ apart: its real and imaginary part mix modulus and angle."""
        own = {"lambda": ("lambda_re", "lambda_im")}
        return grouped(**own, input=("B_re", "B_im"), rest=("C_re", "C_im", "D"))


def _complex_rnn(width: int, modulus: float, initializer: Initializer) -> Recurrence:
    return ComplexRNN(width, initializer, r_min=modulus, r_max=(1 + modulus) / 2)


def _lru(width: int, modulus: float, initializer: Initializer) -> Recurrence:
    return LRU(width, width, initializer, r_min=modulus, r_max=(1 + modulus) / 2)


def _chrono_gru(width: int, modulus: float, initializer: Initializer) -> Recurrence:
    """Update gate's bias log U(T_min, T_max), T_min = 1/(1 − ν_0), T_max = 2 T_min (Tallec & Ollivier 2018)."""
    gru = GRU(width, width, initializer)
    time_constants = (1 + initializer.unit_uniform(width)) / (1 - modulus)
    update = slice(width, 2 * width)
    with torch.no_grad():
        gru.named("bias_ih")[update], gru.named("bias_hh")[update] = torch.log(time_constants), 0.0
    return gru


RECURRENCES: dict[str, Callable[[int, float, Initializer], Recurrence]] = {
    "cRNN": _complex_rnn,
    "lru": _lru,
    "gru": _chrono_gru,
}


class ResidualBlock(nn.Module):
    """x + (W_1 z + b_1) ⊙ σ(W_2 z + b_2), z = GELU(recurrence(x)); weights N(0, 1/width), biases 0."""

    def __init__(self, width: int, recurrence: Recurrence, initializer: Initializer) -> None:
        super().__init__()
        self.recurrence = recurrence
        self.value_weight = initializer.normal(width, width, std=1 / math.sqrt(width))
        self.gate_weight = initializer.normal(width, width, std=1 / math.sqrt(width))
        self.value_bias = nn.Parameter(torch.zeros(width, dtype=torch.float64))
        self.gate_bias = nn.Parameter(torch.zeros(width, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's and the recurrence's outputs for inputs with time first, ``(length, batch, width)``."""
        y = recurrent_outputs(self.recurrence, x)
        z = F.gelu(y)
        gate = torch.sigmoid(F.linear(z, self.gate_weight, self.gate_bias))
        return x + F.linear(z, self.value_weight, self.value_bias) * gate, y


class ResidualNetwork(nn.Module):
    """Linear encoder, blocks, linear decoder; weights N(0, 1/inputs), biases 0.

    The blocks are drawn after the encoder and before the decoder: a deeper network begins with the shallower one.
    """

    blocks: Any  # Sequence[ResidualBlock]; torch types its containers as Tensor | Module

    def __init__(
        self, recurrence: str, modulus: float, features: int, width: int, depth: int, initializer: Initializer
    ) -> None:
        super().__init__()
        self.encoder_weight = initializer.normal(width, features, std=1 / math.sqrt(features))
        self.encoder_bias = nn.Parameter(torch.zeros(width, dtype=torch.float64))
        make = RECURRENCES[recurrence]
        self.blocks = nn.ModuleList(
            ResidualBlock(width, make(width, modulus, initializer), initializer) for _ in range(depth)
        )
        self.decoder_weight = initializer.normal(features, width, std=1 / math.sqrt(width))
        self.decoder_bias = nn.Parameter(torch.zeros(features, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Predictions ``(length, batch, features)``, and the recurrences' outputs, bottom first."""
        x = F.linear(x, self.encoder_weight, self.encoder_bias)
        recurrent = []
        for block in self.blocks:
            x, y = block(x)
            recurrent.append(y)
        return F.linear(x, self.decoder_weight, self.decoder_bias), recurrent


def recurrent_outputs(layer: Recurrence, x: Tensor) -> Tensor:
    """Differentiable outputs of a layer for inputs with time first; no Python step by step where it is diagonal."""
    if isinstance(layer, (ComplexRNN, LRU)):
        u = layer.prepare(x)
        return layer.readout({layer.state_spec[0].name: diagonal_scan(u["a"], u["b"])}, u)
    outputs: Tensor = layer(x.transpose(0, 1)).transpose(0, 1)
    return outputs
