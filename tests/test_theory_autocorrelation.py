"""The estimate of R(Δ) against its definition, pair by pair."""

import numpy as np
import pytest

from gradscope.theory import estimate


@pytest.mark.parametrize(("longest", "count"), [(0, 1), (3, 4), (6, 7), (50, 7)])
def test_every_lag_is_the_mean_over_its_own_pairs(longest, count):
    x = np.random.RandomState(0).standard_normal((2, 7, 3)) + 1.0  # a mean counts
    found = estimate(x, longest).values
    assert len(found) == count
    for lag, value in enumerate(found):
        pairs = [x[s, t + lag, k] * x[s, t, k] for s in range(2) for t in range(7 - lag) for k in range(3)]
        assert np.isclose(value, sum(pairs) / len(pairs), rtol=1e-12, atol=1e-15)
