"""The share of starts that lead to one partition, and the index that compares partitions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from gmm_spark.mixture.parameters import FloatArray, Parameters
from gmm_spark.selection.stability import adjusted_rand_index, stability


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_index_is_that_of_scikit_learn(seed: int, k: int) -> None:
    """The index agrees for random partitions, related ones, and the same one with other labels."""
    rng = np.random.default_rng(seed)
    one, other = rng.integers(k, size=200), rng.integers(3, size=200)
    related = np.where(rng.random(200) < 0.8, one, other)
    for a, b in ((one, other), (one, related), (one, (one + 1) % k)):
        assert adjusted_rand_index(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)


def mixture(*means: float) -> Parameters:
    """Return two components of variance 1 in one dimension."""
    return Parameters([0.5, 0.5], np.array(means)[:, None], np.ones((2, 1, 1)))


def rows() -> FloatArray:
    """Return (1, n) rows around 0 and 10."""
    return np.concatenate([np.linspace(-1, 1, 50), np.linspace(9, 11, 50)])[None]


def test_stability_is_the_share_of_starts_with_the_best_partition() -> None:
    """Two of three starts have the partition of the best, one with other labels; the third splits a cluster."""
    led = [mixture(0.5, 9.5), mixture(10, 0), mixture(0, 0.5)]
    assert stability(led, mixture(0, 10), rows()) == pytest.approx(2 / 3)


def test_stability_without_starts_is_nan() -> None:
    """Without starts there is nothing to count."""
    assert np.isnan(stability([], mixture(0, 10), rows()))
