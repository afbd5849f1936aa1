"""Causal pre-norm Transformer (Vaswani et al. 2017; initialisation of GPT-2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradscope.contract.component import in_layer
from gradscope.contract.initializer import Initializer
from gradscope.contract.sequence import SequenceModel
from gradscope.contract.symmetry import Symmetry, joined
from gradscope.errors import UsageError

MAX_DEFAULT_HEADS = 4


class Transformer(SequenceModel):
    """Input projection, sinusoidal positions, ``num_layers`` pre-norm layers, final LayerNorm.

    Each layer: r ← r + Attention(LayerNorm(r)), r ← r + W_2 gelu(W_1 LayerNorm(r)). Weights N(0, 0.02²), those that
    write to the residual stream r divided by √(2 num_layers), biases 0. Its nodes are the residual stream entering each
    layer; it has no recurrent state.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        num_layers: int = 1,
        heads: int = 0,
        ff: int = 4,
    ) -> None:
        super().__init__()
        heads = heads or max(n for n in range(1, MAX_DEFAULT_HEADS + 1) if hidden_size % n == 0)
        if hidden_size % heads:
            raise UsageError(f"transformer: heads={heads} should divide the hidden size, which is {hidden_size}.")
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size
        self.num_layers, self.heads, self.ff = num_layers, heads, ff
        self.weight_in = initializer.normal(hidden_size, input_size, std=1 / math.sqrt(input_size))
        writing = 0.02 / math.sqrt(2 * num_layers)
        self.layers = nn.ModuleList(_Layer(hidden_size, ff, heads, initializer, writing) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size, dtype=torch.float64)
        self.symmetry = self._symmetry()

    def _symmetry(self) -> Symmetry:
        """Of the inner units of every layer: the residual stream carries positions and stays."""
        axes = {"weight_in": "stream input", "norm.weight": "stream", "norm.bias": "stream"}
        sizes = {"input": self.input_size, "stream": self.hidden_size}
        outside = Symmetry(axes, sizes, outputs="stream", fixed=frozenset({"stream"}))
        layer = _layer_symmetry(self.hidden_size, self.ff, self.heads)
        layers = (
            layer.placed(f"layers.{index}.", f"_l{index}", {"stream": "stream"}) for index in range(self.num_layers)
        )
        return joined([outside, *layers])

    def forward_with_nodes(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Outputs, and the residual stream entering each layer."""
        stream = F.linear(x, self.weight_in)
        stream = stream + _sinusoids(x.shape[1], self.hidden_size).to(stream)
        nodes = {}
        for name, layer in zip(self.components, self.layers, strict=True):
            nodes[name] = stream
            stream = layer(stream)
        return self.norm(stream), nodes

    @property
    def components(self) -> tuple[str, ...]:
        """``residual``, or ``residual_l0``, ``residual_l1``, … with several layers."""
        if self.num_layers == 1:
            return ("residual",)
        return tuple(in_layer("residual", index) for index in range(self.num_layers))

    @property
    def primary_component(self) -> str:
        """The stream entering the first layer."""
        return self.components[0]

    def working_bytes(self, batch: int, length: int) -> int:
        """Attention weights dominate: every layer keeps its own, one layer at a time works on three copies."""
        number = self.weight_in.element_size()
        attention = (self.num_layers + 3) * self.heads * length**2
        streams = self.num_layers * (12 + 3 * self.ff) * self.hidden_size * length
        masks = self.num_layers * length**2  # one byte each
        return number * batch * (attention + streams) + masks


class _Layer(nn.Module):
    def __init__(self, size: int, ff: int, heads: int, initializer: Initializer, writing: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(size, dtype=torch.float64)  # as the initializer's, until the model is cast
        self.norm_2 = nn.LayerNorm(size, dtype=torch.float64)
        self.weight_qkv = initializer.normal(3 * size, size, std=0.02)
        self.bias_qkv = nn.Parameter(torch.zeros(3 * size, dtype=torch.float64))
        self.weight_o = initializer.normal(size, size, std=writing)
        self.bias_o = nn.Parameter(torch.zeros(size, dtype=torch.float64))
        self.weight_1 = initializer.normal(ff * size, size, std=0.02)
        self.bias_1 = nn.Parameter(torch.zeros(ff * size, dtype=torch.float64))
        self.weight_2 = initializer.normal(size, ff * size, std=writing)
        self.bias_2 = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, stream: Tensor) -> Tensor:
        stream = stream + F.linear(self._attention(self.norm_1(stream)), self.weight_o, self.bias_o)
        inner = F.gelu(F.linear(self.norm_2(stream), self.weight_1, self.bias_1))
        return stream + F.linear(inner, self.weight_2, self.bias_2)

    def _attention(self, x: Tensor) -> Tensor:
        qkv = F.linear(x, self.weight_qkv, self.bias_qkv).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, length, head size) each
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # softmax(q kᵀ / √d + mask) v
        return mixed.transpose(1, 2).flatten(2)


def _layer_symmetry(size: int, ff: int, heads: int) -> Symmetry:
    """Heads, query and key units, value units (alike in all heads), and feed-forward units."""
    norms = ("norm_1.weight", "norm_1.bias", "norm_2.weight", "norm_2.bias")
    qkv = "(head key + head key + head value)"
    axes = {
        **dict.fromkeys(norms, "stream"),
        "weight_qkv": f"{qkv} stream",
        "bias_qkv": qkv,
        "weight_o": "stream (head value)",
        "bias_o": "stream",
        "weight_1": "ff stream",
        "bias_1": "ff",
        "weight_2": "stream ff",
        "bias_2": "stream",
    }
    sizes = {"stream": size, "head": heads, "key": size // heads, "value": size // heads, "ff": ff * size}
    return Symmetry(axes, sizes, inputs="stream", outputs="stream", fixed=frozenset({"stream"}))


def _sinusoids(length: int, size: int) -> Tensor:
    """Positions of Vaswani et al., float64; those of a prefix are the prefix of those."""
    position = torch.arange(length, dtype=torch.float64).unsqueeze(-1)
    index = torch.arange(size, dtype=torch.float64)
    angle = position * torch.pow(10000.0, -2 * torch.div(index, 2, rounding_mode="floor") / size)
    return torch.where(index % 2 == 0, torch.sin(angle), torch.cos(angle))
