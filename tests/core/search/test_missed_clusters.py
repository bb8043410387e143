"""All rows show when the sample that a start was found on has missed a cluster, and only then."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import em
from gmm_spark.mixture import coordinates, families
from gmm_spark.mixture.parameters import FAMILIES, Parameters
from gmm_spark.search import missed_clusters
from gmm_spark.search.best_start import best, in_memory, ranked
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.statistics.moments import Moments


@dataclass
class Search:
    """A search on a sample of rows, and the reads of all of them."""

    x: FloatArray
    k: int
    family: Family
    taken: slice
    starts: int = 20
    seed: int = 0
    reads: list[Parameters] = field(default_factory=list)

    def __post_init__(self) -> None:
        covariance, d = np.cov(self.x.T, bias=True), self.x.shape[1]
        self.frame = coordinates.coordinates_for(self.family, self.x.mean(axis=0), covariance, tuple("abcdefgh"[:d]))
        self.z = np.ascontiguousarray(self.frame.rows(self.x))
        z = np.ascontiguousarray(self.z[:, self.taken])
        self.sample = Sample(z, np.ones(z.shape[1]), covariance)
        tol = 0.1 * families.free_parameters(self.family, self.k, d) / (2 * z.shape[1])
        self.plan = Plan(self.k, self.family, self.starts, self.seed, 1e-6, tol)
        self.found = best(self.sample, self.frame, self.plan)
        self.start = self.found.best.parameters

    def measure(self, candidate: Parameters) -> Moments:
        """Read all rows."""
        self.reads.append(candidate)
        block = Block(self.z)
        return kernel.accumulate([block], [candidate], kept=missed_clusters.KEPT)[0]

    def checked(self) -> missed_clusters.CheckedStart:
        """Look at the start with all rows."""
        return missed_clusters.check_start(self.measure, self.found, self.sample, self.frame, self.plan)

    def evidence(self) -> missed_clusters.Evidence:
        """Return what all rows say of the start."""
        return missed_clusters.evidence_of(self.start, self.measure(self.start), self.sample)


def with_a_rare_cluster(seed: int) -> FloatArray:
    """Return 60,000 rows: two clusters and, last, 40 rows halfway between them, 25 deviations from each."""
    rng = np.random.default_rng(seed)
    two = rng.standard_normal((59_960, 2)) + np.where(rng.random((59_960, 1)) < 0.4, 25.0, -25.0) * [1.0, 0.0]
    return np.concatenate([two, 0.3 * rng.standard_normal((40, 2))])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cluster_that_the_sample_missed_is_found(family: Family) -> None:
    """With 500 rows of two clusters for a sample, the third among all rows is found and gets its share and mean."""
    search = Search(with_a_rare_cluster(seed=1), 3, family, slice(500))
    checked = search.checked()
    assert checked.replaced
    assert len(search.reads) == 2
    maximise = em.Maximiser(search.frame, 1e-6)
    state = em.begin(checked.parameters, "squarem")
    fit = em.run(in_memory([Block(search.z)]), state, maximise, em.Goal(1e-7, 200), measured=checked.moments)
    found = search.frame.outward(fit.best.parameters).ordered()
    assert found.weights[2] == pytest.approx(40 / 60_000, rel=0.01)
    np.testing.assert_allclose(found.means[2], 0, atol=0.3)


@pytest.mark.parametrize(("family", "d", "k"), [("full", 2, 3), ("diag", 6, 2), ("tied", 3, 4)])
def test_there_is_no_alarm_where_nothing_was_missed(family: Family, d: int, k: int) -> None:
    """On mixtures that are what they are taken for, the tail's loss is about one n-th nat a row, and no alarm."""
    losses = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        means = 3 * rng.standard_normal((k, d))
        x = means[rng.integers(k, size=60_000)] + rng.standard_normal((60_000, d))
        evidence = Search(x, k, family, slice(2000), starts=4).evidence()
        assert not evidence.alarming
        assert abs(evidence.gap) < 5 * evidence.error
        losses.append(2000 * evidence.tail)
    assert 0.1 < np.mean(losses) < 4  # a standard exponential, but for what the sample's own error adds


