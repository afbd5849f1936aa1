"""Lags of a result: which are shown, which one its norms are relative to, from which on something holds."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SAMPLED_LAGS = 64  # in files and pictures
LAGS_SHOWN = 7  # by a result that prints


def sampled_lags(length: int, count: int = SAMPLED_LAGS) -> NDArray[np.int64]:
    """About ``count`` log-spaced lags from 0 to length − 1, both included; all of them where there are fewer."""
    if length <= count:
        return np.arange(length)
    spaced = np.geomspace(1, length - 1, count - 1).round().astype(np.int64)
    return np.unique(np.concatenate([[0], spaced]))


def from_lag_on(by_lag: NDArray[np.float64], below: float, *, inclusive: bool = False) -> float:
    """Smallest lag from which on everything lies below a limit; inf if the last one does not, NaN for no numbers.

    Example:
        >>> from_lag_on(np.array([0.0, -3.0, -1.0, -3.0]), -2.0)
        3.0
    """
    if len(by_lag) == 0 or np.isnan(by_lag).any():
        return math.nan
    above = np.flatnonzero(by_lag > below if inclusive else by_lag >= below)
    first = 0 if len(above) == 0 else int(above[-1]) + 1
    return math.inf if first == len(by_lag) else float(first)


def reference(lags: Iterable[int]) -> str:
    """What norms are relative to, in words: lag 1 where the last step has a direct path to the output."""
    found = {"the last step" if lag == 0 else "one step back" for lag in lags}
    return found.pop() if len(found) == 1 else "the last step (direct path: one back)"
