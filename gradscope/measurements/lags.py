"""Lags of a result: which are shown, and which one its norms are relative to."""

from __future__ import annotations

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


def reference(lags: Iterable[int]) -> str:
    """What norms are relative to, in words: lag 1 where the last step has a direct path to the output."""
    found = {"the last step" if lag == 0 else "one step back" for lag in lags}
    return found.pop() if len(found) == 1 else "the last step (direct path: one back)"
