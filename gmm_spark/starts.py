"""Where EM starts: k-means++ partitions of a sample, judged by short EM runs on it.

k-means++: Arthur and Vassilvitskii, SODA 2007. Short runs, then the best to the end: Biernacki, Celeux
and Govaert, Choosing starting values for the EM algorithm, Comput. Statist. Data Anal. 41, 2003. A
third of the partitions is drawn in standardised coordinates, a third in whitened ones, and a third in those
of both that are not normal. Each finds what the others miss: whitening hides clusters that are far
apart in one direction, standardising hides elongated ones, and both hide one telling direction among
many. The likelihood judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gmm_spark import em, families, kernel
from gmm_spark.errors import DataError, ParametersError
from gmm_spark.parameters import Family, FloatArray, Parameters
from gmm_spark.stopping import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gmm_spark.coordinates import Coordinates
    from gmm_spark.moments import Moments

    Labels: TypeAlias = NDArray[np.intp]

# Lloyd's steps bring far clusters together and make all starts alike: some starts take none, some a few.
_LLOYD_STEPS = (0, 2, 8)
_SHORT_STEPS = 10
# How many of the short runs go on: three, or as many as cost next to nothing on a small sample, for the best after
# ten steps need not be the best at the end; and of few components more, for a run of two costs a fifth of one of ten.
_SURVIVORS, _SURVIVOR_CELLS, _SURVIVOR_COMPONENTS = 3, 4_000_000, 24
_LONG_STEPS = 500
_SAME_OPTIMUM = 10.0  # two runs to tol that end closer than this many tol have found the same
_RESEEDINGS = 2  # here, where a pass is cheap, components that do no work get another place or two
_CLEAR = 4.0  # standard errors by which a kurtosis must differ from a normal's
_SHORT_ROWS, _SHORT_LEAST = 20_000, 4_000  # short runs only rank the starts: a part of the sample is enough for that


@dataclass(frozen=True, eq=False)
class Sample:
    """A random sample of the rows, in random order.

    Args:
        z: (d, n) rows in coordinates z.
        weights: (n,) row weights.
        covariance: (d, d) covariance of all the rows in the user's units.
    """

    z: FloatArray
    weights: FloatArray
    covariance: FloatArray

    @property
    def effective_rows(self) -> float:
        """How many rows of equal weight would be as good: Kish, Survey Sampling, 1965."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    def head(self, rows: int) -> Sample:
        """Return the first rows: themselves a random sample."""
        return Sample(self.z[:, :rows], self.weights[:rows], self.covariance)


@dataclass(frozen=True)
class Plan:
    """What to look for.

    Args:
        k: number of components.
        family: covariance family.
        starts: number of k-means++ partitions to draw; "random" draws rows as means instead.
        seed: decides everything.
        floor: the least variance of a component, relative to the data's.
        tol: nats per unit of weight to which the survivors are run on the sample.
        uniform: draw the first centres uniformly instead of by k-means++.
        thoroughness: the share of this search in the work of all that share the machine: it ranks the starts on
            fewer rows, and of those on a small sample fewer are run to their end.
    """

    k: int
    family: Family
    starts: int
    seed: int
    floor: float
    tol: float
    uniform: bool = False
    thoroughness: float = 1.0


def search(sample: Sample, frame: Coordinates, plan: Plan) -> Parameters:
    """Return the best start found on the sample, in the coordinates of the frame.

    Raises:
        DataError: every single start went bad.
    """
    return ranked(sample, frame, plan)[0]


