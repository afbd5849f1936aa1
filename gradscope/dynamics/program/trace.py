"""Runs ``step`` once on symbols and writes down what it does.

A symbol is a tensor whose values nobody may read. Every function of torch that meets one is recorded with its
arguments; what meets none (a transposed weight, a concatenation of two) is computed as it stands and becomes a
constant. A batch of a size that nothing else has tells the batch from every other number in the arguments. The values
are there, and small, since torch imports a second's worth of modules before it computes shapes alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from gradscope.contract.recurrence import Recurrence
from gradscope.dynamics.decomposed_cells import plain_cell

# Primes that no width, head or option is likely to be; the smaller ones for states that are large.
BATCHES = (1009, 503, 211, 101, 53, 23, 11)
TRACED_NUMBERS = 1 << 14  # that a traced state may have

# What a step may read of a symbol without anything being computed.
_ATTRIBUTES = {"shape", "dtype", "device", "ndim", "layout", "requires_grad", "is_sparse", "is_meta", "is_cuda"}
_QUESTIONS = {
    "size", "dim", "numel", "ndimension", "is_floating_point", "is_complex", "is_contiguous", "nelement", "__len__",
    "stride", "element_size", "get_device", "is_tensor",
}  # fmt: skip


# What takes nothing but the shape and the dtype of a symbol.
_MADE = {"new_zeros", "new_ones", "new_full", "new_tensor", "zeros_like", "ones_like", "full_like"}


def _layer_norm(x: Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    if len(shape) != 1:
        raise NotFollowed("layer_norm goes over more than the features")
    centred = x - x.mean(-1, keepdim=True)
    normal = centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + eps)
    normal = normal if weight is None else normal * weight
    return normal if bias is None else normal + bias


def _rms_norm(x: Tensor, shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
    if len(shape) != 1:
        raise NotFollowed("rms_norm goes over more than the features")
    least = torch.finfo(x.dtype).eps if eps is None else eps
    normal = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + least)
    return normal if weight is None else normal * weight


def _softmax(x: Tensor, dim: int = -1, **options: Any) -> Tensor:
    if dim not in (x.dim() - 1, -1):
        raise NotFollowed("softmax goes over other things than the features")
    raised = torch.exp(x - level(x))
    return raised / raised.sum(-1, keepdim=True)


def _vector_norm(
    x: Tensor,
    ord: Any = 2,  # noqa: A002 - torch's name
    dim: Any = None,
    keepdim: bool = False,
    **options: Any,
) -> Tensor:
    if ord != 2 or dim is None or options:
        raise NotFollowed("a norm is not the Euclidean one of some features")
    return (x * x).sum(dim, keepdim=keepdim).sqrt()


def _norm(x: Tensor, p: Any = 2, dim: Any = None, keepdim: bool = False, **options: Any) -> Tensor:
    return _vector_norm(x, 2 if p == "fro" else p, dim, keepdim, **options)


def _normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Tensor:
    return x / _vector_norm(x, p, dim, keepdim=True).clamp_min(eps)


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if training and p:
        raise NotFollowed("dropout draws what it keeps")
    return x


def _glu(x: Tensor, dim: int = -1) -> Tensor:
    first, second = x.chunk(2, dim)
    return first * torch.sigmoid(second)


def _stack(tensors: Any, dim: int = 0, **options: Any) -> Tensor:
    rank = max(tensor.dim() for tensor in tensors) + 1
    if dim % rank != 1 or options:
        raise NotFollowed("a stack goes along another dimension than the first of the features")
    return torch.cat([tensor.unsqueeze(1) for tensor in tensors], dim=1)


def _log_softmax(x: Tensor, dim: int = -1, **options: Any) -> Tensor:
    if dim not in (x.dim() - 1, -1):
        raise NotFollowed("softmax goes over other things than the features")
    shifted = x - level(x)
    return shifted - torch.log(torch.exp(shifted).sum(-1, keepdim=True))


def level(x: Tensor) -> Tensor:
    """The largest feature, as a number that softmax does not depend on: no cotangent passes it."""
    if isinstance(x, Symbol):
        return x.tracer.call(level, (x,), {})  # type: ignore[no-any-return]
    return x.amax(-1, keepdim=True)


_WRITING = ("__setitem__", "__iadd__", "__imul__", "__isub__", "__itruediv__")


class NotFollowed(Exception):
    """A step that no program can be made of; its text says what stopped it."""


class Value:
    """A tensor of the program, by the number of the instruction that computes it; equal ones are the same object.

    Attributes:
        number: Of the instruction; of a constant it is negative.
        item: Which of several results; None of a single one.
    """

    __slots__ = ("item", "number")
    _made: ClassVar[dict[tuple[int, int | None], Value]] = {}
    number: int
    item: int | None

    def __new__(cls, number: int, item: int | None = None) -> Value:
        """The one there is, or a new one."""
        found = cls._made.get((number, item))
        if found is None:
            found = cls._made[number, item] = super().__new__(cls)
            found.number, found.item = number, item
        return found

    def __repr__(self) -> str:
        return f"Value({self.number}{'' if self.item is None else f', {self.item}'})"


@dataclass(frozen=True)
class Instruction:
    """One call of a function of torch.

    Attributes:
        name: Of the function, as torch calls it: ``torch.sigmoid``.
        base_name: The same without the module that it is in.
        function: The function.
        args: Its arguments, with :class:`Value` in the place of symbols.
        kwargs: Those by name.
        results: How many tensors it gives; None of one that is not in a tuple.
        reads: The values among its arguments.
        is_flat: Whether no argument is a list.
    """

    name: str
    base_name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: int | None
    reads: tuple[Value, ...]
    is_flat: bool


@dataclass
class Traced:
    """What a step does.

    Attributes:
        batch: Rows of the symbols, a number that nothing else has.
        inputs: ``("s", block)``, ``("u", name)`` or ``("t", "")`` to the value that stands for it.
        instructions: In the order of computation; those of the inputs are None.
        shapes: Of every value but the constants, with the traced batch.
        dtypes: Of the same.
        constants: What does not depend on the inputs, parameters above all, with autograd's graph back to them; their
            numbers are negative.
        trained: Those of the constants that parameters are behind, frozen ones too.
        outputs: Block to the value that is its new state.
    """

    batch: int
    inputs: dict[tuple[str, str], Value] = field(default_factory=dict)
    instructions: list[Instruction | None] = field(default_factory=list)
    shapes: dict[Value, tuple[int, ...]] = field(default_factory=dict)
    dtypes: dict[Value, torch.dtype] = field(default_factory=dict)
    constants: dict[Value, Tensor] = field(default_factory=dict)
    trained: set[Value] = field(default_factory=set)
    outputs: dict[str, Value] = field(default_factory=dict)


class Symbol(Tensor):
    """A tensor that remembers which value of the program it is."""

    tracer: _Tracer
    value: Value

    @staticmethod
    def __new__(cls, held: Tensor, tracer: _Tracer, value: Value) -> Symbol:
        """A tensor's values with the place that they have in the program."""
        made: Symbol = torch.Tensor._make_subclass(cls, held)
        made.tracer, made.value = tracer, value
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Records a call."""
        kwargs = kwargs or {}
        tracer = _tracer_of(args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return tracer.call(func, args, kwargs)


def _tracer_of(args: Any, kwargs: Any) -> _Tracer:
    found: list[_Tracer] = []

    def look(value: Any) -> Any:
        if isinstance(value, Symbol):
            found.append(value.tracer)
        return value

    tree_map(look, (args, kwargs))
    return found[0]


def _held(given: Any) -> Any:
    return given.as_subclass(Tensor) if isinstance(given, Symbol) else given


def shown_name(function: Any) -> str:
    """A function of torch by name: ``torch.Tensor.add``, ``torch.sigmoid``."""
    owner = getattr(function, "__objclass__", None)
    where = "torch.Tensor" if owner is not None else getattr(function, "__module__", None) or "torch"
    return f"{where}.{getattr(function, '__name__', str(function))}"


# Functions that are followed through what they are made of.
COMPOSED: dict[Any, Callable[..., Any]] = {
    torch.nn.functional.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    torch.nn.functional.rms_norm: _rms_norm,
    torch.softmax: _softmax,
    torch.Tensor.softmax: _softmax,
    torch.log_softmax: _log_softmax,
    torch.Tensor.log_softmax: _log_softmax,
    torch.nn.functional.log_softmax: _log_softmax,
    torch.linalg.vector_norm: _vector_norm,
    torch.Tensor.norm: _norm,
    torch.norm: _norm,
    torch.nn.functional.normalize: _normalize,
    torch.nn.functional.dropout: _dropout,
    torch.nn.functional.glu: _glu,
    torch.stack: _stack,
    torch.special.expit: lambda x: torch.sigmoid(x),
    torch.nn.functional.softmax: _softmax,
}


class _Tracer:
    def __init__(self, batch: int) -> None:
        self.traced = Traced(batch)
        self._numbers: dict[tuple[str, int | None, str], int] = {}
        self._constants: dict[int, tuple[Value, Tensor]] = {}  # the tensor itself keeps its id from being used again

    def input(self, kind: str, name: str, held: Tensor) -> Symbol:
        value = Value(len(self.traced.instructions))
        self.traced.instructions.append(None)
        self.traced.inputs[kind, name] = value
        return self._symbol(held, value)

    def _symbol(self, held: Tensor, value: Value) -> Symbol:
        self.traced.shapes[value], self.traced.dtypes[value] = tuple(held.shape), held.dtype
        return Symbol(held, self, value)

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return self._attribute(func, args)
        if name in _QUESTIONS or name in _MADE:
            return func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if not torch.is_grad_enabled():
            raise NotFollowed("a part of the step runs without gradients")
        if func is torch.Tensor.where:
            func, args = torch.where, (args[1], args[0], *args[2:])
        plain = plain_cell(func) or COMPOSED.get(func)
        if plain is not None:
            with torch._C._EnableTorchFunction():
                return plain(*args, **kwargs)
        shown = shown_name(func)
        in_place = kwargs.get("inplace") or (len(args) > 1 and any(given is True for given in args[1:]))
        if (name.endswith("_") and not name.startswith("__")) or name in _WRITING or in_place or "out" in kwargs:
            raise NotFollowed(f"{shown} changes a tensor in place")
        if name in ("detach", "numpy", "tolist", "backward", "register_hook", "data"):
            raise NotFollowed(f"{shown} takes a tensor out of the gradient")
        if name in ("__bool__", "__float__", "__int__", "item", "__index__", "nonzero"):
            raise NotFollowed("Python reads a value of the state or the input, to branch on it say")
        with torch.no_grad():
            try:
                result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
            except Exception as error:
                raise NotFollowed(f"{shown} gave {type(error).__name__}") from error
        return self._record(shown, func, args, kwargs, result)

    def _attribute(self, func: Any, args: Any) -> Any:
        name = func.__self__.__name__
        if name in ("T", "mT", "real", "imag", "H"):
            held = func(*tree_map(_held, args))
            return self._record(f"torch.Tensor.{name}", lambda value: getattr(value, name), args, {}, held)
        if name in _ATTRIBUTES:
            return func(*tree_map(_held, args))
        raise NotFollowed(f"torch.Tensor.{name} is read")

    def _record(self, shown: str, func: Any, args: Any, kwargs: Any, result: Any) -> Any:
        many = isinstance(result, tuple | list)
        parts = list(result) if many else [result]
        if not all(isinstance(part, Tensor) for part in parts):
            raise NotFollowed(f"{shown} gives something that is no tensor")
        told = (tree_map(self._value, args), tree_map(self._value, kwargs))
        results = len(parts) if many else None
        number = self._number(shown, told, results)
        reads = tuple(leaf for leaf in tree_flatten(told)[0] if isinstance(leaf, Value))
        is_flat = not any(isinstance(given, list | tuple | dict) for given in (*told[0], *told[1].values()))
        base_name = shown.rpartition(".")[2]
        made = Instruction(shown, base_name, func, tuple(told[0]), dict(told[1]), results, reads, is_flat)
        if number == len(self.traced.instructions):
            self.traced.instructions.append(made)
        symbols = [self._symbol(part, Value(number, i if many else None)) for i, part in enumerate(parts)]
        return tuple(symbols) if many else symbols[0]

    def _number(self, shown: str, told: Any, results: int | None) -> int:
        """Of an instruction: the same one twice is one."""
        number = len(self.traced.instructions)
        try:
            return self._numbers.setdefault((shown, results, repr(told)), number)
        except Exception:
            return number

    def _value(self, given: Any) -> Any:
        if isinstance(given, Symbol):
            return given.value
        if not isinstance(given, Tensor):
            return given
        if id(given) not in self._constants:
            value = Value(-1 - len(self._constants))
            self._constants[id(given)] = value, given
            self.traced.constants[value] = _for_any_batch(given, self.traced.batch)
            if given.requires_grad:
                self.traced.trained.add(value)
        return self._constants[id(given)][0]


def _for_any_batch(constant: Tensor, batch: int) -> Tensor:
    """A constant that was made for the traced batch, zeros say, as one row that stands for all."""
    for dim, size in enumerate(constant.shape):
        if size == batch:
            row = constant.narrow(dim, 0, 1)
            if dim or not bool((constant == row).all()):
                raise NotFollowed("something is made for every sample of the batch that differs between them")
            constant = row
    return constant


def _unlikely(model: Recurrence, values: list[Tensor]) -> int:
    """A batch of a size that neither the values nor the parameters have."""
    sizes = {size for value in (*values, *model.parameters(), *model.buffers()) for size in value.shape}
    numbers = max(value[:1].numel() for value in values)
    free = [batch for batch in BATCHES if batch not in sizes]
    return next((batch for batch in free if batch * numbers <= TRACED_NUMBERS), free[-1])


@contextlib.contextmanager
def all_trainable(module: nn.Module) -> Iterator[None]:
    """While active, frozen parameters require gradients too: a measurement is about them as about the others."""
    frozen = [p for p in module.parameters() if not p.requires_grad and (p.is_floating_point() or p.is_complex())]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def trace(model: Recurrence, u: Mapping[str, Tensor]) -> Traced:
    """What one step of a recurrence does.

    Args:
        model: The recurrence.
        u: What a step consumes, ``(batch, *)``; its shapes count.

    Raises:
        NotFollowed: The step branches on values, changes tensors in place, or calls what is not torch.
    """
    initial = model.initial_state(1)
    like = next(iter(initial.values()))
    tracer = _Tracer(_unlikely(model, [*initial.values(), *u.values()]))

    def symbols(kind: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        made: dict[str, Tensor] = {}
        for name, value in values.items():
            made[name] = tracer.input(kind, name, value.new_full((tracer.traced.batch, *value.shape[1:]), 0.125))
        return made

    s, prepared = symbols("s", initial), symbols("u", u)
    t = tracer.input("t", "", torch.tensor(3, device=like.device))
    try:
        with (
            all_trainable(model),
            torch.enable_grad(),
        ):  # constants keep the way back to the parameters that they are made of
            after = model.step(dict(s), prepared, t)
    except NotFollowed:
        raise
    except Exception as error:  # a user's code may fail on symbols in any way
        raise NotFollowed(f"{type(error).__name__}: {' '.join(str(error).split())[:120]}") from error
    for block in model.state_spec:
        new = after[block.name]
        if not isinstance(new, Symbol):
            raise NotFollowed(f"the new {block.name} does not depend on the state or the input")
        tracer.traced.outputs[block.name] = new.value
    return tracer.traced
