"""SQUAREM preserves the families, is never worse than plain EM, and needs fewer passes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.em.convergence import Outcome
from gmm_spark.em.squarem import extrapolate
from gmm_spark.mixture.coordinates import Coordinates
from gmm_spark.mixture.parameters import FAMILIES, Family, Parameters
from tests.strategies import (
    Problem,
    assert_close,
    assert_same,
    engine,
    families,
    problems,
    random_mixture,
    run,
    sample,
    seeds,
    shaped,
    start_near,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gmm_spark.statistics.moments import Moments
    from tests.core.conftest import RealData


def overlapping(family: Family, seed: int = 4, n: int = 1000) -> Problem:
    """Return two components one and a half standard deviations apart: EM crawls."""
    generator = np.random.default_rng(seed)
    covariances = shaped(family, np.array([[[1.0, 0.3], [0.3, 1.0]], [[1.5, -0.2], [-0.2, 0.8]]]))
    truth = Parameters(np.array([0.6, 0.4]), np.array([[0.0, 0.0], [1.5, 1.0]]), covariances, family)
    x, _ = sample(generator, truth, n)
    return Problem(x, np.ones(n), start_near(generator, x, 2, family))


def iterates(problem: Problem, frame: Coordinates) -> tuple[Parameters, Parameters, Parameters]:
    """Return the start and two EM steps from it, in coordinates z."""
    passes = em.iterate(engine(problem, frame), frame.inward(problem.start), em.Maximiser(frame, 0.0), "none")
    return next(passes).parameters, next(passes).parameters, next(passes).parameters


@given(problems(), st.floats(1, 1e4))
def test_an_extrapolated_mixture_keeps_its_familys_shape(problem: Problem, limit: float) -> None:
    """diag stays diagonal, spherical a multiple of the unit matrix, tied equal, and weights a distribution."""
    frame = problem.frame
    reached = frame.outward(extrapolate(iterates(problem, frame), frame, limit).parameters)
    assert reached.family == problem.family
    assert_close(reached.weights.sum(), 1.0, 1e-12)
    wanted = Parameters(reached.weights, reached.means, shaped(problem.family, reached.covariances), problem.family)
    assert_same(reached, wanted, frame, 1e-9 * max(1.0, np.abs(frame.inward(reached).covariances).max()))


@given(problems())
def test_a_stretch_limit_of_one_is_two_plain_steps(problem: Problem) -> None:
    """With |a| = 1 the extrapolated point is the second EM iterate."""
    frame = problem.frame
    points = iterates(problem, frame)
    leap = extrapolate(points, frame, 1.0)
    assert_same(frame.outward(leap.parameters), frame.outward(points[2]), frame, 1e-9)


@given(seeds, families)
def test_a_fixed_point_stays_where_it_is(seed: int, family: Family) -> None:
    """Three equal iterates extrapolate to themselves: 0 / 0 is a step of length 1."""
    generator = np.random.default_rng(seed)
    frame = Coordinates(np.zeros(3), np.eye(3), np.eye(3))
    mixture = random_mixture(generator, 3, 3, family)
    assert_same(extrapolate((mixture, mixture, mixture), frame, 4.0).parameters, mixture, frame, 1e-12)


def test_an_overflow_falls_back_to_plain_em() -> None:
    """If the extrapolated covariance overflows, the second EM iterate replaces it."""
    frame = Coordinates(np.zeros(1), np.eye(1), np.eye(1))
    t0, t1, t2 = (
        Parameters(np.ones(1), np.zeros((1, 1)), np.full((1, 1, 1), variance)) for variance in (1.0, 1e3, 0.999e6)
    )
    assert_same(extrapolate((t0, t1, t2), frame, 1e6).parameters, t2, frame, 0)


@given(problems(most=3), st.sampled_from([0.0, 1e-4]))
def test_every_likelihood_is_that_of_its_parameters(problem: Problem, floor: float) -> None:
    """The statistics of each pass have the same bits in a second read of the data."""
    frame = problem.frame
    expectation = engine(problem, frame)
    passes = em.iterate(expectation, frame.inward(problem.start), em.Maximiser(frame, floor), "squarem")
    for _, one in zip(range(12), passes, strict=False):
        (remeasured,) = expectation([one.parameters])
        assert remeasured.to_bytes() == one.moments.to_bytes()


@given(problems(most=3), st.integers(1, 30))
def test_a_fit_returns_the_best_model_it_measured(problem: Problem, max_iter: int) -> None:
    """The returned log-likelihood is the highest of the history, and is that of the returned parameters."""
    frame = problem.frame
    fit = run(problem, tol=1e-8, max_iter=max_iter, acceleration="squarem", frame=frame)
    (remeasured,) = engine(problem, frame)([fit.best.parameters])
    assert remeasured.log_likelihood == fit.best.moments.log_likelihood
    assert fit.best.moments.mean_log_likelihood == max(fit.history)


@given(problems(most=3))
def test_the_plain_iterate_replaces_a_leap_that_fell(problem: Problem) -> None:
    """After an extrapolation that fell, the next pass is the second plain step; no accepted point ever falls."""
    frame = problem.frame
    passes = em.iterate(engine(problem, frame), frame.inward(problem.start), em.Maximiser(frame, 0.0), "squarem")
    accepted = next(passes).moments.mean_log_likelihood
    for _ in range(10):
        one = next(passes).moments.mean_log_likelihood
        assert one >= accepted - 1e-10 * max(1, abs(accepted))
        leap = next(passes).moments.mean_log_likelihood
        accepted = leap if leap >= one else next(passes).moments.mean_log_likelihood
        assert accepted >= one - 1e-10 * max(1, abs(one))


def test_every_leap_that_falls_is_refused() -> None:
    """If every extrapolation falls, SQUAREM takes exactly the steps of plain EM."""
    problem = overlapping("full")
    frame = problem.frame
    plain = [one.parameters for _, one in zip(range(7), steady(problem, frame), strict=False)]
    honest = engine(problem, frame)
    calls = 0

    def spoilt(candidates: Sequence[Parameters]) -> list[Moments]:
        nonlocal calls
        (moments,) = honest(candidates)
        calls += 1
        worse = moments.log_likelihood - 1e6 if calls % 3 == 0 else moments.log_likelihood
        return [replace(moments, log_likelihood=worse)]

    passes = em.iterate(spoilt, frame.inward(problem.start), em.Maximiser(frame, 0.0), "squarem")
    walked = [one.parameters for i, (_, one) in enumerate(zip(range(10), passes, strict=False)) if i % 3 != 2]
    for ours, theirs in zip(walked, plain, strict=True):
        assert ours.means.tobytes() == theirs.means.tobytes()
        assert ours.covariances.tobytes() == theirs.covariances.tobytes()


def steady(problem: Problem, frame: Coordinates) -> Iterator[em.Pass]:
    """Return the passes of plain EM."""
    return em.iterate(engine(problem, frame), frame.inward(problem.start), em.Maximiser(frame, 0.0), "none")


@pytest.mark.parametrize("family", FAMILIES)
def test_squarem_needs_fewer_passes_than_plain_em(family: Family) -> None:
    """On overlapping components SQUAREM ends no lower than plain EM, in at most half of its passes."""
    problem = overlapping(family)
    plain = run(problem, tol=1e-8, max_iter=20_000)
    quick = run(problem, tol=1e-8, max_iter=20_000, acceleration="squarem")
    assert plain.outcome is quick.outcome is Outcome.CONVERGED
    assert quick.best.moments.mean_log_likelihood >= plain.best.moments.mean_log_likelihood - 2e-8
    assert 2 * len(quick.history) <= len(plain.history)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["faithful", "iris"])
def test_squarem_is_never_worse_than_plain_em_on_real_data(data: RealData, name: str, family: Family, k: int) -> None:
    """From the same start, with passes to spare, SQUAREM's model is at least as likely as plain EM's."""
    x = data.rows(name)
    problem = Problem(x, np.ones(len(x)), start_near(np.random.default_rng(k), x, k, family))
    plain = run(problem, tol=1e-9, max_iter=5000)
    quick = run(problem, tol=1e-9, max_iter=5000, acceleration="squarem")
    assert quick.best.moments.mean_log_likelihood >= plain.best.moments.mean_log_likelihood - 1e-8
    assert len(quick.history) <= len(plain.history)
