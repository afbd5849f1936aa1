"""A user's own classes: ``path/to/file.py:ClassName`` or ``package.module:ClassName``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from gradscope.contract.combinators import Stack
from gradscope.contract.initializer import Initializer
from gradscope.contract.model import Model
from gradscope.contract.option import OptionValue
from gradscope.contract.recurrence import Recurrence
from gradscope.errors import UnknownName, UsageError
from gradscope.own.cell_adapter import CellAdapter, is_cell
from gradscope.own.sequence_adapter import SequenceAdapter

AT = "at"  # the option that names inner modules of a sequence module


def custom_model(
    reference: str,
    *,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    seed: int,
    options: Mapping[str, OptionValue],
) -> Model:
    """A model from a user's class.

    The class has gradscope's contract, or the calling convention of ``RNNCell`` or ``LSTMCell``, or maps
    ``(batch, length, input_size)`` to ``(batch, length, features)``. Its constructor draws from global generators,
    which are seeded for it and put back.

    Raises:
        UsageError: The class cannot be found, loaded or built, or has another convention.
        UnknownName: No such class, option or inner module; names the nearest.
    """
    cls = load_class(reference)
    given = dict(options)
    at = str(given.pop(AT, ""))
    with seeded_generators(seed):
        layers, size = [], input_size
        arguments = _arguments(cls, reference, given, num_layers)
        count = 1 if "num_layers" in arguments else num_layers
        for index in range(count):
            sizes = {"input_size": size, "hidden_size": hidden_size, "num_layers": num_layers}
            module = _build(cls, reference, arguments, sizes, seed + index)
            layers.append(_adapted(module, reference, size, hidden_size, at))
            size = layers[-1].output_size
    if len(layers) > 1 and not all(isinstance(layer, Recurrence) for layer in layers):
        raise UsageError(
            f"{reference} takes no num_layers, and only recurrences can be stacked; build its layers inside."
        )
    return layers[0] if len(layers) == 1 else Stack(layers)


@contextlib.contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """The global generators of torch, numpy and Python start from a seed, and are put back afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def as_model(module: nn.Module, *, input_size: int, hidden_size: int | None = None, at: str = "") -> Model:
    """A measurable model around a module: itself, a cell, or a sequence module.

    Args:
        module: A :class:`~gradscope.contract.model.Model`, or a module with a cell's or a sequence module's convention.
        input_size: Features of its input.
        hidden_size: Width of a cell's state; ``module.hidden_size`` by default.
        at: Inner modules of a sequence module to measure at, joined by ``+``.
    """
    width = hidden_size if hidden_size is not None else getattr(module, "hidden_size", input_size)
    return _adapted(module, type(module).__name__, input_size, int(width), at)


def _adapted(module: nn.Module, reference: str, input_size: int, hidden_size: int, at: str) -> Model:
    if at and (isinstance(module, Model) or is_cell(module)):
        raise UsageError(f"{reference}: at= names inner modules of a sequence module, but this is a recurrence.")
    if isinstance(module, Model):
        return module
    if is_cell(module):
        return CellAdapter(module, input_size, hidden_size, reference)
    return SequenceAdapter(module, input_size, reference, tuple(name for name in at.split("+") if name))


def load_class(reference: str, folder: Path | None = None) -> type[nn.Module]:
    """The class that ``path/to/file.py:ClassName`` or ``package.module:ClassName`` names.

    A file finds the modules beside it, and those of its package. A package is looked for in ``folder`` and the current
    folder, and in the ``src`` of each, before anywhere else.

    Raises:
        UsageError: It cannot be found, or is no module.
        UnknownName: No such class; names the nearest.
    """
    place, _, name = reference.rpartition(":")
    if place.endswith(".py") or "/" in place:
        module = _load_file(Path(place))
    else:
        folders = [folder.resolve()] if folder is not None else []
        module = _load_package(place, *(part for home in (*folders, Path.cwd()) for part in (home, home / "src")))
    known = [n for n, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Module)]
    found = getattr(module, name, None)
    if found is None:
        raise UnknownName(f"class in {place}", name, known)
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise UsageError(f"{name} in {place} should be a class that derives from torch.nn.Module.")
    return found


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    if (path.parent / "__init__.py").is_file():
        return _load_file_of_package(path.resolve())
    source = path.read_bytes()
    name = f"gradscope_user_{hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    before = set(sys.modules)
    try:
        with _first_on_path(path.resolve().parent):
            spec.loader.exec_module(module)
        _forget(set(sys.modules) - before, path.resolve().parent)
    except SyntaxError as error:
        del sys.modules[name]
        raise UsageError(f"{path} has a syntax error in line {error.lineno}: {error.msg}.") from None
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}.") from error
    return module


