"""gradscope: does my gradient survive the trip back through time, and why?

>>> import gradscope
>>> model = gradscope.build("lstm", input_size=3, hidden_size=8)
>>> x = gradscope.make_inputs("white", batch=2, length=100, input_size=3)
>>> norms = gradscope.gradient_norms(model, x, lengths=[10, 100])
>>> norms.log10_norm["h"].shape
torch.Size([2, 2, 100])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradscope.architectures.build import build
    from gradscope.contract.chain import ChainRecurrence, Stage
    from gradscope.contract.combinators import Parallel, Stack
    from gradscope.contract.diagonal import DiagonalRecurrence
    from gradscope.contract.recurrence import Block, Recurrence
    from gradscope.contract.sequence import SequenceModel
    from gradscope.dynamics.linearize import linearize
    from gradscope.errors import GradscopeError, NoRecurrentState, UnknownName, Unmeasurable, UsageError
    from gradscope.inputs.make import make_inputs
    from gradscope.measurements.gradient_norms import gradient_norms
    from gradscope.measurements.results import GradientNorms

__version__ = "0.1.0"

# Imported on first use (PEP 562): `import gradscope` costs nothing, the command line's help needs no torch.
_HOMES = {
    "Block": "gradscope.contract.recurrence",
    "ChainRecurrence": "gradscope.contract.chain",
    "DiagonalRecurrence": "gradscope.contract.diagonal",
    "GradientNorms": "gradscope.measurements.results",
    "GradscopeError": "gradscope.errors",
    "NoRecurrentState": "gradscope.errors",
    "Parallel": "gradscope.contract.combinators",
    "Recurrence": "gradscope.contract.recurrence",
    "SequenceModel": "gradscope.contract.sequence",
    "Stack": "gradscope.contract.combinators",
    "Stage": "gradscope.contract.chain",
    "UnknownName": "gradscope.errors",
    "Unmeasurable": "gradscope.errors",
    "UsageError": "gradscope.errors",
    "build": "gradscope.architectures.build",
    "gradient_norms": "gradscope.measurements.gradient_norms",
    "linearize": "gradscope.dynamics.linearize",
    "make_inputs": "gradscope.inputs.make",
}

__all__ = [
    "Block",
    "ChainRecurrence",
    "DiagonalRecurrence",
    "GradientNorms",
    "GradscopeError",
    "NoRecurrentState",
    "Parallel",
    "Recurrence",
    "SequenceModel",
    "Stack",
    "Stage",
    "UnknownName",
    "Unmeasurable",
    "UsageError",
    "__version__",
    "build",
    "gradient_norms",
    "linearize",
    "make_inputs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gradscope' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
