"""Sums over the pairs of row and component that count are the sums over all of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import pytest

from gmm_spark.mixture.parameters import FloatArray, Parameters
from gmm_spark.statistics import engines, kernel, sparse
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.sparse import SparseSums
from tests.core.statistics.test_paths import Path, direct
from tests.strategies import Problem, assert_moments, assert_same, random_mixture, run, sample

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 1700  # two tiles and a part of one
HALVES = (slice(6), slice(6, 12))


@contextmanager
def answers() -> Iterator[list[bool]]:
    """Gather what `SparseSums.add` answers: whether it took the tile."""
    verdicts: list[bool] = []
    add = SparseSums.add

    def listened(self: SparseSums, shares: FloatArray, z: FloatArray, weights: FloatArray | None) -> bool:
        verdicts.append(add(self, shares, z, weights))
        return verdicts[-1]

    with mock.patch.object(SparseSums, "add", listened):
        yield verdicts


def apart(d: int, k: int, distance: float = 8.0) -> tuple[FloatArray, Parameters]:
    """Return (d, n) rows and their mixture of k components whose means are `distance` deviations apart per axis."""
    generator = np.random.default_rng(d + k)
    mixture = random_mixture(generator, k, d, "full", 0.1)
    means = distance * generator.standard_normal((k, d))
    mixture = Parameters(mixture.weights, means, mixture.covariances, "full")
    return sample(generator, mixture, ROWS)[0].T, mixture


def weighted() -> FloatArray:
    """Return weights of all sizes, 0 among them."""
    generator = np.random.default_rng(1)
    return np.asarray(10.0 ** generator.uniform(-6, 2, ROWS) * (generator.random(ROWS) < 0.9))


@pytest.mark.parametrize("weights", [None, weighted()], ids=["all 1", "of all sizes"])
@pytest.mark.parametrize(
    ("path", "d", "k"), [("product", 24, 20), ("product", 64, 20), ("factor", 40, 9), ("factor", 96, 12)]
)
def test_the_sums_of_rows_that_are_apart_are_their_posteriors_own(
    path: Path, d: int, k: int, weights: FloatArray | None
) -> None:
    """No dense sum is taken, and weight, means, products and log-likelihood agree with the posteriors' to 1e-12."""
    z, mixture = apart(d, k)
    choice = engines.Method(path, "quadratic")
    with mock.patch.object(kernel, "choose", return_value=choice), answers() as verdicts:
        (moments,) = kernel.accumulate([Block(z, weights)], [mixture])
    assert verdicts == [True] * 3
    assert_moments(moments, direct(z, np.ones(ROWS) if weights is None else weights, mixture), 1e-12)


def test_float32_products_over_few_pairs_are_as_near_as_float32_is() -> None:
    """The sums of float32 products differ from those in float64 by their rounding, not by what was left out."""
    z, mixture = apart(40, 16)
    with mock.patch.object(kernel, "choose", return_value=engines.Method("product", "quadratic", "float32")):
        (single,) = kernel.accumulate([Block(z)], [mixture], precision="float32")
    assert_moments(single, direct(z, np.ones(ROWS), mixture), 1e-4)


def test_rows_that_all_share_are_summed_over_all() -> None:
    """Where components overlap every pair counts, and the dense product takes its tiles."""
    z, mixture = apart(32, 12, distance=0.1)
    with answers() as verdicts:
        kernel.accumulate([Block(z)], [mixture])
    assert verdicts == [False] * 3


def test_tiles_of_both_kinds_add_up() -> None:
    """Half of the components far apart, half in one place: the sums over tiles of either are those of all rows."""
    _, mixture = apart(32, 12)
    means = np.concatenate([mixture.means[:6], 0.1 * mixture.means[6:]])
    own = [Parameters(np.full(6, 1 / 6), means[half], mixture.covariances[half], "full") for half in HALVES]
    far, near = (sample(np.random.default_rng(0), each, ROWS)[0].T for each in own)
    both = Parameters(mixture.weights, means, mixture.covariances, "full")
    with answers() as verdicts:
        (moments,) = kernel.accumulate([Block(far), Block(near)], [both])
    assert verdicts == [True] * 3 + [False] * 3
    assert_moments(moments, direct(np.concatenate([far, near], axis=1), np.ones(2 * ROWS), both), 1e-12)


def test_a_stack_over_few_pairs_gives_each_candidate_its_own_sums() -> None:
    """Two mixtures in one pass get the sums that each gets alone, to 1e-12."""
    z, mixture = apart(32, 12)
    other = Parameters(mixture.weights[::-1], mixture.means + 0.2, mixture.covariances, "full")
    stack = [mixture, other]
    for together, candidate in zip(kernel.accumulate([Block(z)], stack), stack, strict=True):
        assert_moments(together, kernel.accumulate([Block(z)], [candidate])[0], 1e-12)


def test_a_whole_fit_ends_where_it_ends_without() -> None:
    """Ten steps from a rough start, over few pairs and over all, lead to the same mixture to 1e-11."""
    z, mixture = apart(32, 10)
    start = Parameters(mixture.weights, mixture.means + 0.5, 2 * mixture.covariances, "full")
    problem = Problem(np.ascontiguousarray(z.T), np.ones(ROWS), start)
    with answers() as verdicts:
        few = run(problem, tol=0, max_iter=10, floor=1e-6)
    assert any(verdicts)
    with mock.patch.object(sparse, "MOST_SHARE", 0.0):
        whole = run(problem, tol=0, max_iter=10, floor=1e-6)
    frame = problem.frame
    assert_same(frame.outward(few.best.parameters), frame.outward(whole.best.parameters), frame, 1e-11)
