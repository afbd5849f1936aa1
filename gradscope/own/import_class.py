"""Finds a user's class, ``path/to/file.py:ClassName`` or ``package.module:ClassName``, and imports it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from torch import nn

from gradscope.errors import UnknownName, UsageError
from gradscope.own.reference import names_file


def load_class(reference: str, folder: Path | None = None) -> type[nn.Module]:
    """The class that ``path/to/file.py:ClassName`` or ``package.module:ClassName`` names.

    A file finds the modules beside it, and those of its package. A package is looked for in ``folder`` and the current
    folder, and in the ``src`` of each, before anywhere else.

    Raises:
        UsageError: It cannot be found, or is no module.
        UnknownName: No such class; names the nearest.
    """
    place, _, name = reference.rpartition(":")
    if names_file(place):
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
