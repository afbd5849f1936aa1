"""Small models of the whole catalogue, and architectures that the catalogue does not have."""

import torch
import torch.nn.functional as F
from torch import nn

import gradscope
from gradscope.architectures.catalogue import ARCHITECTURES
from tests.equations import EQUATIONS

BATCH, LENGTH, INPUT, HIDDEN = 2, 7, 4, 3
NAMES = list(ARCHITECTURES)


def small(name, num_layers=1, dtype=torch.float64, seed=0, input_size=INPUT, hidden_size=HIDDEN, **options):
    return gradscope.build(
        name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers, dtype=dtype, seed=seed, **options
    )


def inputs(length=LENGTH, dtype=torch.float64, batch=BATCH, input_size=INPUT, seed=0):
    return gradscope.make_inputs("white", batch=batch, length=length, input_size=input_size, dtype=dtype, seed=seed)


ALL = [(name, {}) for name in NAMES]
ALL += [(name, options) for name, equation in EQUATIONS.items() for options in equation.variants]
RECURRENT = [(name, options) for name, options in ALL if small(name, **options).state_size]
SINGLE = [(name, options) for name, options in ALL if isinstance(small(name, **options), gradscope.Recurrence)]
RECURRENT_NAMES = [name for name, options in RECURRENT if not options]
SINGLE_NAMES = [name for name, options in SINGLE if not options]


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
