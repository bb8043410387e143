"""Ways out of a local optimum: two components become one, and a third is split in two.

Ueda, Nakano, Ghahramani and Hinton, SMEM algorithm for mixture models, Neural Computation 12, 2000. A split or a
merger is judged by what it does to w log|Sigma| / 2, summed over components: Runnalls, Kullback-Leibler approach to
Gaussian mixture reduction, IEEE Trans. Aerosp. Electron. Syst. 43, 2007. A few steps of EM decide better: `search`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import ParametersError
from gmm_spark.mixture import families
from gmm_spark.mixture.parameters import SHARED, FloatArray, Parameters
from gmm_spark.mixture.spread import Variances
from gmm_spark.statistics import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from gmm_spark.em.m_step import Maximiser
    from gmm_spark.mixture.spread import Spread

LEAST_COMPONENTS = 3  # two to merge and one to split
_LLOYD_STEPS = 5
_POWERS = 8  # of a covariance, to its first principal axis: Lloyd's steps go on from there
_COUNTS = 1e-3  # rows with less than this share of the largest one do not move a component's halves


@dataclass(frozen=True, eq=False)
class _Parts:
    """Some components: weights (m,), means (m, d), second central moments without the family's constraint."""

    weights: FloatArray
    means: FloatArray
    spread: Spread


def moves(
    z: FloatArray,
    weights: FloatArray,
    at: Parameters,
    maximise: Maximiser,
    most: int,
    least: float = 0.0,
) -> list[Parameters]:
    """Return mixtures in which one component is split, and two others that are little missed become one.

    Args:
        z: (d, n) rows.
        weights: (n,) their weights.
        at: a mixture of at least `LEAST_COMPONENTS`, in the same coordinates.
        maximise: the M-step: it knows the coordinates and the floor.
        most: how many to return at most: those that promise the most.
        least: the least weight of a sound component: no half is lighter, and if there are components that are, each
            move merges one of them.
    """
    shares = kernel.posteriors(np.ascontiguousarray(z.T), at)[0].T[: at.k] * weights
    losses = _merger_losses(at, maximise)
    thin = at.weights < least
    if thin.any():
        losses[~(thin[:, None] | thin)] = np.inf
    found = [
        move
        for split, own in enumerate(shares)
        for halves in _halved(z, own, at.weights[split], at.spread)
        if halves.weights.min() >= least
        for move in _with_cheapest(losses, ceil(most / at.k), split, halves, _gain(at, maximise, split, halves))
    ]
    best = sorted(found, key=lambda move: -move.promise)[:most]
    return [moved for move in best if (moved := move.made(at, maximise)) is not None]


@dataclass(frozen=True, eq=False)
class _Move:
    """Components that become one, one that is split, its halves, and the gain in nats per row that this promises."""

    merged: tuple[int, int]
    split: int
    halves: _Parts
    promise: float

    def made(self, at: Parameters, maximise: Maximiser) -> Parameters | None:
        """Return the mixture after the move; None where a covariance became singular."""
        (i, j), weights, means = self.merged, at.weights.copy(), at.means.copy()
        one, places = _mergers(at, i, np.array([j])), [i, self.split, j]
        weights[places] = np.concatenate([one.weights, self.halves.weights])
        means[places] = np.concatenate([one.means, self.halves.means])
        spread = at.spread.replaced(np.array([i]), one.spread).replaced(np.array(places[1:]), self.halves.spread)
        spread, _ = families.constrain(at.family, spread, weights, maximise.frame, maximise.floor)
        try:
            return at.replaced(weights, means, spread)
        except ParametersError:
            return None


def _gain(at: Parameters, maximise: Maximiser, split: int, halves: _Parts) -> float:
    """Return what a split promises, in nats per row."""
    whole = _Parts(at.weights[[split]], at.means[[split]], at.spread[split : split + 1])
    return float(_volume(whole, at, maximise).sum() - _volume(halves, at, maximise).sum())


def _with_cheapest(losses: FloatArray, count: int, split: int, halves: _Parts, gain: float) -> Iterator[_Move]:
    """Yield the split with n of the mergers of other components that cost the least."""
    others = losses.copy()
    others[split], others[:, split] = np.inf, np.inf
    for place in np.argsort(others, axis=None, kind="stable")[:count].tolist():
        i, j = divmod(place, len(losses))
        if np.isfinite(others[i, j]):
            yield _Move((i, j), split, halves, gain - float(others[i, j]))


def _merger_losses(at: Parameters, maximise: Maximiser) -> FloatArray:
    """Return (k, k) what a merger costs at most, nats per row; infinite but above the diagonal."""
    losses = np.full((at.k, at.k), np.inf)
    own = _volume(_Parts(at.weights, at.means, at.spread), at, maximise)
    for i in range(at.k - 1):
        others = np.arange(i + 1, at.k)
        losses[i, others] = _volume(_mergers(at, i, others), at, maximise) - own[i] - own[others]
    return losses


