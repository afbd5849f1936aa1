"""What λ and T may be in the closed forms."""

from __future__ import annotations

import cmath

import numpy as np

from gradscope.errors import UsageError


def checked_lambda(lambda_: complex) -> complex:
    """λ as one finite complex number.

    Raises:
        UsageError: An array, or no finite number.
    """
    if np.ndim(lambda_):
        raise UsageError(
            f"Theory takes one λ at a time, but an array of shape {np.shape(lambda_)} was given; ask for each value."
        )
    value = complex(lambda_)
    if not cmath.isfinite(value):
        raise UsageError(f"λ should be a finite number, but {lambda_} was given.")
    return value


def check_horizon(lambda_: complex, length: int | None) -> None:
    """λ and T fit each other.

    Raises:
        UsageError: T is no whole number from 1 on; |λ| above 1, or from 1 on where the horizon is infinite.
    """
    if length is None:
        if abs(lambda_) >= 1:
            raise UsageError(
                f"Theory of the infinite horizon needs |λ| below 1, but |λ| is {abs(lambda_):.6g}; give a length."
            )
    elif not length >= 1 or length % 1 or abs(lambda_) > 1:
        raise UsageError(
            "Theory at finite length needs |λ| of at most 1 and at least one step, "
            f"but |λ| is {abs(lambda_):.6g} and the length {length}."
        )