def test_a_second_look_never_makes_it_worse() -> None:
    """On scattered outliers, which are no cluster, the start that goes on is at least as likely as the first one."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.standard_normal((30_000, 2)), rng.uniform(-60, 60, (20, 2))])
    search = Search(x, 2, "full", slice(1000))
    checked = search.checked()
    assert checked.moments.log_likelihood >= search.measure(search.start).log_likelihood
    assert checked.evidence.alarming


def test_the_start_that_was_checked_is_not_read_again() -> None:
    """The first pass of the fit is the check itself: EM of no further step reads nothing."""
    search = Search(with_a_rare_cluster(seed=2)[:3000], 2, "full", slice(500), starts=2)
    checked = search.checked()

    def unread(candidates: object) -> tuple[Moments, ...]:
        pytest.fail(f"read for {candidates}")

    state, maximise = em.begin(checked.parameters, "none"), em.Maximiser(search.frame, 1e-6)
    fit = em.run(unread, state, maximise, em.Goal(0.0, 0), measured=checked.moments)
    assert fit.best.moments is checked.moments


@pytest.mark.parametrize("family", FAMILIES)
def test_the_least_likely_rows_come_along_where_they_are_asked_for(family: Family) -> None:
    """In whatever layout a mixture is summed: n rows by their densities, and none where none are asked for."""
    search = Search(with_a_rare_cluster(seed=2)[:3000], 2, family, slice(500), starts=2)
    block = Block(search.z)
    (moments,) = kernel.accumulate([block], [search.start], kept=20)
    (none,) = kernel.accumulate([block], [search.start], kept=0)
    assert moments.lowest is not None
    assert none.lowest is None
    density = kernel.posteriors(np.ascontiguousarray(search.z.T), search.start)[1]
    np.testing.assert_allclose(moments.lowest[:, 0], np.sort(density)[:20], rtol=1e-9)
    assert moments.log_likelihood == pytest.approx(none.log_likelihood, rel=1e-12)


def with_far_rows(far: int, n: int, early: int) -> tuple[FloatArray, NDArray[np.intp]]:
    """Return n rows of two clusters ten deviations apart, rows at 1e4 after the first `early` ones, and the labels."""
    rng = np.random.default_rng(0)
    labels = (rng.random(n) < 0.4).astype(np.intp)
    labels[early : early + far] = 2
    return rng.standard_normal((n, 2)) + np.array([0.0, 10.0, 1e4])[labels, None] * [1.0, 0.0], labels


def check_far_rows(search: Search, found: em.Fit, labels: NDArray[np.intp]) -> None:
    """Hold a fit to what EM makes of the true labels, and each real cluster to a component of its own."""
    z = search.z
    masses = np.bincount(labels) / len(labels)
    means = np.stack([z[:, labels == k].mean(axis=1) for k in range(3)])
    covariances = np.stack([np.cov(z[:, labels == k], bias=True) + 1e-6 * np.eye(len(z)) for k in range(3)])
    true = em.begin(Parameters(masses, means, covariances, "full"), "squarem")
    expectation = in_memory([Block(z)])
    reached = em.run(expectation, true, em.Maximiser(search.frame, 1e-6), em.Goal(1e-6, 200))
    value, expected = (each.best.moments.mean_log_likelihood for each in (found, reached))
    assert value >= expected - 1e-3
    predicted = kernel.posteriors(np.ascontiguousarray(z.T), found.best.parameters)[0].argmax(axis=1)
    one, other = (np.bincount(predicted[labels == k], minlength=3) / (labels == k).sum() for k in (0, 1))
    assert one.max() > 0.99
    assert other.max() > 0.99
    assert one.argmax() != other.argmax()


SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 8))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("far", [1, pytest.param(3, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)])
def test_far_rows_after_the_first_part_of_a_sample_are_found(far: int, seed: int) -> None:
    """The search decides on the first 20,000 rows in memory; the others say what these have missed."""
    x, labels = with_far_rows(far, 60_000, early=30_000)
    search = Search(x, 3, "full", slice(None), starts=6, seed=seed)
    check_far_rows(search, search.found, labels)


@pytest.mark.parametrize("seed", SEEDS)
def test_far_rows_that_did_not_rank_are_found(seed: int) -> None:
    """A search that is one of many ranks its starts on 4,000 rows; the others say what these have missed."""
    x, labels = with_far_rows(1, 15_000, early=9000)
    search = Search(x, 3, "full", slice(None), starts=6, seed=seed)
    found = ranked(search.sample, search.frame, replace(search.plan, thoroughness=0.05))[0]
    check_far_rows(search, found, labels)
