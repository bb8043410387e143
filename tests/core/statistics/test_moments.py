"""Sufficient statistics are a commutative monoid, and are sent as bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.statistics.layouts import feature_count
from gmm_spark.statistics.least_likely import SIZE, empty_reservoir, merge_reservoirs
from gmm_spark.statistics.moments import Moments, sum_in_order
from tests.strategies import assert_moments, seeds


def example(seed: int, k: int, d: int) -> Moments:
    """Return random statistics."""
    generator = np.random.default_rng(seed)
    sums, total = generator.uniform(1, 9, (k, feature_count(d))), generator.uniform(1, 9, feature_count(d))
    lowest = merge_reservoirs(empty_reservoir(d), generator.normal(-9, 1, (int(generator.integers(0, 12)), 1 + d)))
    rows = int(generator.integers(1, 99))
    return Moments(generator.normal(-5), sums, total, np.zeros((k, d)), rows=rows, lowest=lowest)


shapes = st.tuples(st.integers(1, 5), st.integers(1, 6))


@given(shapes, seeds, seeds, seeds)
def test_addition_is_a_commutative_monoid(shape: tuple[int, int], a: int, b: int, c: int) -> None:
    """a + zero = a and a + b = b + a bit for bit, and (a + b) + c = a + (b + c) up to rounding."""
    one, two, three = (example(seed, *shape) for seed in (a, b, c))
    zero = Moments.zero(np.zeros(shape))
    assert (one + zero).to_bytes() == one.to_bytes()
    assert (one + two).to_bytes() == (two + one).to_bytes()
    assert_moments((one + two) + three, one + (two + three), 1e-14)
    assert sum_in_order([one, two, three], zero).to_bytes() == ((one + two) + three).to_bytes()
    assert sum_in_order([], zero).to_bytes() == zero.to_bytes()


@given(shapes, seeds)
def test_bytes_are_read_back_bit_for_bit(shape: tuple[int, int], seed: int) -> None:
    """to_bytes writes 8 bytes per number, and from_bytes reads them back."""
    moments = example(seed, *shape)
    data = moments.to_bytes()
    assert len(data) == 8 * (2 + moments.total.size + moments.sums.size + SIZE * (1 + shape[1]))
    back = Moments.from_bytes(memoryview(data), Moments.zero(np.zeros(shape)))
    assert back.to_bytes() == data
    assert back.rows == moments.rows


@pytest.mark.parametrize("d", [1, 2, 3, 17, 256])
def test_feature_count_matches_the_layouts(d: int) -> None:
    """F is 1 + d + d (d + 1) / 2 for quadratic features, 1 + 2 d for diagonal and 1 + d for linear ones."""
    assert feature_count(d) == 1 + d + len(np.triu_indices(d)[0])
    assert feature_count(d, "diagonal") == 1 + 2 * d
    assert feature_count(d, "linear") == 1 + d


def test_means_and_covariances_follow_from_the_sums() -> None:
    """Rows (2, 5) and (4, 5) have mean (3, 5) and variances 1 and 0; a component without rows uses the fallback."""
    sums = np.array([[2.0, 6.0, 10.0, 20.0, 30.0, 50.0], np.zeros(6)])
    moments = Moments(-4.0, sums, sums[0], np.zeros((2, 2)))
    fallback = np.full((2, 2), 9.0), np.stack([np.eye(2)] * 2)
    assert moments.mass.tolist() == [2, 0]
    assert moments.means(fallback[0]).tolist() == [[3, 5], [9, 9]]
    assert moments.covariances(fallback[1]).tolist() == [[[1, 0], [0, 0]], [[1, 0], [0, 1]]]
    assert moments.mean_log_likelihood == -2
    assert moments.imbalance == 0


def test_sums_that_do_not_add_up_show_an_imbalance() -> None:
    """First moments of components that differ from those of all rows give an imbalance of that size."""
    sums = np.array([[2.0, 6.0, 18.0]])
    assert Moments(-4.0, sums, np.array([2.0, 7.0, 18.0]), np.zeros((1, 1))).imbalance > 0.01
