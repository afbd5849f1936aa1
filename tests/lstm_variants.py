"""An LSTM cell as a user would write it, and small changes of it that a check has to see."""

import torch
from torch import nn


class LSTMCell(nn.Module):
    """``cell(x, (h, c)) -> (h, c)``, gates i, f, g, o."""

    def __init__(self, input_size=16, hidden_size=32, forget_bias=1.0, gain=1.0, output_scale=1.0, flipped_gate=None):
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

    def forward(self, x, state):
        h, c = state
        i, f, g, o = (x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return self.output_scale * o.sigmoid() * c.tanh(), self.output_scale * c
