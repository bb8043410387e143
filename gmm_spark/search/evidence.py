"""Did the rows that a start was found on miss a cluster? More rows say so: those that the start explains worst.

If the start is right, they are the tail of its own distribution. A mixture's -log p falls off like exp(-u): for a
normal it is chi-squared / 2 plus a constant. So the least of n sampled log-densities is where one row in n falls below
it, by one nat on average, and n times what all rows lose below it, per unit of weight, is a standard exponential
number. What they may lose is set to 4 p / (2n), twice what the sample's own error costs (p / n: Akaike, 1973; Wilks,
Ann. Math. Statist. 9, 1938): where the start is right it is passed with probability exp(-2p). The mean log-likelihoods
themselves are compared too, but they differ by chance by a standard error that hides all but gross faults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.mixture import families
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import FloatArray
    from gmm_spark.statistics.moments import Moments

# The least likely rows that the first read brings along: 140 KB a partition at d = 16, enough to show a cluster.
KEPT = 1024
_ALLOWED = 4.0  # times p / (2n)
_ERRORS = 4.0  # standard errors of the sample's mean log-likelihood
# A cluster that no row of a sample of n belongs to has a share below 3 / n, at 95 % (the rule of three).
_MOST_UNSEEN = 3.0
# This many of the lightest components are tried as the one to give up.
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
class Unseen:
    """Rows that a sample has nothing like.

    Args:
        rows: (m, d) in coordinates z.
        shares: (m,) what each is of all weight.
    """

    rows: FloatArray
    shares: FloatArray

    @property
    def share(self) -> float:
        """What they are of all weight together."""
        return float(self.shares.sum())


def evidence_of(start: Parameters, moments: Moments, sample: Sample) -> Evidence:
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


def unseen(start: Parameters, moments: Moments, sample: Sample) -> Unseen | None:
    """Return the least likely of all rows, as far as the sample has nothing like them; None if there are none."""
    least = float(_log_density(start, sample.z[:, sample.weights > 0]).min())
    below, share = _below(least, moments, sample.effective_rows)
    return Unseen(below[:, 1:], np.full(len(below), share / len(below))) if len(below) else None


def unseen_in_memory(start: Parameters, sample: Sample, more: Sample) -> Unseen | None:
    """Return the rows that speak against a start that was found on a sample; None if what is there is as expected.

    Args:
        start: the best fit to the sample.
        sample: some rows.
        more: these and others, in memory: each row is judged by its own weight.
    """
    block = Block(more.z, more.weights)
    (moments,) = kernel.accumulate([block], [start], kept=KEPT)
    found = evidence_of(start, moments, sample)
    if not found.alarming and np.ptp(more.weights) == 0:
        return None
    least = float(_log_density(start, sample.z[:, sample.weights > 0]).min())
    losses, shares = least - _log_density(start, more.z), more.weights / more.weights.sum()
    below = np.flatnonzero((losses > 0) & (shares > 0))
    tail = float(shares[below] @ losses[below])
    if not len(below) or not replace(found, tail=tail).alarming:
        return None
    worst = below[np.argsort(-losses[below], kind="stable")[:KEPT]]
    return Unseen(np.ascontiguousarray(more.z[:, worst].T), shares[worst])


def _below(least: float, moments: Moments, rows: float) -> tuple[FloatArray, float]:
    """Return the reservoir's rows below the sample's least log-density, and the share of all weight that they are.

    A reservoir that is full of them has left out some, an unknown number: then they may be as many as a
    sample of n rows can miss.
    """
    assert moments.lowest is not None  # noqa: S101 - they were measured with the least likely rows
    low = moments.lowest[moments.lowest[:, 0] < least]
    share = min(len(low) * moments.row_weight / moments.weight, 0.5)
    return low, max(share, min(_MOST_UNSEEN / rows, 0.5)) if len(low) == len(moments.lowest) else share


def together(sample: Sample, more: Unseen, seed: int, among: int) -> Sample:
    """Return the sample and the other rows, none of which is in it, weighted by their shares, in random order.

    Args:
        sample: some rows.
        more: rows that it has nothing like.
        seed: of the order.
        among: the others are among the first n, which rank candidates: one row may be all that shows a cluster.
    """
    m, first = len(more.rows), max(among - len(more.rows), 0)
    z = np.concatenate([sample.z[:, :first], more.rows.T, sample.z[:, first:]], axis=1)
    own = sample.weights * (1 - more.share)
    weights = np.concatenate([own[:first], more.shares * sample.weights.sum(), own[first:]])
    order = np.arange(len(weights))
    order[: first + m] = np.random.default_rng(seed).permutation(min(first + m, len(weights)))
    return Sample(np.ascontiguousarray(z[:, order]), weights[order], sample.covariance)


def moved(start: Parameters, more: Unseen, frame: Coordinates, plan: Plan) -> Iterator[Parameters]:
    """Yield the start with one of its lightest components moved to the rows, or to where they are densest."""
    if start.k == 1:
        return
    form = type(start.spread)
    within = np.einsum("k,k...->...", start.weights, start.spread.values)
    share = more.share
    for group in (more.rows, _densest(more.rows)):
        mean, m, d = group.mean(axis=0), *group.shape
        own = form(((form.scatter((group - mean).T, np.ones(m)) + (d + 1) * within) / (m + d + 1))[None])
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