def _forget(names: Iterable[str], folder: Path) -> None:
    """Takes a folder's modules out of Python's register: another file's helper may have the same name."""
    for name in names:
        place = getattr(sys.modules[name], "__file__", None)
        if place and Path(place).resolve().is_relative_to(folder):
            del sys.modules[name]


def _load_file_of_package(path: Path) -> ModuleType:
    """By its name in the package, so that it can import its neighbours; another package of that name gives way."""
    top, name = _package_of(path)
    module = _load_package(name, top)
    if _place(module) != path:
        _forget([loaded for loaded in sys.modules if loaded.partition(".")[0] == name.partition(".")[0]], Path("/"))
        module = _load_package(name, top)
    if _place(module) != path:
        raise UsageError(f"{path} is the module {name}, but {_place(module)} was found under that name; rename one.")
    return module


def _place(module: ModuleType) -> Path:
    return Path(module.__file__ or "").resolve()


def _package_of(path: Path) -> tuple[Path, str]:
    """The folder that the outermost package of a file lies in, and the file's name from there."""
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts, folder = [folder.name, *parts], folder.parent
    return folder, ".".join(parts)


def _load_package(name: str, *folders: Path) -> ModuleType:
    try:
        with _first_on_path(*folders):
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise UsageError(f"The module {name} cannot be imported: {type(error).__name__}: {error}.") from error


@contextlib.contextmanager
def _first_on_path(*folders: Path) -> Iterator[None]:
    """Where Python looks for modules first; afterwards last, so that a user's file hides nobody else's module."""
    places = [str(folder) for folder in folders if folder.is_dir()]
    sys.path[:0] = places
    try:
        yield
    finally:
        for place in places:
            with contextlib.suppress(ValueError):  # the user's code may have changed it as well
                sys.path.remove(place)
        sys.path += [place for place in places if place not in sys.path]


def _arguments(
    cls: type[nn.Module], reference: str, given: Mapping[str, OptionValue], num_layers: int
) -> dict[str, Any]:
    """The constructor's arguments: sizes by name (as None) where it takes them, options typed, batch_first."""
    if issubclass(cls, nn.RNNBase):
        known: dict[str, Any] = dict.fromkeys(("bias", "dropout", "bidirectional", "nonlinearity", "proj_size"))
        sizes = ["input_size", "hidden_size", "num_layers"]
        fixed: dict[str, Any] = {"batch_first": True}
    else:
        parameters = inspect.signature(cls).parameters
        known = {name: p for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        sizes = [name for name in ("input_size", "hidden_size", "num_layers", "initializer") if name in known]
        fixed = {"batch_first": True} if "batch_first" in known else {}
    for name in given:
        if name not in known or name in sizes:
            raise UnknownName(f"option of {reference}", name, [n for n in (*known, AT) if n not in sizes])
    typed = {name: _typed(reference, name, value, known[name]) for name, value in given.items()}
    return dict.fromkeys(sizes) | fixed | typed


def _typed(reference: str, name: str, value: OptionValue, parameter: inspect.Parameter | None) -> OptionValue:
    """A text as the type of the parameter's default or annotation, or as the number or truth value it looks like."""
    if not isinstance(value, str):
        return value
    kind: Any = None
    if parameter is not None and parameter.default not in (parameter.empty, None):
        kind = type(parameter.default)
    elif parameter is not None and parameter.annotation is not parameter.empty:
        kind = {"int": int, "float": float, "bool": bool, "str": str}.get(
            str(parameter.annotation), parameter.annotation
        )
    lowered = value.lower()
    if kind is str:
        return value
    if kind is bool or (kind is None and lowered in ("true", "false")):
        if lowered not in ("true", "false", "1", "0"):
            raise UsageError(f"{reference}: option {name}={value} should be true or false.")
        return lowered in ("true", "1")
    for convert in (int, float):
        if kind in (None, convert):
            try:
                return convert(value)
            except ValueError:
                continue
    if kind in (int, float):
        raise UsageError(
            f"{reference}: option {name}={value} should be {'a whole number' if kind is int else 'a number'}."
        )
    return value


def _build(
    cls: type[nn.Module], reference: str, arguments: Mapping[str, Any], sizes: Mapping[str, int], seed: int
) -> nn.Module:
    filled = {**arguments}
    for name in filled:
        if name in sizes:
            filled[name] = sizes[name]
    if "initializer" in filled:
        filled["initializer"] = Initializer(seed)
    try:
        return cls(**filled)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        shown = ", ".join(f"{name}={value}" for name, value in filled.items() if name != "initializer")
        raise UsageError(f"{reference} cannot be built with ({shown}): {type(error).__name__}: {error}.") from error
