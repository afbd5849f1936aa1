"""LSTM (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000), torch's gates i, f, g, o."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gradscope.architectures.torch_cell import TorchCell, gate_groups
from gradscope.contract.initializer import Initializer
from gradscope.contract.memory_dial import MemoryDial, MemoryGroups
from gradscope.contract.state import Prepared, State
from gradscope.errors import UsageError
from gradscope.numerics.activations import sigmoid, tanh

GATE_STEPS = 64  # steps whose gates stay in the cache while c is summed


def lstm_update(z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """h_t and c_t from the pre-activations of the gates, in the order i, f, g, o, and c_{t−1}."""
    z_i, z_f, z_g, z_o = z.chunk(4, dim=-1)
    c = sigmoid(z_f) * c + sigmoid(z_i) * tanh(z_g)  # c_t = f ⊙ c_{t−1} + i ⊙ g
    return sigmoid(z_o) * tanh(c), c  # h_t = o ⊙ tanh c_t


class LSTM(TorchCell):
    """torch's ``nn.LSTM`` layer, with its parameter names.

    i, f, o = σ(W x_t + U h_{t−1} + b), g = tanh(…);  c_t = f ⊙ c_{t−1} + i ⊙ g;  h_t = o ⊙ tanh c_t.

    ``forget_bias`` adds to the forget gate's bias (Jozefowicz et al. 2015); ``chrono`` sets b_f = log U(1, chrono − 1),
    b_i = −b_f and the other biases 0, for memories of up to ``chrono`` steps (Tallec & Ollivier, arXiv:1804.11188).
    """

    memory_law = ("sigmoid", "none")
    gates = 4
    blocks = ("h", "c")
    kernel = staticmethod(torch.lstm)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initializer: Initializer,
        *,
        layer: int = 0,
        bias: bool = True,
        forget_bias: float = 0.0,
        chrono: int = 0,
    ) -> None:
        super().__init__(input_size, hidden_size, initializer, layer=layer, bias=bias)
        if chrono == 1:
            raise UsageError(f"lstm: chrono={chrono} should be the longest memory in steps, at least 2, or 0 for none.")
        if chrono:
            forget = torch.log(1 + initializer.unit_uniform(hidden_size) * (chrono - 2))
            first = self.named("bias_ih").detach()
            first.copy_(torch.cat([-forget, forget, torch.zeros(2 * hidden_size, dtype=first.dtype)]))
            self.named("bias_hh").detach().zero_()
        if forget_bias:
            self.named("bias_ih").detach()[hidden_size : 2 * hidden_size] += forget_bias

    def step(self, s: State, u: Prepared, t: Tensor) -> State:
        """The equations above."""
        h, c = lstm_update(u["a"] + self.recurrent(s["h"]), s["c"])
        return {"h": h, "c": c}

    def run(self, x: Tensor, u: Prepared, s: State, start: int) -> State:
        """From the fused kernel h; c, which it hides, from the gates of many steps in one product and a running sum."""
        h = self.fused(x, s, batch_first=False)
        h_before = torch.cat([s["h"].unsqueeze(0), h[:-1]])
        c, before = torch.empty_like(h), s["c"]
        rows = 3 * self.hidden_size  # i, f and g: c does not need o
        weight, bias = self.named("weight_hh")[:rows], self.named("bias_hh")[:rows] if self.bias else None
        for some in range(0, len(h), GATE_STEPS):
            here = slice(some, some + GATE_STEPS)
            z = F.linear(h_before[here].flatten(0, 1), weight, bias).unflatten(0, (-1, len(before)))
            i, f, g = z.add_(u["a"][here, :, :rows]).chunk(3, dim=-1)
            written = torch.sigmoid(i).mul_((2 * torch.sigmoid(2 * g)).sub_(1))
            for now, forget, write in zip(
                c[here].unbind(0), torch.sigmoid(f).unbind(0), written.unbind(0), strict=True
            ):
                before = torch.addcmul(write, forget, before, out=now)
        return {"h": h, "c": c}

    @property
    def memory_dial(self) -> MemoryDial | None:
        """The forget gate's bias, where there is one."""
        return self.gate_dial(1)

    @property
    def memory_groups(self) -> MemoryGroups:
        """The forget gate's rows are the recurrence; W of the input gate and of the candidate is the input."""
        return gate_groups(self, magnitude=(1,), written=(0, 2), gates=4)
