"""Student's distribution, of a mean in units of an error that a few draws have told, for whole degrees of freedom."""

from __future__ import annotations

import math

BISECTIONS = 60


def probability_beyond(t: float, freedom: int) -> float:
    """The probability that |t| is larger.

    Args:
        t: Any number; its sign does not matter.
        freedom: Degrees of freedom, at least 1: of a mean over n draws, n − 1.

    Source:
        Abramowitz & Stegun (1964), 26.7.3 and 26.7.4.

    Example:
        >>> round(probability_beyond(1.0, 1), 6)  # Cauchy's
        0.5
    """
    if math.isinf(t):
        return 0.0
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, squared_cosine = math.sin(angle), math.cos(angle) ** 2
    is_odd = freedom % 2
    term = math.cos(angle) if is_odd else 1.0
    series = 0.0
    for k in range(1, freedom // 2 + 1):
        series += term
        term *= squared_cosine * (2 * k - 1 + is_odd) / (2 * k + is_odd)
    within = (angle + sine * series) * 2 / math.pi if is_odd else sine * series
    return max(0.0, 1.0 - within)


def student_bound(share: float, freedom: int) -> float:
    """The t that |t| stays below with probability ``share``.

    Args:
        share: Between 0 and 1.
        freedom: Degrees of freedom.

    Example:
        >>> round(student_bound(0.95, 4), 3)
        2.776
    """
    low, high = 0.0, 1.0
    while probability_beyond(high, freedom) > 1 - share:
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if probability_beyond(middle, freedom) > 1 - share else (low, middle)
    return high
