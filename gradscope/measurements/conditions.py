"""The conditions under which a model is measured: inputs that fit it, repeatable answers, full precision."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from gradscope.contract.model import Model
from gradscope.contract.probe import check_modes, unchanged
from gradscope.dynamics.linearize import Linearization, linearize_model
from gradscope.errors import Unmeasurable, UsageError
from gradscope.own.as_model import measurable

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def measurement(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A function whose first argument is a module: it runs in full precision, and puts back what it changes.

    That is: the module's buffers, and torch's random generators.
    """

    @wraps(function)
    def measured(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        given: Any = args[0] if args else kwargs.get("model")
        with ExitStack() as conditions:
            conditions.enter_context(full_precision())
            if isinstance(given, nn.Module):
                conditions.enter_context(unchanged(given))
            return function(*args, **kwargs)

    return measured


def check_shape(x: Tensor) -> None:
    """Raises :class:`UsageError` unless x is ``(batch, length, input_size)``, one dense tensor."""
    if not isinstance(x, Tensor) or x.layout is not torch.strided or x.is_meta or x.is_complex():
        raise UsageError(
            "Inputs should be a dense tensor of real numbers, (batch, length, input_size), but a "
            f"{_kind_of(x)} was given; torch.as_tensor makes one of an array."
        )
    if x.dim() != 3:
        raise UsageError(f"Inputs should be (batch, length, input_size), but their shape is {tuple(x.shape)}.")
    if 0 in x.shape:
        raise UsageError(
            f"Inputs should have at least one sample, step and feature, but their shape is {tuple(x.shape)}."
        )


def whole_numbers(given: object, what: str) -> tuple[int, ...]:
    """One number or several, as a tuple; raises :class:`UsageError` for anything but whole numbers."""
    each: Any = given
    try:
        return (operator.index(each),)
    except TypeError:
        pass
    try:
        return tuple(operator.index(number) for number in each)
    except TypeError:
        raise UsageError(f"{what} should be whole numbers, but {given!r} was given.") from None


def whole_number(given: object, what: str) -> int:
    """Raises :class:`UsageError` for anything but one whole number."""
    numbers = whole_numbers(given, what)
    if len(numbers) != 1:
        raise UsageError(f"{what} should be one whole number, but {given!r} was given.")
    return numbers[0]


def _kind_of(x: object) -> str:
    if not isinstance(x, Tensor):
        return type(x).__name__
    kinds = {"sparse": x.layout is not torch.strided, "meta": x.is_meta, "complex": x.is_complex()}
    return " ".join([*(kind for kind, holds in kinds.items() if holds), "tensor"])


def as_model_input(model: Model, x: Tensor) -> Tensor:
    """The inputs in the dtype and on the device of a model that answers alike each time.

    Raises:
        UsageError: Another number of features, or values that are not finite.
        Unmeasurable: Dropout or batch norm in training mode, or half precision.
    """
    check_modes(model)
    if x.shape[2] != model.input_size:
        raise UsageError(f"The model reads {model.input_size} features, but the inputs have {x.shape[2]}.")
    like = next(model.parameters(), x if x.is_floating_point() and x.dtype.itemsize > 2 else x.float())
    for what in (*model.parameters(), *model.buffers()):
        if what.is_inference():
            raise Unmeasurable(
                "The model's parameters or buffers were made under torch.inference_mode, where nothing can be "
                "differentiated; build the model outside of it."
            )
    dtype = like.dtype.to_real() if like.is_complex() else like.dtype
    if dtype not in (torch.float32, torch.float64):
        raise Unmeasurable(
            f"The model is in {str(dtype).removeprefix('torch.')}; measure a copy in full precision, "
            "copy.deepcopy(model).float()."
        )
    x = x.detach().to(device=like.device, dtype=dtype)
    x = x.clone() if x.is_inference() else x
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


@measurement
def linearize(model: nn.Module, x: Tensor, *, accelerated: bool = True) -> Linearization:
    """Runs a recurrent model along an input and linearises it there.

    Args:
        model: A recurrent model, or a module that is one for :func:`gradscope.as_model`.
        x: Inputs, ``(batch, length, input_size)``.
        accelerated: False differentiates every recurrence by autograd replay, the definition that the faster shapes
            are tested against.

    Returns:
        The linearization; every measurement is a function of it.

    Raises:
        NoRecurrentState: The model has none (a transformer, a sequence module).
        UsageError: Inputs that do not fit, or a module that is no model.
        Unmeasurable: Dropout or batch norm in training mode, or half precision.

    Cost:
        One forward pass; states are kept up to 192 MiB and checkpointed beyond.
    """
    return linearize_model(*model_and_input(model, x), accelerated=accelerated)


def overflow_step(linearization: Linearization) -> int | None:
    """The first step after which some state is NaN or infinite; None where there is none.

    J_t need not be: where the slope of its maps is finite at infinity, as relu's is, so is J_t.
    """
    found = [trajectory.first_non_finite() for trajectory in linearization.recurrences]
    return min((step for step in found if step is not None), default=None)


@contextmanager
def full_precision() -> Iterator[None]:
    """No TF32, no autocast on CPU or CUDA, and no inference mode, whatever surrounds the measurement.

    The first is a setting of the process: a thread that measures beside this one has it too.
    """
    products, exact = _matrix_products()
    kept = [getattr(product, setting) for product, setting in products]
    try:
        for product, setting in products:
            setattr(product, setting, exact)
        with ExitStack() as modes:
            for device in ("cpu", "cuda"):
                modes.enter_context(torch.autocast(device, enabled=False))
            if torch.is_inference_mode_enabled():
                modes.enter_context(torch.inference_mode(False))
            yield
    finally:
        for (product, setting), value in zip(products, kept, strict=True):
            setattr(product, setting, value)


def _matrix_products() -> tuple[list[tuple[Any, str]], str | bool]:
    """Where torch keeps how exact its products are, and the value for full precision; its older settings before 2.9."""
    cuda: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    if not hasattr(cudnn, "rnn"):
        return [(cuda, "allow_tf32"), (cudnn, "allow_tf32")], False
    return [(part, "fp32_precision") for part in (cuda, cudnn.conv, cudnn.rnn)], "ieee"
