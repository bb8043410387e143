"""A second look at a start once all rows have been read: did the sample that it was found on miss a cluster?

The first read returns, with its statistics, the rows that the start explains worst. If the start is right, they are
the tail of its own distribution. A mixture's -log p falls off like exp(-u): for a normal it is chi-squared / 2 plus
a constant. So the least of n sampled log-densities lies where one row in n falls below it, by one nat on average, and
n times what all rows lose below it, per unit of weight, is a standard exponential number. What they may lose is set
to 4 p / (2n), twice what the sample's own error costs (p / n: Akaike, 1973; Wilks, Ann. Math. Statist. 9, 1938): where
the start is right it is passed with probability exp(-2p). The mean log-likelihoods themselves are compared too,
but they differ by chance by a standard error that hides all but gross faults.

On an alarm, the search is made once more on the sample and those rows together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark import em, families, kernel, search, starts
from gmm_spark.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gmm_spark.coordinates import Coordinates
    from gmm_spark.moments import Moments
    from gmm_spark.parameters import FloatArray

# The least likely rows that the first read brings along: 140 KB a partition at d = 16, enough to show a cluster.
KEPT = 1024
_ALLOWED = 4.0  # times p / (2n)
_ERRORS = 4.0  # standard errors of the sample's mean log-likelihood
# A cluster that no row of a sample of n belongs to has a share below 3 / n, at 95 % (the rule of three).
_MOST_UNSEEN = 3.0
# So many of the lightest components are tried as the one to give up.
_GIVEN_UP = 5
_CHUNK = 8192


@dataclass(frozen=True)
class Evidence:
    """What all rows say of a start, in nats per unit of weight.

    Args:
        tail: what rows lose by lying below the least log-density of the sample.
        gap: the mean log-likelihood of the sample, less that of all rows.
        error: the standard error of the former.
        allowed: what the sample's own error accounts for.
    """

    tail: float
    gap: float
    error: float
    allowed: float

    @property
    def alarming(self) -> bool:
        """Whether the sample must have missed something."""
        return self.tail > self.allowed or self.gap > self.allowed + _ERRORS * self.error


@dataclass(frozen=True, eq=False)
class Look:
    """A start that all rows have seen.

    Args:
        start: the better of the first start and the one found on a second look.
        slowest: SQUAREM's estimate of the slowest direction's stretch there.
        moments: its statistics over all rows.
        evidence: what spoke for a second look, or against it.
        replaced: whether the start is not the first one.
        passes: the reads of all rows that measured a start which is not this one.
    """

    start: Parameters
    slowest: float | None
    moments: Moments
    evidence: Evidence
    replaced: bool = False
    passes: int = 0


def look(
    measure: Callable[[Parameters], Moments],
    found: em.Fit,
    sample: starts.Sample,
    frame: Coordinates,
    plan: starts.Plan,
) -> Look:
    """Measure a start on all rows; where they show that its sample missed something, look for a better one.

    Args:
        measure: one read of all rows; its statistics carry a reservoir.
        found: the best fit to the sample.
        sample: where it was found.
        frame: the coordinates of the rows.
        plan: how it was found.
    """
    start = found.best.parameters
    moments = measure(start)
    evidence = evidence_of(start, moments, sample)
    first = Look(start, found.slowest, moments, evidence)
    if not evidence.alarming:
        return first
    other = again(start, moments, sample, frame, plan)
    if other is None:
        return first
    measured, maximise = measure(other.best.parameters), plan.maximiser(frame)
    before, after = (
        em.Position(at).measured(seen, maximise) for at, seen in ((start, moments), (other.best.parameters, measured))
    )
    if after.standing <= before.standing:
        return replace(first, passes=1)
    return Look(other.best.parameters, other.slowest, measured, evidence, replaced=True, passes=1)


def gathering(start: Parameters) -> Parameters:
    """Return the same mixture in a family whose statistics gather the least likely rows."""
    return replace(start, family="full") if start.family == "tied" else start


def evidence_of(start: Parameters, moments: Moments, sample: starts.Sample) -> Evidence:
    """Return what all rows say of a start that was found on a sample; the sample must not be empty."""
    counted = sample.weights > 0
    weights = sample.weights[counted] / sample.weights.sum()
    log_density = _log_density(start, sample.z[:, counted])
    mean = float(weights @ log_density)
    error = float(np.sqrt((weights**2) @ (log_density - mean) ** 2))
    free, n = families.free_parameters(start.family, start.k, start.d), sample.effective_rows
    below, share = _below(float(log_density.min()), moments, n)
    tail = float(share * (log_density.min() - below[:, 0]).mean()) if len(below) else 0.0
    return Evidence(tail, mean - moments.mean_log_likelihood, error, _ALLOWED * free / (2 * n))


def again(
    start: Parameters, moments: Moments, sample: starts.Sample, frame: Coordinates, plan: starts.Plan
) -> em.Fit | None:
    """Return the best fit to the sample and the least likely of all rows; None if the first start is as good."""
    # A component of too few rows is one that has too few of all of them, not of the sample.
    plan = replace(plan, least=plan.least * len(sample.weights) / max(moments.rows, 1))
    least = float(_log_density(start, sample.z[:, sample.weights > 0]).min())
    below, share = _below(least, moments, sample.effective_rows)
    if not len(below):
        return None
    given = [start, *_moved(start, below[:, 1:], share, frame, plan)]
    # All of those rows, beside as much of the sample as the first search began with.
    few = sample.head(search.rows_to_search(plan.family, plan.k, start.d))
    found = search.ranked(_together(few, below[:, 1:], share, plan.seed), frame, plan, given, within=0.0)[:1]
    both = _together(sample, below[:, 1:], share, plan.seed)
    (best,) = search.grown(found, both, frame, plan)
    (old,) = search.in_memory([kernel.Block(both.z, both.weights)])([start])
    before = em.Position(start).measured(old, plan.maximiser(frame))
    gained = best.best.objective - before.objective
    return best if (best.best.thin == 0) > (before.thin == 0) or gained > plan.tol else None


def _below(least: float, moments: Moments, rows: float) -> tuple[FloatArray, float]:
    """Return the reservoir's rows below the sample's least log-density, and the share of all weight that they are.

    A reservoir that is full of them has left out some, nobody knows how many: then they may be as many as a
    sample of so many rows can miss.
    """
    assert moments.lowest is not None  # noqa: S101 - `gathering` sees to that
    low = moments.lowest[moments.lowest[:, 0] < least]
    share = min(len(low) * moments.row_weight / moments.weight, 0.5)
    return low, max(share, min(_MOST_UNSEEN / rows, 0.5)) if len(low) == len(moments.lowest) else share


def _together(sample: starts.Sample, rows: FloatArray, share: float, seed: int) -> starts.Sample:
    """Return the sample and the (m, d) rows, none of which is in it, weighted by their shares, in random order."""
    total, m = sample.weights.sum(), len(rows)
    z = np.concatenate([sample.z, rows.T], axis=1)
    weights = np.concatenate([sample.weights * (1 - share), np.full(m, share * total / m)])
    order = np.random.default_rng(seed).permutation(len(weights))
    return starts.Sample(np.ascontiguousarray(z[:, order]), weights[order], sample.covariance)


def _moved(
    start: Parameters, rows: FloatArray, share: float, frame: Coordinates, plan: starts.Plan
) -> Iterator[Parameters]:
    """Yield the start with one of its lightest components moved to the (m, d) rows, or to where they are densest."""
    if start.k == 1:
        return
    form = type(start.spread)
    within = np.einsum("k,k...->...", start.weights, start.spread.values)
    for group in (rows, _densest(rows)):
        mean, m, d = group.mean(axis=0), *group.shape
        own = form(((form.squares((group - mean).T, np.ones(m)) + (d + 1) * within) / (m + d + 1))[None])
        for k in np.argsort(start.weights, kind="stable")[:_GIVEN_UP]:
            weights, means = start.weights.copy(), start.means.copy()
            weights[k] = 0.0
            weights *= (1 - share) / weights.sum()
            weights[k], means[k] = share, mean
            spread = start.spread.replaced(np.array([k]), own)
            constrained, _ = families.constrain(start.family, spread, weights, frame, plan.floor)
            left = 1.0 if start.noise is None else 1.0 - start.noise.weight
            yield Parameters(weights * left, means, constrained, start.family, start.noise)


def _densest(rows: FloatArray) -> FloatArray:
    """Return the quarter of the rows that is nearest to the row with the nearest quarter of neighbours."""
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    quarter = max(1, len(rows) // 4)
    center = np.partition(distances, quarter - 1, axis=1)[:, quarter - 1].argmin()
    return np.asarray(rows[np.argsort(distances[center], kind="stable")[:quarter]])


def _log_density(parameters: Parameters, z: FloatArray) -> FloatArray:
    parts = (z[:, low : low + _CHUNK].T for low in range(0, z.shape[1], _CHUNK))
    return np.concatenate([kernel.posteriors(part, parameters)[1] for part in parts])


def known(looked: Look, expectation: em.Expectation) -> em.Expectation:
    """Return an Expectation that answers for the start that was looked at without another read."""
    return lambda candidates: (looked.moments,) if list(candidates) == [looked.start] else expectation(candidates)
