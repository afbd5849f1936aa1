"""Tensors as tidy tables: one row an entry, a column for each place and for each quantity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd


def tidy(
    places: Sequence[str],
    quantities: Mapping[str, Tensor],
    at: Mapping[str, Sequence[int]] | None = None,
    **same: Any,
) -> pd.DataFrame:
    """One row for each entry of tensors of one shape, the last axis fastest.

    Args:
        places: Names of the axes, in the order of the columns, and of what is the same everywhere among them.
        quantities: Name of a column to its tensor.
        at: Name of an axis to its values; an axis is counted from 0 otherwise.
        same: Name of a place that is no axis to its value.
    """
    import pandas as pd

    axes = [name for name in places if name not in same]
    indices = np.indices(next(iter(quantities.values())).shape)
    columns: dict[str, Any] = {}
    for name in places:
        if name in same:
            columns[name] = same[name]
        else:
            index = indices[axes.index(name)].ravel()
            columns[name] = np.asarray(at[name])[index] if at and name in at else index
    columns |= {name: tensor.reshape(-1).numpy() for name, tensor in quantities.items()}
    return pd.DataFrame(columns)


def stacked(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Tables below each other; without rows where there are none."""
    import pandas as pd

    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
