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

if TYPE_CHECKING:  # the same homes as in _HOMES
    from gradscope import theory as theory
    from gradscope.architectures.build import build as build
    from gradscope.contract.block_matrix import BlockMatrix as BlockMatrix
    from gradscope.contract.combinators import Parallel as Parallel
    from gradscope.contract.combinators import Stack as Stack
    from gradscope.contract.deprecated import ChainRecurrence as ChainRecurrence
    from gradscope.contract.deprecated import DiagonalRecurrence as DiagonalRecurrence
    from gradscope.contract.deprecated import MatrixStateRecurrence as MatrixStateRecurrence
    from gradscope.contract.deprecated import Stage as Stage
    from gradscope.contract.memory_dial import MemoryDial as MemoryDial
    from gradscope.contract.recurrence import Recurrence as Recurrence
    from gradscope.contract.sequence import SequenceModel as SequenceModel
    from gradscope.contract.state import Block as Block
    from gradscope.contract.symmetry import Symmetry as Symmetry
    from gradscope.errors import GradscopeError as GradscopeError
    from gradscope.errors import NoRecurrentState as NoRecurrentState
    from gradscope.errors import UnknownName as UnknownName
    from gradscope.errors import Unmeasurable as Unmeasurable
    from gradscope.errors import UsageError as UsageError
    from gradscope.experiments.depth import signal_propagation as signal_propagation
    from gradscope.experiments.teacher_student import teacher_student_hessian as teacher_student_hessian
    from gradscope.inputs.make import make_inputs as make_inputs
    from gradscope.measurements.conditions import linearize as linearize
    from gradscope.measurements.diagnose import Diagnosis as Diagnosis
    from gradscope.measurements.diagnose import diagnose as diagnose
    from gradscope.measurements.gradient_norms import gradient_norms as gradient_norms
    from gradscope.measurements.gradient_result import GradientNorms as GradientNorms
    from gradscope.measurements.jacobian_products import JacobianProducts as JacobianProducts
    from gradscope.measurements.jacobian_products import jacobian_products as jacobian_products
    from gradscope.measurements.jacobian_spectrum import JacobianSpectrum as JacobianSpectrum
    from gradscope.measurements.jacobian_spectrum import jacobian_spectrum as jacobian_spectrum
    from gradscope.measurements.lyapunov_exponents import LyapunovExponents as LyapunovExponents
    from gradscope.measurements.lyapunov_exponents import lyapunov_exponents as lyapunov_exponents
    from gradscope.measurements.memory_sensitivity import MemorySensitivity as MemorySensitivity
    from gradscope.measurements.memory_sensitivity import memory_sensitivity as memory_sensitivity
    from gradscope.measurements.state_jacobian import state_jacobian as state_jacobian
    from gradscope.measurements.temporal_jacobian import TemporalJacobian as TemporalJacobian
    from gradscope.measurements.temporal_jacobian import temporal_jacobian as temporal_jacobian
    from gradscope.numerics.spectrum import Spectrum as Spectrum
    from gradscope.own.as_model import as_model as as_model

__version__ = "0.2.0"

# Imported on first use (PEP 562): `import gradscope` costs nothing, the command line's help needs no torch.
_HOMES = {
    "Block": "gradscope.contract.state",
    "BlockMatrix": "gradscope.contract.block_matrix",
    "ChainRecurrence": "gradscope.contract.deprecated",
    "Diagnosis": "gradscope.measurements.diagnose",
    "DiagonalRecurrence": "gradscope.contract.deprecated",
    "GradientNorms": "gradscope.measurements.gradient_result",
    "GradscopeError": "gradscope.errors",
    "JacobianProducts": "gradscope.measurements.jacobian_products",
    "JacobianSpectrum": "gradscope.measurements.jacobian_spectrum",
    "LyapunovExponents": "gradscope.measurements.lyapunov_exponents",
    "MatrixStateRecurrence": "gradscope.contract.deprecated",
    "MemoryDial": "gradscope.contract.memory_dial",
    "MemorySensitivity": "gradscope.measurements.memory_sensitivity",
    "NoRecurrentState": "gradscope.errors",
    "Parallel": "gradscope.contract.combinators",
    "Recurrence": "gradscope.contract.recurrence",
    "SequenceModel": "gradscope.contract.sequence",
    "Spectrum": "gradscope.numerics.spectrum",
    "Stack": "gradscope.contract.combinators",
    "Stage": "gradscope.contract.deprecated",
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
    "linearize": "gradscope.measurements.conditions",
    "lyapunov_exponents": "gradscope.measurements.lyapunov_exponents",
    "make_inputs": "gradscope.inputs.make",
    "memory_sensitivity": "gradscope.measurements.memory_sensitivity",
    "signal_propagation": "gradscope.experiments.depth",
    "state_jacobian": "gradscope.measurements.state_jacobian",
    "teacher_student_hessian": "gradscope.experiments.teacher_student",
    "temporal_jacobian": "gradscope.measurements.temporal_jacobian",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "theory":
        return importlib.import_module("gradscope.theory")
    if name not in _HOMES:
        raise AttributeError(f"module 'gradscope' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, "__version__", "theory"])


if not TYPE_CHECKING:  # type checkers take the aliases above for what is public
    __all__ = __dir__()
