"""An LSTM cell as a user would write it, with what is changed in it to see whether a check notices."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LSTMCell(nn.Module):
    """``cell(x, (h, c)) -> (h, c)``, gates i, f, g, o, all parameters U(±gain/√hidden_size).

    ``forget_bias`` is added to the forget gate's bias, ``output_scale`` multiplies h and c, and ``flipped_gate`` is the
    number of a gate whose bias changes its sign.
    """

    def __init__(
        self,
        input_size: int = 16,
        hidden_size: int = 32,
        forget_bias: float = 1.0,
        gain: float = 1.0,
        output_scale: float = 1.0,
        flipped_gate: int | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_scale = input_size, hidden_size, output_scale
        bound = gain / hidden_size**0.5
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size).uniform_(-bound, bound))
        bias = torch.empty(4, hidden_size).uniform_(-bound, bound)
        bias[1] += forget_bias
        if flipped_gate is not None:
            bias[flipped_gate] *= -1
        self.bias = nn.Parameter(bias.flatten())

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """One step."""
        h, c = state
        i, f, g, o = (x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return self.output_scale * o.sigmoid() * c.tanh(), self.output_scale * c
