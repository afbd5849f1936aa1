"""The conditions under which a model is measured: inputs that fit it, repeatable answers, full precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradscope.contract.model import Model
from gradscope.contract.probe import check_modes
from gradscope.dynamics.linearize import Linearization, linearize
from gradscope.errors import Unmeasurable, UsageError
from gradscope.own.as_model import measurable


def check_shape(x: Tensor) -> None:
    """Raises :class:`UsageError` unless x is ``(batch, length, input_size)``."""
    if x.dim() != 3:
        raise UsageError(f"Inputs should be (batch, length, input_size), but their shape is {tuple(x.shape)}.")
    if 0 in x.shape:
        raise UsageError(
            f"Inputs should have at least one sample, step and feature, but their shape is {tuple(x.shape)}."
        )


def as_model_input(model: Model, x: Tensor) -> Tensor:
    """The inputs in the dtype and on the device of a model that answers alike each time.

    Raises:
        UsageError: Another number of features, or values that are not finite.
        Unmeasurable: Dropout or batch norm in training mode, or half precision.
    """
    check_modes(model)
    if x.shape[2] != model.input_size:
        raise UsageError(f"The model reads {model.input_size} features, but the inputs have {x.shape[2]}.")
    like = next(model.parameters(), x)
    dtype = like.dtype.to_real() if like.is_complex() else like.dtype
    if dtype not in (torch.float32, torch.float64):
        raise Unmeasurable(
            f"The model is in {str(dtype).removeprefix('torch.')}; measure a copy in full precision, "
            "copy.deepcopy(model).float()."
        )
    x = x.detach().to(device=like.device, dtype=dtype)
    if not bool(torch.isfinite(x).all()):
        raise UsageError("The inputs hold NaN or infinite values.")
    return x


def model_and_input(module: nn.Module, x: Tensor) -> tuple[Model, Tensor]:
    """A module as a model, and inputs as it reads them; whatever is wrong with either is said here.

    Raises:
        UsageError: Inputs that do not fit, or a module that is no model.
        Unmeasurable: Dropout or batch norm in training mode, or half precision.
    """
    check_shape(x)
    model = measurable(module, x)
    return model, as_model_input(model, x)


def linearized(module: nn.Module, x: Tensor) -> Linearization:
    """A recurrent model, or a module that is one, linearised along inputs that are checked first.

    Raises:
        UsageError: Inputs that do not fit.
        Unmeasurable: Dropout or batch norm in training mode, or half precision.
        NoRecurrentState: The model has no recurrent state.
    """
    model, x = model_and_input(module, x)
    with exact_matrix_products():
        return linearize(model, x)


def overflow_step(linearization: Linearization) -> int | None:
    """The first step after which some state is NaN or infinite; None where there is none."""
    found = [trajectory.first_non_finite() for trajectory in linearization.recurrences]
    return min((step for step in found if step is not None), default=None)


@contextmanager
def exact_matrix_products() -> Iterator[None]:
    """TF32 off while measuring."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
