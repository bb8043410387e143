"""Sums over the pairs of row and component that count equal the sums over all pairs."""

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

ROWS = 1700  # two tiles and a part of a third
HALVES = (slice(6), slice(6, 12))


@contextmanager
def recorded_verdicts() -> Iterator[list[bool]]:
    """Collect what `SparseSums.add` returns: whether it added the tile."""
    verdicts: list[bool] = []
    add = SparseSums.add

    def recorded(self: SparseSums, shares: FloatArray, z: FloatArray, weights: FloatArray | None) -> bool:
        verdicts.append(add(self, shares, z, weights))
        return verdicts[-1]

    with mock.patch.object(SparseSums, "add", recorded):
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
def test_sums_of_separate_components_match_the_posteriors(
    path: Path, d: int, k: int, weights: FloatArray | None
) -> None:
    """No tile is summed densely, and the statistics agree with those from the posteriors to 1e-12."""
    z, mixture = apart(d, k)
    choice = engines.Method(path, "quadratic")
    with mock.patch.object(kernel, "choose", return_value=choice), recorded_verdicts() as verdicts:
        (moments,) = kernel.accumulate([Block(z, weights)], [mixture])
    assert verdicts == [True] * 3
    assert_moments(moments, direct(z, np.ones(ROWS) if weights is None else weights, mixture), 1e-12)


def test_float32_products_over_few_pairs_differ_by_rounding_alone() -> None:
    """Sums of float32 products over few pairs agree with float64 sums over all pairs to 1e-4."""
    z, mixture = apart(40, 16)
    with mock.patch.object(kernel, "choose", return_value=engines.Method("product", "quadratic", "float32")):
        (single,) = kernel.accumulate([Block(z)], [mixture], precision="float32")
    assert_moments(single, direct(z, np.ones(ROWS), mixture), 1e-4)


def test_tiles_of_overlapping_components_are_summed_densely() -> None:
    """If components overlap, every pair counts, and the tiles go to the dense product."""
    z, mixture = apart(32, 12, distance=0.1)
    with recorded_verdicts() as verdicts:
        kernel.accumulate([Block(z)], [mixture])
    assert verdicts == [False] * 3


def test_tiles_of_both_kinds_add_up() -> None:
    """With half of the components apart and half overlapping, the sums over both kinds of tiles are complete."""
    _, mixture = apart(32, 12)
    means = np.concatenate([mixture.means[:6], 0.1 * mixture.means[6:]])
    halves = [Parameters(np.full(6, 1 / 6), means[half], mixture.covariances[half], "full") for half in HALVES]
    far, near = (sample(np.random.default_rng(0), each, ROWS)[0].T for each in halves)
    both = Parameters(mixture.weights, means, mixture.covariances, "full")
    with recorded_verdicts() as verdicts:
        (moments,) = kernel.accumulate([Block(far), Block(near)], [both])
    assert verdicts == [True] * 3 + [False] * 3
    assert_moments(moments, direct(np.concatenate([far, near], axis=1), np.ones(2 * ROWS), both), 1e-12)


def test_a_stack_over_few_pairs_gives_the_sums_of_each_candidate_alone() -> None:
    """Two mixtures in one pass get the sums that each gets in a pass of its own, to 1e-12."""
    z, mixture = apart(32, 12)
    other = Parameters(mixture.weights[::-1], mixture.means + 0.2, mixture.covariances, "full")
    stack = [mixture, other]
    for together, candidate in zip(kernel.accumulate([Block(z)], stack), stack, strict=True):
        assert_moments(together, kernel.accumulate([Block(z)], [candidate])[0], 1e-12)


def test_a_fit_over_few_pairs_ends_at_the_same_mixture() -> None:
    """Ten steps from a rough start over few pairs and over all pairs give the same mixture to 1e-11."""
    z, mixture = apart(32, 10)
    start = Parameters(mixture.weights, mixture.means + 0.5, 2 * mixture.covariances, "full")
    problem = Problem(np.ascontiguousarray(z.T), np.ones(ROWS), start)
    with recorded_verdicts() as verdicts:
        few = run(problem, tol=0, max_iter=10, floor=1e-6)
    assert any(verdicts)
    with mock.patch.object(sparse, "MOST_SHARE", 0.0):
        whole = run(problem, tol=0, max_iter=10, floor=1e-6)
    frame = problem.frame
    assert_same(frame.outward(few.best.parameters), frame.outward(whole.best.parameters), frame, 1e-11)
