"""Sufficient statistics are a commutative monoid, and travel as bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.moments import Moments, feature_count, total
from tests.strategies import assert_moments, seeds


def example(seed: int, k: int, d: int) -> Moments:
    """Return random statistics."""
    generator = np.random.default_rng(seed)
    return Moments(generator.uniform(1, 9), generator.normal(-5), generator.standard_normal((k, feature_count(d))))


shapes = st.tuples(st.integers(1, 5), st.integers(1, 6))


@given(shapes, seeds, seeds, seeds)
def test_addition_is_a_commutative_monoid(shape: tuple[int, int], a: int, b: int, c: int) -> None:
    """zero is exact, a + b = b + a to the bit, (a + b) + c = a + (b + c) to rounding."""
    one, two, three = (example(seed, *shape) for seed in (a, b, c))
    assert (one + Moments.zero(*shape)).to_bytes() == one.to_bytes()
    assert (one + two).to_bytes() == (two + one).to_bytes()
    assert_moments((one + two) + three, one + (two + three), 1e-14)
    assert total([one, two, three], Moments.zero(*shape)).to_bytes() == ((one + two) + three).to_bytes()
    assert total([], Moments.zero(*shape)).to_bytes() == Moments.zero(*shape).to_bytes()


@given(shapes, seeds)
def test_bytes_come_back_to_the_bit(shape: tuple[int, int], seed: int) -> None:
    """from_bytes reads what to_bytes wrote, 8 bytes a number."""
    moments = example(seed, *shape)
    data = moments.to_bytes()
    assert len(data) == 8 * (2 + moments.sums.size)
    assert Moments.from_bytes(memoryview(data), shape[0]).to_bytes() == data


@pytest.mark.parametrize("d", [1, 2, 3, 17, 256, 1000])
def test_the_number_of_features_is_read_off_the_width(d: int) -> None:
    """F = 1 + d + d (d + 1) / 2 is solved for d exactly."""
    assert feature_count(d) == 1 + d + len(np.triu_indices(d)[0])
    assert Moments.zero(1, d).d == d


def test_mass_first_and_second_are_read_off_the_sums() -> None:
    """One row of weight 2 at (3, 5) for component 0: mass 2, first moments 2 z, second 2 z z'."""
    moments = Moments(2.0, -4.0, np.array([[2.0, 6.0, 10.0, 18.0, 30.0, 50.0], np.zeros(6)]))
    assert moments.mass.tolist() == [2, 0]
    assert moments.first.tolist() == [[6, 10], [0, 0]]
    assert moments.second.tolist() == [[[18, 30], [30, 50]], [[0, 0], [0, 0]]]
    assert moments.mean_log_likelihood == -2
