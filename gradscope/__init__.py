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
    from gradscope import theory
    from gradscope.architectures.build import build
    from gradscope.contract.block_matrix import BlockMatrix
    from gradscope.contract.chain import ChainRecurrence, Stage
    from gradscope.contract.combinators import Parallel, Stack
    from gradscope.contract.diagonal import DiagonalRecurrence
    from gradscope.contract.matrix_state import MatrixStateRecurrence
    from gradscope.contract.memory_dial import MemoryDial
    from gradscope.contract.recurrence import Recurrence
    from gradscope.contract.sequence import SequenceModel
    from gradscope.contract.state import Block
    from gradscope.contract.symmetry import Symmetry
    from gradscope.dynamics.linearize import linearize
    from gradscope.errors import GradscopeError, NoRecurrentState, UnknownName, Unmeasurable, UsageError
    from gradscope.experiments.depth import signal_propagation
    from gradscope.experiments.teacher_student import teacher_student_hessian
    from gradscope.inputs.make import make_inputs
    from gradscope.measurements.diagnose import Diagnosis, diagnose
    from gradscope.measurements.gradient_norms import gradient_norms
    from gradscope.measurements.gradient_result import GradientNorms
    from gradscope.measurements.jacobian_products import JacobianProducts, jacobian_products
    from gradscope.measurements.jacobian_spectrum import JacobianSpectrum, jacobian_spectrum
    from gradscope.measurements.lyapunov_exponents import LyapunovExponents, lyapunov_exponents
    from gradscope.measurements.memory_sensitivity import MemorySensitivity, memory_sensitivity
    from gradscope.measurements.state_jacobian import state_jacobian
    from gradscope.measurements.temporal_jacobian import TemporalJacobian, temporal_jacobian
    from gradscope.numerics.spectrum import Spectrum
    from gradscope.own.as_model import as_model

__version__ = "0.1.0"

# Imported on first use (PEP 562): `import gradscope` costs nothing, the command line's help needs no torch.
_HOMES = {
    "Block": "gradscope.contract.recurrence",
    "BlockMatrix": "gradscope.contract.block_matrix",
    "ChainRecurrence": "gradscope.contract.chain",
    "Diagnosis": "gradscope.measurements.diagnose",
    "DiagonalRecurrence": "gradscope.contract.diagonal",
    "GradientNorms": "gradscope.measurements.gradient_result",
    "GradscopeError": "gradscope.errors",
    "JacobianProducts": "gradscope.measurements.jacobian_products",
    "JacobianSpectrum": "gradscope.measurements.jacobian_spectrum",
    "MemoryDial": "gradscope.contract.memory_dial",
    "MemorySensitivity": "gradscope.measurements.memory_sensitivity",
    "LyapunovExponents": "gradscope.measurements.lyapunov_exponents",
    "MatrixStateRecurrence": "gradscope.contract.matrix_state",
    "NoRecurrentState": "gradscope.errors",
    "Parallel": "gradscope.contract.combinators",
    "Recurrence": "gradscope.contract.recurrence",
    "SequenceModel": "gradscope.contract.sequence",
    "Spectrum": "gradscope.numerics.spectrum",
    "Stack": "gradscope.contract.combinators",
    "Stage": "gradscope.contract.chain",
    "Symmetry": "gradscope.contract.symmetry",
    "TemporalJacobian": "gradscope.measurements.temporal_jacobian",
    "UnknownName": "gradscope.errors",
    "Unmeasurable": "gradscope.errors",
    "UsageError": "gradscope.errors",
    "as_model": "gradscope.own.as_model",
    "build": "gradscope.architectures.build",
    "diagnose": "gradscope.measurements.diagnose",
    "gradient_norms": "gradscope.measurements.gradient_norms",
    "jacobian_products": "gradscope.measurements.jacobian_products",
    "jacobian_spectrum": "gradscope.measurements.jacobian_spectrum",
    "linearize": "gradscope.dynamics.linearize",
    "lyapunov_exponents": "gradscope.measurements.lyapunov_exponents",
    "memory_sensitivity": "gradscope.measurements.memory_sensitivity",
    "make_inputs": "gradscope.inputs.make",
    "signal_propagation": "gradscope.experiments.depth",
    "state_jacobian": "gradscope.measurements.state_jacobian",
    "teacher_student_hessian": "gradscope.experiments.teacher_student",
    "temporal_jacobian": "gradscope.measurements.temporal_jacobian",
}

__all__ = [
    "Block",
    "BlockMatrix",
    "ChainRecurrence",
    "Diagnosis",
    "DiagonalRecurrence",
    "GradientNorms",
    "GradscopeError",
    "JacobianProducts",
    "JacobianSpectrum",
    "LyapunovExponents",
    "MatrixStateRecurrence",
    "MemoryDial",
    "MemorySensitivity",
    "NoRecurrentState",
    "Parallel",
    "Recurrence",
    "SequenceModel",
    "Spectrum",
    "Stack",
    "Stage",
    "Symmetry",
    "TemporalJacobian",
    "UnknownName",
    "Unmeasurable",
    "UsageError",
    "__version__",
    "as_model",
    "build",
    "diagnose",
    "gradient_norms",
    "jacobian_products",
    "jacobian_spectrum",
    "linearize",
    "lyapunov_exponents",
    "make_inputs",
    "memory_sensitivity",
    "signal_propagation",
    "state_jacobian",
    "teacher_student_hessian",
    "temporal_jacobian",
    "theory",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "theory":
        return importlib.import_module("gradscope.theory")
    if name not in _HOMES:
        raise AttributeError(f"module 'gradscope' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
