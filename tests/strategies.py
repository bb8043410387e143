"""Random fitting problems, and short functions that fit them with the core in the user's units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.parameters import FAMILIES, SHARED, Family, FloatArray, Parameters
from gmm_spark.search import best_start
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.statistics.moments import Moments

UNIT_ROUNDOFF = np.finfo(np.float64).eps / 2


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """Rows, their weights and a starting mixture, all in the user's units.

    Args:
        x: (n, d) rows.
        weights: (n,) row weights.
        start: where EM starts.
    """

    x: FloatArray
    weights: FloatArray
    start: Parameters

    def __repr__(self) -> str:
        n, d = self.x.shape
        return f"Problem(n={n}, d={d}, k={self.start.k}, family={self.family!r})"

    @property
    def family(self) -> Family:
        """The family of the start."""
        return self.start.family

    @property
    def frame(self) -> Coordinates:
        """The coordinates EM runs in."""
        return frame_of(self.x, self.weights, self.family)

    def keep(self, rows: NDArray[np.intp] | slice) -> Problem:
        """Return the problem of some of the rows, with the same start."""
        return replace(self, x=self.x[rows], weights=self.weights[rows])


@dataclass(frozen=True, eq=False)
class Fitted:
    """The result of a number of EM steps, in the user's units.

    Args:
        parameters: the mixture.
        log_likelihood: its weighted log-likelihood.
        history: the log-likelihood of every pass, the start's first.
        moments: its statistics in coordinates z.
    """

    parameters: Parameters
    log_likelihood: float
    history: FloatArray
    moments: Moments


def survey(x: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean and maximum-likelihood covariance, in two passes."""
    mean = weights @ x / weights.sum()
    centred = x - mean
    mean = mean + weights @ centred / weights.sum()
    centred = x - mean
    return mean, (centred.T * weights) @ centred / weights.sum()


def frame_of(x: FloatArray, weights: FloatArray, family: Family) -> Coordinates:
    """Return the coordinates that a fit of these rows runs in."""
    mean, covariance = survey(x, weights)
    return coordinates.coordinates_for(family, mean, covariance, tuple(f"x{i}" for i in range(x.shape[1])))


def engine(problem: Problem, frame: Coordinates, block_rows: int | None = None) -> em.Expectation:
    """Return the in-memory Expectation over the rows, cut into blocks of at most block_rows."""
    z = frame.rows(problem.x)
    size = block_rows or max(1, z.shape[1])
    return best_start.in_memory(
        [Block(z[:, at : at + size], problem.weights[at : at + size]) for at in range(0, z.shape[1], size)]
    )


def run(  # noqa: PLR0913 - all by name
    problem: Problem,
    *,
    tol: float,
    max_iter: int,
    acceleration: em.Acceleration = "none",
    floor: float = 0.0,
    frame: Coordinates | None = None,
    block_rows: int | None = None,
    prior: float = 0.0,
) -> em.Fit:
    """Fit the problem from its start; the result is in coordinates z."""
    frame = frame or problem.frame
    state = em.begin(frame.inward(problem.start), acceleration)
    return em.run(engine(problem, frame, block_rows), state, em.Maximiser(frame, floor, prior), em.Goal(tol, max_iter))


def steps(
    problem: Problem,
    count: int,
    *,
    floor: float = 0.0,
    frame: Coordinates | None = None,
    block_rows: int | None = None,
    prior: float = 0.0,
) -> Fitted:
    """Run exactly this number of plain EM steps."""
    frame = frame or problem.frame
    fit = run(problem, tol=0, max_iter=count, floor=floor, frame=frame, block_rows=block_rows, prior=prior)
    return outward(fit, frame)


def outward(fit: em.Fit, frame: Coordinates) -> Fitted:
    """Return a fit in the user's units."""
    moments = fit.best.moments
    constant = moments.weight * frame.log_determinant
    history = np.array(fit.history) * moments.weight - constant
    return Fitted(frame.outward(fit.best.parameters), moments.log_likelihood - constant, history, moments)


