"""Where EM starts: k-means++ partitions of a sample.

k-means++: Arthur and Vassilvitskii, SODA 2007. A third of the partitions is drawn in standardised
coordinates, a third in whitened ones, and a third in those of both that are not normal. Each finds what
the others miss: whitening hides clusters that are far apart in one direction, standardising hides
elongated ones, and both hide one telling direction among many. Of many features, a quarter is drawn in the
whitened principal subspace: the noise of the other axes drowns what its axes show. The likelihood judges: `search`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gmm_spark.mixture import families
from gmm_spark.mixture.coordinates import Scaled
from gmm_spark.mixture.parameters import FloatArray, Parameters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.noise import Noise
    from gmm_spark.search.sample import Plan, Sample

    Labels: TypeAlias = NDArray[np.intp]

# Lloyd's steps bring far clusters together and make all starts alike: some starts take none, some a few.
_LLOYD_STEPS = (0, 2, 8)
# Of up to this many features all principal axes are used, of more the first few, found on this many rows.
_ALL_AXES, _FIRST_AXES, _POWERS, _AXES_ROWS = 64, 32, 3, 4096
_WIDE = 40  # from this many features on, partitions are also drawn in a principal subspace
_NO_VARIANCE = 1e-12  # relative to the largest: the rounding of dependent columns
_FAR = 1e6  # squared distance from the origin: all rows together have d
# The weights of the noise that starts try by turns, and how close the neighbours of a row are among this many others.
_NOISE_WEIGHTS = (0.05, 0.25, 0.6)
_CLEAR = 4.0  # standard errors by which a kurtosis must differ from a normal's


def draw(sample: Sample, frame: Coordinates, plan: Plan, which: Iterable[int]) -> list[Parameters]:
    """Return the plan's starting mixtures of these numbers, from 0 on, in the coordinates of the frame."""
    spaces = _spaces(sample, frame)
    generators = np.random.default_rng(plan.seed).spawn(plan.starts)
    starts, noises = [], _noises(sample, plan)
    for i in which:
        generator, space = generators[i], spaces[i % len(spaces)]
        steps = _LLOYD_STEPS[i // len(spaces) % len(_LLOYD_STEPS)]
        rows, noise = noises[i // len(spaces) % len(noises)]
        space, weights = space[rows], sample.weights[rows]
        labels = _lloyd(space, weights, _centres(space, weights, generator, plan), steps)
        starts.append(_from_labels(sample.z[:, rows], weights, labels, plan, frame).with_noise(noise))
    return starts


def _noises(sample: Sample, plan: Plan) -> list[tuple[slice | Labels, Noise | None]]:
    """Return which rows make starts, and the noise that takes the others: none, or the least crowded rows.

    Outliers must not seed components: k-means++ draws just them.
    """
    if plan.noise is None:
        return [(slice(None), None)]
    order = np.argsort(sample.spacing, kind="stable")
    shares = np.cumsum(sample.weights[order]) / sample.weights.sum()
    return [(np.sort(order[: np.searchsorted(shares, 1 - w) + 1]), plan.noise.with_weight(w)) for w in _NOISE_WEIGHTS]


def _spaces(sample: Sample, frame: Coordinates) -> tuple[FloatArray, ...]:
    """Return (n, .) coordinates to partition in: standardised, whitened, the telling ones of both, a subspace."""
    if isinstance(frame, Scaled):
        return _scaled_spaces(sample)
    unit = np.sqrt(np.diagonal(sample.covariance))
    standardised = frame.factor / unit[:, None] @ sample.z
    correlation = sample.covariance / unit[:, None] / unit
    variances, axes = np.linalg.eigh(correlation)
    principal = axes.T @ standardised / np.sqrt(np.maximum(variances, np.finfo(np.float64).eps))[:, None]
    telling = _telling(np.concatenate([standardised, principal]), sample.weights)
    # The axes that vary more than a feature does: Kaiser, Educational and Psychological Measurement 20, 1960.
    subspace = (principal[variances > 1].T,) if len(standardised) >= _WIDE and variances[-1] > 1 else ()
    return standardised.T, principal.T, telling.T, *subspace


def _scaled_spaces(sample: Sample) -> tuple[FloatArray, ...]:
    """Return the same of rows that are standardised, without a covariance where d is large.

    Whitened are then the first principal axes only: clusters apart in more directions than these are found without.
    """
    axes, variances = _principal(sample.head(_AXES_ROWS))
    principal = axes.T @ sample.z / np.sqrt(variances)[:, None]
    telling = _telling(np.concatenate([sample.z, principal]), sample.weights)
    return sample.z.T, principal.T, telling.T


def _principal(sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Return (d, m) principal axes and their (m,) variances: all of few features, the first of many."""
    shares = sample.weights / sample.weights.sum()
    centred = sample.z - (sample.z @ shares)[:, None]
    basis = np.eye(len(centred)) if len(centred) <= _ALL_AXES else _range(centred, shares)
    within = basis.T @ centred
    variances, axes = np.linalg.eigh((within * shares) @ within.T)
    real = variances > _NO_VARIANCE * variances[-1]
    return basis @ axes[:, real], variances[real]


def _range(centred: FloatArray, shares: FloatArray) -> FloatArray:
    """Return (d, m) orthonormal directions that hold most of the variance of (d, n) rows.

    Subspace iteration from random directions: Halko, Martinsson and Tropp, SIAM Review 53, 2011, algorithm 4.4.
    """
    basis = np.random.default_rng(0).standard_normal((len(centred), _FIRST_AXES))
    for _ in range(_POWERS):
        basis, _ = np.linalg.qr(centred @ (shares[:, None] * (centred.T @ basis)))
    return basis


def _telling(coordinates: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the coordinates that are not normal, scaled by how far from it they are.

    One direction of many that separates clusters is drowned by the noise of the others, but its
    kurtosis gives it away: 3 for a normal, 1 for two equal points (Pena and Prieto, Cluster
    identification using projections, J. Amer. Statist. Assoc. 96, 2001). Long tails count no more.
    """
    squares = coordinates**2
    shares = weights / weights.sum()
    excess = np.abs(squares**2 @ shares / (squares @ shares) ** 2 - 3)
    error = np.sqrt(24 * (shares**2).sum())
    scale = np.where(excess > _CLEAR * error, np.minimum(excess, 2.0), 0.0)
    return coordinates * scale[:, None] if scale.any() else coordinates


def _centres(space: FloatArray, weights: FloatArray, generator: np.random.Generator, plan: Plan) -> FloatArray:
    chosen = [int(generator.choice(len(space), p=weights / weights.sum()))]
    nearest = np.full(len(space), np.inf)
    while len(chosen) < plan.k:
        offset = space - space[chosen[-1]]
        nearest = np.minimum(nearest, np.einsum("nd,nd->n", offset, offset))
        mass = weights * (nearest > 0 if plan.uniform else nearest)
        mass = mass if mass.sum() > 0 else weights
        chosen.append(int(generator.choice(len(space), p=mass / mass.sum())))
    return space[chosen]


def _lloyd(space: FloatArray, weights: FloatArray, centres: FloatArray, steps: int) -> Labels:
    for _ in range(steps):
        labels = _nearest(space, centres)
        mass = np.bincount(labels, weights, minlength=len(centres))
        sums = np.stack([np.bincount(labels, weights * column, minlength=len(centres)) for column in space.T], axis=1)
        centres = np.where(mass[:, None] > 0, sums / np.where(mass > 0, mass, 1)[:, None], centres)
    return _nearest(space, centres)


def _nearest(space: FloatArray, centres: FloatArray) -> Labels:
    return np.asarray(np.argmax(space @ centres.T - 0.5 * (centres**2).sum(axis=1), axis=1))


def _from_labels(z: FloatArray, weights: FloatArray, labels: Labels, plan: Plan, frame: Coordinates) -> Parameters:
    """Return the M-step of a hard assignment, each covariance shrunk towards the pooled one by d + 1 rows."""
    k, d = plan.k, len(z)
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(k + 1)).tolist()
    groups = [(z[:, order[low:high]], weights[order[low:high]]) for low, high in pairwise(bounds)]
    mass = np.maximum([own.sum() for _, own in groups], np.finfo(np.float64).tiny)
    means = np.stack([rows @ own for rows, own in groups]) / mass[:, None]
    form = frame.spread_type(plan.family)
    scatter = np.stack([form.scatter(rows, own) for rows, own in groups]) - form.outer_products(mass, means)
    for far in np.flatnonzero((means**2).sum(axis=1) > _FAR):  # there the difference would be rounding
        rows, shares = groups[far]
        scatter[far] = form.scatter(rows - means[far][:, None], shares)
    pooled = scatter.sum(axis=0) / mass.sum()
    prior = (d + 1) * weights.sum() / np.count_nonzero(weights)
    own = form((scatter + prior * (pooled + 1e-6 * form.identity(d))) / form.per_component(mass + prior))
    spread, _ = families.constrain(plan.family, own, mass, frame, plan.floor)
    return Parameters(mass / mass.sum(), means, spread, plan.family)