def _mergers(at: Parameters, i: int, others: NDArray[np.intp]) -> _Parts:
    """Return the moments of component i together with each of the others."""
    mine, theirs = at.weights[i], at.weights[others]
    weights = mine + theirs
    share = (theirs / np.where(weights > 0, weights, 1))[:, None]
    offsets = at.means[others] - at.means[i]
    between = at.spread.outer_products((share * (1 - share))[:, 0], offsets)
    mine, theirs = at.spread.values[i], at.spread.values[others]
    within = mine + at.spread.per_component(share) * (theirs - mine)
    return _Parts(weights, at.means[i] + share * offsets, type(at.spread)(within + between))


def _volume(parts: _Parts, at: Parameters, maximise: Maximiser) -> FloatArray:
    """Return w log|Sigma| / 2 of each part as the family has it; of tied ones to first order in what they change."""
    if at.family in SHARED:
        return np.asarray(0.5 * parts.weights * at.spread[:1].inverse_traces(parts.spread))
    constrained, _ = families.constrain(at.family, parts.spread, parts.weights, maximise.frame, maximise.floor)
    return np.asarray(0.5 * parts.weights * constrained.log_determinants)


def _halved(z: FloatArray, shares: FloatArray, weight: float, form: Spread) -> Iterator[_Parts]:
    """Yield the two parts that 2-means finds in a component, and its core and its tail; nothing of too few rows."""
    counts = shares > _COUNTS * shares.max()
    rows, shares = z[:, counts], shares[counts]
    if len(shares) < 2 * (len(z) + 1):
        return
    mean, own = _moments(rows, shares, form)
    widest, distances = (_by_variances if isinstance(own, Variances) else _by_axes)(rows, shares, mean, own)
    for side in (_sides(rows, shares, widest), np.asarray(distances <= np.median(distances))):
        if len(z) < np.count_nonzero(side) < len(side) - len(z):
            yield _halves(rows, shares, side, own, weight)


def _halves(rows: FloatArray, shares: FloatArray, side: NDArray[np.bool_], whole: Spread, weight: float) -> _Parts:
    prior = (len(rows) + 1) * shares.mean()  # shrunk towards the whole by d + 1 rows, as starts are
    masses = np.array([shares[half].sum() for half in (side, ~side)])
    means, spreads = zip(*(_moments(rows[:, half], shares[half], whole) for half in (side, ~side)), strict=True)
    own = np.concatenate([each.values for each in spreads])
    shrunk = whole.values + whole.per_component(masses / (masses + prior)) * (own - whole.values)
    return _Parts(weight * masses / shares.sum(), np.array(means), type(whole)(shrunk))


def _sides(rows: FloatArray, shares: FloatArray, direction: FloatArray) -> NDArray[np.bool_]:
    """Return on which side of the plane between two means each row is, after a few of Lloyd's steps."""
    middle = rows @ shares / shares.sum()
    for _ in range(1 + _LLOYD_STEPS):
        side = np.asarray(direction @ (rows - middle[:, None]) > 0)
        if side.all() or not side.any():
            break
        one, other = (rows[:, half] @ shares[half] / shares[half].sum() for half in (side, ~side))
        direction, middle = one - other, (one + other) / 2
    return side


def _by_axes(rows: FloatArray, _: FloatArray, mean: FloatArray, spread: Spread) -> tuple[FloatArray, FloatArray]:
    """Return the direction in which rows (d, n) vary most, and their (n,) squared distances from the mean.

    By these a half is nearest to the mean: heavy tails take a narrow and a wide component.
    """
    variances, axes = np.linalg.eigh(spread.matrices[0])
    turned = axes.T @ (rows - mean[:, None])
    return axes[:, -1], (turned**2 / _positive(variances)[:, None]).sum(axis=0)


def _by_variances(
    rows: FloatArray, shares: FloatArray, mean: FloatArray, spread: Spread
) -> tuple[FloatArray, FloatArray]:
    """Return the same where the family knows variances only: by powers of the covariance, which is not made."""
    centred = rows - mean[:, None]
    (variances,) = spread.variances
    direction = centred @ (shares * centred[variances.argmax()])
    for _ in range(_POWERS):
        direction = centred @ (shares * (direction @ centred))
        direction = direction / max(float(np.linalg.norm(direction)), np.finfo(np.float64).tiny)
    return direction, ((1 / _positive(variances)) @ centred**2)


def _positive(variances: FloatArray) -> FloatArray:
    """Return variances that can be divided by."""
    least = np.finfo(np.float64).eps * variances.max()
    return np.maximum(variances, max(least, np.finfo(np.float64).tiny))


def _moments(rows: FloatArray, shares: FloatArray, form: Spread) -> tuple[FloatArray, Spread]:
    """Return the mean and the second central moments of (d, n) rows, in the form of others."""
    mean = rows @ shares / shares.sum()
    squares = form.scatter(rows - mean[:, None], shares)
    return mean, type(form)(squares[None] / shares.sum())