def ranked(sample: Sample, frame: Coordinates, plan: Plan, given: Sequence[Parameters] = ()) -> list[Parameters]:
    """Return the starts that were run to their end on the sample, the best first, each optimum once.

    Args:
        sample: where to look.
        frame: the coordinates of the sample.
        plan: what to look for.
        given: starts to try beside those that are drawn.

    Raises:
        DataError: every single start went bad.
    """
    maximise = em.Maximiser(frame, plan.floor)
    short = sample.head(_short_rows(plan, len(sample.z)))
    candidates = _short_runs(_expectation(short), [*given, *draw(short, frame, plan)], maximise)
    expectation = _expectation(sample)
    cheap = max(_SURVIVOR_COMPONENTS // plan.k, int(plan.thoroughness * _SURVIVOR_CELLS / sample.z.size))
    survivors = max(_SURVIVORS, cheap)
    fits = [_long_run(expectation, candidate, maximise, plan.tol) for candidate in candidates[:survivors]]
    finished = [fit for fit in fits if fit is not None]
    if not finished:
        raise DataError(
            f"starts for {plan.k} components",
            got=f"{plan.starts} starts that all became singular",
            expected="at least one valid mixture",
            do="Use fewer components, more starts, or a larger covarianceFloor.",
        )
    valid = [fit for fit in finished if fit.outcome is not Outcome.DEGENERATE]
    best_first = sorted(valid or finished, key=lambda fit: -fit.best.moments.log_likelihood)
    values = [fit.best.moments.mean_log_likelihood for fit in best_first]
    new = [i == 0 or values[i - 1] - values[i] > _SAME_OPTIMUM * plan.tol for i in range(len(values))]
    return [fit.best.parameters for fit, is_new in zip(best_first, new, strict=True) if is_new]


def _short_rows(plan: Plan, d: int) -> int:
    """Return how many rows rank the starts: at least ten for each free parameter."""
    least = max(_SHORT_LEAST, 50 * plan.k, 10 * families.free_parameters(plan.family, plan.k, d))
    return max(least, int(_SHORT_ROWS * plan.thoroughness))


def in_memory(blocks: Sequence[kernel.Block]) -> em.Expectation:
    """Return the Expectation over blocks that this process holds."""
    return partial(kernel.accumulate, blocks)


def draw(sample: Sample, frame: Coordinates, plan: Plan) -> list[Parameters]:
    """Return plan.starts starting mixtures, in the coordinates of the frame."""
    spaces = _spaces(sample, frame)
    generators = np.random.default_rng(plan.seed).spawn(plan.starts)
    starts = []
    for i, generator in enumerate(generators):
        space = spaces[i % len(spaces)]
        steps = _LLOYD_STEPS[i // len(spaces) % len(_LLOYD_STEPS)]
        labels = _lloyd(space, sample.weights, _centres(space, sample.weights, generator, plan), steps)
        starts.append(_from_labels(sample.z, sample.weights, labels, plan, frame))
    return starts


def _spaces(sample: Sample, frame: Coordinates) -> tuple[FloatArray, ...]:
    """Return (n, .) coordinates to partition in: standardised, whitened, and the telling ones of both."""
    unit = np.sqrt(np.diagonal(sample.covariance))
    standardised = frame.factor / unit[:, None] @ sample.z
    correlation = sample.covariance / unit[:, None] / unit
    variances, axes = np.linalg.eigh(correlation)
    principal = axes.T @ standardised / np.sqrt(np.maximum(variances, np.finfo(np.float64).eps))[:, None]
    return standardised.T, principal.T, _telling(np.concatenate([standardised, principal]), sample.weights).T


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
    responsibilities = (labels == np.arange(k)[:, None]) * weights
    mass = np.maximum(responsibilities.sum(axis=1), np.finfo(np.float64).tiny)
    means = responsibilities @ z.T / mass[:, None]
    scatter = (
        np.stack([(z * r) @ z.T for r in responsibilities]) - mass[:, None, None] * means[:, :, None] * means[:, None]
    )
    pooled = scatter.sum(axis=0) / mass.sum()
    prior = (d + 1) * weights.sum() / np.count_nonzero(weights)
    covariances = (scatter + prior * (pooled + 1e-6 * np.eye(d))) / (mass + prior)[:, None, None]
    covariances, _ = families.constrain(plan.family, covariances, mass, frame, plan.floor)
    return Parameters(mass / mass.sum(), means, covariances, plan.family)


def _expectation(sample: Sample) -> em.Expectation:
    return in_memory([kernel.Block(sample.z, sample.weights)])


def _short_runs(
    expectation: em.Expectation, candidates: Sequence[Parameters], maximise: em.Maximiser
) -> list[Parameters]:
    """Run all candidates side by side for a few steps; return them, the best first.

    One that becomes singular is dropped; if all do, they are returned where they last were valid.
    """
    alive = [(0.0, candidate) for candidate in candidates]
    ended: list[tuple[float, Parameters]] = []
    for _ in range(_SHORT_STEPS):
        if not alive:
            break
        before = [candidate for _, candidate in alive]
        alive = []
        for at, moments in zip(before, expectation(before), strict=True):
            new = _maximised(maximise, at, moments)
            (alive if new else ended).append((moments.log_likelihood, new or at))
    # The likelihood of a mixture that collapses has no bound: one is returned only where none did better.
    ranked = sorted(alive or ended, key=lambda pair: -pair[0])
    return [candidate for value, candidate in ranked if np.isfinite(value)]


def _maximised(maximise: em.Maximiser, at: Parameters, moments: Moments) -> Parameters | None:
    try:
        return maximise(at, moments)[0]
    except ParametersError:
        return None


def _long_run(expectation: em.Expectation, start: Parameters, maximise: em.Maximiser, tol: float) -> em.Fit | None:
    try:
        goal = em.Goal(tol, _LONG_STEPS, _RESEEDINGS)
        return em.run(expectation, em.begin(start, "squarem"), maximise, goal)
    except ParametersError:
        return None
