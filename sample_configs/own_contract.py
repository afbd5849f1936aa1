"""Your own recurrence with gradscope's contract: gradscope compare --arch sample_configs/own_contract.py:LeakyRNN."""

import math

import torch
from torch import nn

import gradscope


class LeakyRNN(gradscope.Recurrence):
    """h_t = (1 − leak) h_{t−1} + leak tanh(W x_t + U h_{t−1} + b)."""

    recurrent_parameter_names = ("U",)

    def __init__(self, input_size, hidden_size, leak: float = 0.5):
        super().__init__()
        self.input_size, self.output_size, self.leak = input_size, hidden_size, leak
        self.state_spec = (gradscope.Block("h", (hidden_size,)),)
        self.input_map = nn.Linear(input_size, hidden_size)
        self.U = nn.Parameter(torch.randn(hidden_size, hidden_size) / math.sqrt(hidden_size))

    def prepare(self, x):
        """Everything that does not need the state."""
        return {"a": self.input_map(x)}

    def step(self, s, u, t):
        """One step."""
        return {"h": (1 - self.leak) * s["h"] + self.leak * torch.tanh(u["a"] + s["h"] @ self.U.T)}
