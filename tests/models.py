"""Small models of the whole catalogue, and architectures that the catalogue does not have."""

import torch
import torch.nn.functional as F
from torch import nn

import gradscope
from gradscope.architectures.catalogue import ARCHITECTURES

BATCH, LENGTH, INPUT, HIDDEN = 2, 7, 4, 3
NAMES = list(ARCHITECTURES)
RECURRENT = [name for name in NAMES if name != "transformer"]
VARIANTS = [
    ("rnn", {"nonlinearity": "relu"}),
    ("lstm", {"chrono": 20}),
    ("rrn", {"depth": 3, "inner": "tanh"}),
    ("rrn", {"depth": 1}),
    ("sc-lstm-p", {"L": 3, "alpha": 0.5}),
    ("sc-lstm-i", {"L": 2}),
    ("skip-rnn", {"k": 1, "alpha": 0.3}),
    ("linear-rnn", {"init": "orthogonal", "radius": 0.9}),
    ("lru", {"r_min": 0.5, "r_max": 0.9}),
    ("transformer", {"heads": 3, "ff": 1}),
]
ALL = [(name, {}) for name in NAMES] + VARIANTS


def small(name, num_layers=1, dtype=torch.float64, seed=0, input_size=INPUT, hidden_size=HIDDEN, **options):
    return gradscope.build(
        name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers, dtype=dtype, seed=seed, **options
    )


def inputs(length=LENGTH, dtype=torch.float64, batch=BATCH, input_size=INPUT, seed=0):
    return gradscope.make_inputs("white", batch=batch, length=length, input_size=input_size, dtype=dtype, seed=seed)


class Convolved(gradscope.Recurrence):
    """A leaky state driven by a causal convolution over three steps that ``prepare`` keeps out of the state."""

    prepare_reach = 2
    recurrent_parameter_names = ("decay",)

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.state_spec = (gradscope.Block("h", (hidden_size,)),)
        self.kernel = nn.Parameter(torch.randn(hidden_size, input_size, 3))
        self.decay = nn.Parameter(torch.randn(hidden_size))

    def prepare(self, x):
        return {"b": F.conv1d(F.pad(x.transpose(1, 2), (2, 0)), self.kernel).transpose(1, 2)}

    def step(self, s, u, t):
        return {"h": torch.tanh(self.decay * s["h"] + u["b"])}
