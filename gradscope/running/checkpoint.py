"""Trained weights: a ``state_dict`` file into a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gradscope.contract.model import Model
from gradscope.errors import UnknownName, UsageError

_SHOWN_NAMES = 6


def load_checkpoint(model: Model, file: Path) -> None:
    """Put the weights of a file into a model of the same names and shapes.

    The names may lack the one prefix that gradscope's adapter of a user's module adds to all of them.

    Raises:
        UsageError: No such file, no ``state_dict``, or other shapes or names than the model's.
    """
    weights = _read(file)
    expected = model.state_dict()
    prefix = _common_prefix(expected)
    if prefix and not weights.keys() & expected.keys():
        weights = {f"{prefix}{name}": value for name, value in weights.items()}
    _check_names(weights, expected, file)
    _check_shapes(weights, expected, file)
    model.load_state_dict(weights)


def _read(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise UsageError(f"There is no checkpoint file {file}; give a state_dict saved with torch.save.")
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # whatever the unpickler meets in a file of another kind: the user needs to know only which file
        raise UsageError(
            f"The checkpoint {file} cannot be read; save model.state_dict() with torch.save, weights alone."
        ) from None
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise UsageError(f"The checkpoint {file} holds no state_dict; save model.state_dict() with torch.save.")
    return {str(name): value for name, value in loaded.items()}


def _common_prefix(names: Mapping[str, Tensor]) -> str:
    first = {name.partition(".")[0] for name in names if "." in name}
    return f"{first.pop()}." if len(first) == 1 and all("." in name for name in names) else ""


def _check_names(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path) -> None:
    unknown = [name for name in weights if name not in expected]
    missing = [name for name in expected if name not in weights]
    if len(unknown) == 1 and not missing:
        raise UnknownName(f"parameter of the model, named in {file},", unknown[0], expected)
    problems = [f"lacks {_shown(missing)}"] * bool(missing) + [f"has {_shown(unknown)} too many"] * bool(unknown)
    if problems:
        raise UsageError(f"The checkpoint {file} {' and '.join(problems)}; the model has {_shown(list(expected))}.")


def _check_shapes(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path) -> None:
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise UsageError(
                f"The checkpoint {file} has {name} of shape {tuple(value.shape)}, but the model's is "
                f"{tuple(expected[name].shape)}; give the sizes that it was trained with."
            )


def _shown(names: list[str]) -> str:
    tail = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + tail
