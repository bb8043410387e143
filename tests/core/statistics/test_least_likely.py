"""The reservoir contains the rows of least density for any division into blocks, and is part of the statistics."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.mixture.parameters import FAMILIES, Family, FloatArray
from gmm_spark.statistics import kernel, least_likely
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.least_likely import SIZE, Reservoir
from gmm_spark.statistics.moments import Moments
from tests.strategies import Problem, problems, random_mixture, sample, seeds


def filled(log_density: FloatArray, z: FloatArray, weights: FloatArray | None, tile: int) -> FloatArray:
    """Return the reservoir after the rows are offered in tiles."""
    reservoir = Reservoir(len(z))
    for at in range(0, z.shape[1], tile):
        part = slice(at, at + tile)
        reservoir.offer(log_density[part], z[:, part], None if weights is None else weights[part])
    return reservoir.rows


def sorted_rows(log_density: FloatArray, z: FloatArray) -> FloatArray:
    """Return the SIZE least rows, by a full sort."""
    rows = sorted(tuple(row) for row in np.concatenate([log_density[None], z]).T.tolist())[:SIZE]
    return np.array(rows + [(np.inf,) * (1 + len(z))] * (SIZE - len(rows)))


@given(seeds, st.integers(1, 4), st.integers(1, 200), st.integers(1, 60), st.sampled_from([2, 5, 10**6]), st.booleans())
def test_the_least_rows_of_all_remain(seed: int, d: int, n: int, tile: int, levels: int, weighted: bool) -> None:  # noqa: FBT001
    """The reservoir is the head of a full sort, with and without ties and weights of 0, for tiles of any size."""
    generator = np.random.default_rng(seed)
    z = generator.integers(0, levels, (d, n)).astype(np.float64)
    log_density = generator.integers(0, levels, n).astype(np.float64)
    weights = generator.integers(0, 2, n).astype(np.float64) if weighted else None
    counts = slice(None) if weights is None else weights > 0
    np.testing.assert_array_equal(filled(log_density, z, weights, tile), sorted_rows(log_density[counts], z[:, counts]))


@given(st.lists(st.integers(0, 40), min_size=3, max_size=3), seeds)
def test_merging_is_a_commutative_monoid(sizes: list[int], seed: int) -> None:
    """Any grouping and any order give the same bits, and the empty reservoir changes nothing."""
    generator = np.random.default_rng(seed)
    draws = (generator.integers(0, 3, (3, n)).astype(np.float64) for n in sizes)
    a, b, c = (filled(rows[0], rows[1:], None, 7) for rows in draws)
    merged = least_likely.merge_reservoirs
    assert merged(a, b).tobytes() == merged(b, a).tobytes()
    assert merged(merged(a, b), c).tobytes() == merged(a, merged(b, c)).tobytes()
    assert merged(a, least_likely.empty_reservoir(2)).tobytes() == a.tobytes()


@given(problems(), st.integers(1, 300))
def test_the_kernel_returns_the_least_likely_rows(problem: Problem, size: int) -> None:
    """The reservoir contains the least log-densities, and its rows are rows of the data."""
    mixture, z = problem.frame.inward(problem.start), problem.frame.rows(problem.x)
    twin = type(mixture)(mixture.weights, mixture.means, mixture.covariances, "full")  # a tied mixture gathers none
    blocks = [Block(z[:, at : at + size], problem.weights[at : at + size]) for at in range(0, z.shape[1], size)]
    (moments,) = kernel.accumulate(blocks, [twin])
    assert moments.lowest is not None
    _, log_density = kernel.posteriors(z.T, mixture)
    np.testing.assert_allclose(moments.lowest[:, 0], np.sort(log_density)[:SIZE], rtol=1e-9, atol=1e-9)
    assert all((row == z.T).all(axis=1).any() for row in moments.lowest[:, 1:])
    assert moments.rows == np.count_nonzero(problem.weights)


@pytest.mark.parametrize("family", FAMILIES)
def test_statistics_of_parts_add_up_to_the_reservoir_of_the_whole(family: Family) -> None:
    """Statistics of seven parts, sent as bytes and added, have the reservoir of one pass over all rows."""
    generator = np.random.default_rng(4)
    mixture = random_mixture(generator, 3, 2, family)
    x, _ = sample(generator, mixture, 500)
    (whole,) = kernel.accumulate([Block(x.T)], [mixture])
    (zero,) = kernel.zero_moments([mixture])
    parts = [kernel.accumulate([Block(x.T[:, at::7])], [mixture])[0] for at in range(7)]
    received = [Moments.from_bytes(part.to_bytes(), zero) for part in parts]
    total = reduce(Moments.__add__, received, zero)
    assert total.rows == whole.rows == 500
    if family == "tied":
        assert total.lowest is whole.lowest is None
    else:
        assert total.lowest is not None
        assert whole.lowest is not None
        np.testing.assert_allclose(total.lowest, whole.lowest, rtol=1e-12)


def test_each_candidate_has_its_own_reservoir() -> None:
    """In one pass each candidate gathers its least likely rows, and rows of weight 0 are ignored."""
    generator = np.random.default_rng(5)
    x = np.concatenate([generator.standard_normal((300, 2)), [[50.0, 0], [0, 70.0], [90.0, 90.0]]])
    weights = np.ones(303)
    weights[-1] = 0
    near, far = random_mixture(generator, 2, 2, "full", 0.1), random_mixture(generator, 3, 2, "diag", 0.1)
    stacked = kernel.accumulate([Block(x.T, weights)], [near, far])
    for candidate, moments in zip((near, far), stacked, strict=True):
        (alone,) = kernel.accumulate([Block(x.T, weights)], [candidate])
        assert moments.lowest is not None
        assert alone.lowest is not None
        np.testing.assert_allclose(moments.lowest, alone.lowest, rtol=1e-12)
        assert sorted(moments.lowest[:2, 1:].tolist()) == [[0, 70], [50, 0]]


def test_distinct_points_start_with_the_least_likely() -> None:
    """Copies of a row are one point, and empty places are not points."""
    rows = np.array([[-9.0, 5, 5], [-9.0, 5, 5], [-3.0, 1, 1], [-2.0, 5, 5]])
    reservoir = least_likely.merge_reservoirs(least_likely.empty_reservoir(2), rows)
    assert least_likely.distinct_points(reservoir).tolist() == [[5, 5], [1, 1]]
    assert least_likely.distinct_points(least_likely.empty_reservoir(2)).shape == (0, 2)
