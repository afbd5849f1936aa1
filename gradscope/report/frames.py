"""Measurements as tidy pandas frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradscope.measurements.batch_statistics import log10_median, log10_root_mean_square
from gradscope.measurements.results import GradientNorms

SAMPLED_LAGS = 64


def sampled_lags(length: int, count: int = SAMPLED_LAGS) -> NDArray[np.int64]:
    """About ``count`` log-spaced lags from 0 to length − 1, both included; all of them where there are fewer."""
    if length <= count:
        return np.arange(length)
    spaced = np.geomspace(1, length - 1, count - 1).round().astype(np.int64)
    return np.unique(np.concatenate([[0], spaced]))


def gradient_frame(result: GradientNorms, *, every_step: bool = True) -> pd.DataFrame:
    """One row per length, component and step; root mean square and median over the batch.

    Args:
        result: The measurement.
        every_step: All steps, or about 64 log-spaced lags of each length.
    """
    parts = []
    for index, length in enumerate(result.lengths):
        lags = np.arange(length) if every_step else sampled_lags(length)
        steps = length - lags
        for name, norm in result.log10_norm.items():
            samples = norm[index].numpy()[:, steps - 1]
            parts.append(
                pd.DataFrame(
                    {
                        "length": length,
                        "layer": result.layers[name],
                        "component": name,
                        "step": steps,
                        "steps_back": lags,
                        "log10_norm": log10_root_mean_square(samples),
                        "log10_norm_median": log10_median(samples),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)
