"""Did the sample of a start miss a cluster? The rows that the start explains worst, of more rows, show it.

If the start is right, these rows are the tail of its own distribution. The density of a mixture's u = -log p falls like
exp(-u): for a normal, u is chi-squared / 2 plus a constant. So about one row in n has a log-density below the least of
n sampled ones, by one nat on average, and n times the mean loss of all rows below it, per unit of weight, is a standard
exponential number. The allowed loss is 4 p / (2n), twice the cost of the sample's own error (p / n: Akaike, 1973;
Wilks, Ann. Math. Statist. 9, 1938): a right start exceeds it with probability exp(-2p). The mean log-likelihoods of the
sample and of all rows are compared too, but their chance difference hides all but gross faults.
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

# The least likely rows that the first read returns: 140 KB per partition at d = 16, enough to show a cluster.
LOWEST_ROWS = 1024
_ALLOWED = 4.0  # times p / (2n)
_ERRORS = 4.0  # standard errors of the sample's mean log-likelihood
# A cluster with no row in a sample of n has a share below 3 / n, at 95 % (the rule of three).
_MOST_UNSEEN = 3.0
# How many of the lightest components are tried, one after another, as the component to move.
_MOVABLE = 5
_CHUNK = 8192


@dataclass(frozen=True)
class Evidence:
    """How well all rows agree with a start that was found on a sample, in nats per unit of weight.

    Args:
        tail: the mean loss of all rows below the least log-density of the sample.
        gap: the mean log-likelihood of the sample, less that of all rows.
        error: the standard error of the sample's mean log-likelihood.
        allowed: what the sample's own error explains.
    """

    tail: float
    gap: float
    error: float
    allowed: float

    @property
    def alarming(self) -> bool:
        """Whether the sample must have missed a cluster."""
        return self.tail > self.allowed or self.gap > self.allowed + _ERRORS * self.error


@dataclass(frozen=True, eq=False)
class Unseen:
    """Rows of clusters that a sample has missed.

    Args:
        rows: (m, d) in coordinates z.
        shares: (m,) the share of each row in the weight of all rows.
    """

    rows: FloatArray
    shares: FloatArray

    @property
    def share(self) -> float:
        """Their share in the weight of all rows."""
        return float(self.shares.sum())


def evidence_of(start: Parameters, moments: Moments, sample: Sample) -> Evidence:
    """Return how well all rows agree with a start that was found on a sample, which must not be empty."""
    has_weight = sample.weights > 0
    weights = sample.weights[has_weight] / sample.weights.sum()
    log_density = _log_density(start, sample.z[:, has_weight])
    mean = float(weights @ log_density)
    error = float(np.sqrt((weights**2) @ (log_density - mean) ** 2))
    free, n = families.free_parameters(start.family, start.k, start.d), sample.effective_rows
    below, share = _below(float(log_density.min()), moments, n)
    tail = float(share * (log_density.min() - below[:, 0]).mean()) if len(below) else 0.0
    return Evidence(tail, mean - moments.mean_log_likelihood, error, _ALLOWED * free / (2 * n))


def unseen_rows(start: Parameters, moments: Moments, sample: Sample) -> Unseen | None:
    """Return the least likely of all rows that no row of the sample is like; None if there are none."""
    least = float(_log_density(start, sample.z[:, sample.weights > 0]).min())
    below, share = _below(least, moments, sample.effective_rows)
    return Unseen(below[:, 1:], np.full(len(below), share / len(below))) if len(below) else None


def unseen_in_memory(start: Parameters, sample: Sample, more: Sample) -> Unseen | None:
    """Return the rows of clusters that a sample has missed; None if it missed none.

    Args:
        start: the best fit to the sample.
        sample: some of the rows.
        more: all of the rows, in memory: each row counts with its own weight.
    """
    block = Block(more.z, more.weights)
    (moments,) = kernel.accumulate([block], [start], kept=LOWEST_ROWS)
    evidence = evidence_of(start, moments, sample)
    if not evidence.alarming and np.ptp(more.weights) == 0:
        return None
    least = float(_log_density(start, sample.z[:, sample.weights > 0]).min())
    losses, shares = least - _log_density(start, more.z), more.weights / more.weights.sum()
    below = np.flatnonzero((losses > 0) & (shares > 0))
    tail = float(shares[below] @ losses[below])
    if not len(below) or not replace(evidence, tail=tail).alarming:
        return None
    worst = below[np.argsort(-losses[below], kind="stable")[:LOWEST_ROWS]]
    return Unseen(np.ascontiguousarray(more.z[:, worst].T), shares[worst])


def _below(least: float, moments: Moments, rows: float) -> tuple[FloatArray, float]:
    """Return the reservoir's rows below the sample's least log-density, and their share of all weight.

    If the reservoir has such rows only, it may have dropped more: then their share is at least what a sample of n rows
    can miss.
    """
    assert moments.lowest is not None  # noqa: S101 - the pass gathered the least likely rows
    low = moments.lowest[moments.lowest[:, 0] < least]
    share = min(len(low) * moments.row_weight / moments.weight, 0.5)
    return low, max(share, min(_MOST_UNSEEN / rows, 0.5)) if len(low) == len(moments.lowest) else share


def together(sample: Sample, more: Unseen, seed: int, among: int) -> Sample:
    """Return the sample and more rows, none of which is in it, weighted by their shares, in random order.

    Args:
        sample: some rows.
        more: rows of clusters that the sample has missed.
        seed: of the order.
        among: more rows are placed among the first n, which rank candidates: a single row may show a cluster.
    """
    m, first = len(more.rows), max(among - len(more.rows), 0)
    z = np.concatenate([sample.z[:, :first], more.rows.T, sample.z[:, first:]], axis=1)
    scaled = sample.weights * (1 - more.share)
    weights = np.concatenate([scaled[:first], more.shares * sample.weights.sum(), scaled[first:]])
    order = np.arange(len(weights))
    order[: first + m] = np.random.default_rng(seed).permutation(min(first + m, len(weights)))
    return Sample(np.ascontiguousarray(z[:, order]), weights[order], sample.covariance)


def moved(start: Parameters, more: Unseen, frame: Coordinates, plan: Plan) -> Iterator[Parameters]:
    """Yield mixtures with one of the lightest components moved to the rows, or to the densest quarter of them."""
    if start.k == 1:
        return
    form = type(start.spread)
    within = np.einsum("k,k...->...", start.weights, start.spread.values)
    share = more.share
    for group in (more.rows, _densest(more.rows)):
        mean, m, d = group.mean(axis=0), *group.shape
        covariance = form(((form.scatter((group - mean).T, np.ones(m)) + (d + 1) * within) / (m + d + 1))[None])
        for k in np.argsort(start.weights, kind="stable")[:_MOVABLE]:
            weights, means = start.weights.copy(), start.means.copy()
            weights[k] = 0.0
            weights *= (1 - share) / weights.sum()
            weights[k], means[k] = share, mean
            spread = start.spread.replaced(np.array([k]), covariance)
            constrained, _ = families.constrain(start.family, spread, weights, frame, plan.floor)
            left = 1.0 if start.noise is None else 1.0 - start.noise.weight
            yield Parameters(weights * left, means, constrained, start.family, start.noise)


def _densest(rows: FloatArray) -> FloatArray:
    """Return the quarter of the rows nearest to the row whose nearest quarter has the smallest radius."""
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    quarter = max(1, len(rows) // 4)
    center = np.partition(distances, quarter - 1, axis=1)[:, quarter - 1].argmin()
    return np.asarray(rows[np.argsort(distances[center], kind="stable")[:quarter]])


def _log_density(parameters: Parameters, z: FloatArray) -> FloatArray:
    parts = (z[:, low : low + _CHUNK].T for low in range(0, z.shape[1], _CHUNK))
    return np.concatenate([kernel.posteriors(part, parameters)[1] for part in parts])