def assert_same(actual: Parameters, expected: Parameters, frame: Coordinates, tolerance: float) -> None:
    """Two mixtures are equal, measured in units of the data's own spread."""
    a, b = frame.inward(actual), frame.inward(expected)
    np.testing.assert_allclose(a.weights, b.weights, rtol=0, atol=tolerance)
    np.testing.assert_allclose(a.means, b.means, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(a.covariances, b.covariances, rtol=tolerance, atol=tolerance)


def assert_moments(actual: Moments, expected: Moments, tolerance: float) -> None:
    """Two sets of statistics are equal, relative to the total weight and the log-likelihood's size."""
    assert abs(actual.weight - expected.weight) <= tolerance * expected.weight
    scale = max(abs(expected.log_likelihood), expected.weight)
    assert abs(actual.log_likelihood - expected.log_likelihood) <= tolerance * scale
    shared = None if actual.layout == expected.layout else 1 + actual.centers.shape[1]
    one, other = actual.sums[:, :shared], expected.sums[:, :shared]
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * expected.weight)


def assert_close(actual: object, expected: object, tolerance: float) -> None:
    """Two numbers or arrays agree relative to the larger of the expected one and 1."""
    wanted = np.asarray(expected, dtype=np.float64)
    error = np.abs(np.asarray(actual) - wanted) / np.maximum(1, np.abs(wanted))
    assert error.max(initial=0) <= tolerance


def shaped(family: Family, covariances: FloatArray) -> FloatArray:
    """Return (k, d, d) covariances of the family, near these ones."""
    d = covariances.shape[1]
    if family in SHARED:
        covariances = np.repeat(covariances.mean(axis=0)[None], len(covariances), axis=0)
    if family in ("diag", "tied-diag"):
        return np.asarray(covariances * np.eye(d))
    if family in ("spherical", "tied-spherical"):
        return np.asarray(np.einsum("kii->k", covariances)[:, None, None] / d * np.eye(d))
    return covariances


def random_covariance(generator: np.random.Generator, d: int, condition: float) -> FloatArray:
    """Return a random covariance whose standard deviations span the given ratio."""
    axes, _ = np.linalg.qr(generator.standard_normal((d, d)))
    deviations = np.geomspace(1, condition, d) if d > 1 else np.ones(1)
    return np.asarray((axes * generator.permutation(deviations) ** 2) @ axes.T)


def random_mixture(generator: np.random.Generator, k: int, d: int, family: Family, spread: float = 2.0) -> Parameters:
    """Return a mixture whose components overlap."""
    covariances = np.stack([random_covariance(generator, d, 3.0) * generator.uniform(0.5, 2) for _ in range(k)])
    return Parameters(
        generator.dirichlet(np.full(k, 5.0)),
        spread * generator.standard_normal((k, d)),
        shaped(family, covariances),
        family,
    )


def sample(generator: np.random.Generator, mixture: Parameters, n: int) -> tuple[FloatArray, np.ndarray]:
    """Return (n, d) rows drawn from the mixture and the (n,) components they come from."""
    labels = generator.choice(mixture.k, size=n, p=mixture.weights)
    factors = np.linalg.cholesky(mixture.covariances)
    noise = generator.standard_normal((n, mixture.d))
    return mixture.means[labels] + np.einsum("nij,nj->ni", factors[labels], noise), labels


def start_near(generator: np.random.Generator, x: FloatArray, k: int, family: Family) -> Parameters:
    """Return a start with rows as means and the data's own covariance, slightly different for each component."""
    _, covariance = survey(x, np.ones(len(x)))
    covariances = covariance * generator.uniform(0.3, 1.0, size=(k, 1, 1))
    means = x[generator.choice(len(x), size=k, replace=False)]
    return Parameters(generator.dirichlet(np.full(k, 10.0)), means, shaped(family, covariances), family)


def random_problem(seed: int, family: Family, k: int, d: int, *, weighted: bool = True) -> Problem:
    """Return a problem in which no component loses all its rows within a few steps."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(15, 40)) * k * (d + 1)
    x, _ = sample(generator, random_mixture(generator, k, d, family), n)
    x = generator.normal(0, 3, d) + x * generator.uniform(0.1, 10, d)
    weights = generator.uniform(0.2, 3, n) if weighted else np.ones(n)
    return Problem(x, weights, start_near(generator, x, k, family))


seeds = st.integers(0, 2**32 - 1)
families = st.sampled_from(FAMILIES)


@st.composite
def problems(draw: st.DrawFn, *, weighted: bool = True, least: int = 1, most: int = 4) -> Problem:
    """Draw problems of all families, of `least` to `most` components and up to 5 features."""
    k, d = draw(st.integers(least, most)), draw(st.integers(1, 5))
    return random_problem(draw(seeds), draw(families), k, d, weighted=weighted)
