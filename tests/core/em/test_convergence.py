"""How fits end: each outcome by a real case, and an honest word on what is left to gain."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.em.convergence import Outcome, passes_to, remaining_gain, sentence
from gmm_spark.errors import DataError, ParametersError
from gmm_spark.mixture.coordinates import coordinates_for
from gmm_spark.mixture.parameters import ALIGNED, FAMILIES, Family, Parameters
from gmm_spark.search import best_start
from gmm_spark.statistics.block import Block
from tests.strategies import (
    Problem,
    assert_same,
    engine,
    problems,
    random_problem,
    run,
    sample,
    shaped,
    start_near,
    steps,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.statistics.moments import Moments

ACCELERATIONS: tuple[em.Acceleration, ...] = ("none", "squarem")


def crawling(family: Family, seed: int = 4) -> Problem:
    """Return two components one and a half standard deviations apart, started near the truth."""
    generator = np.random.default_rng(seed)
    covariances = shaped(family, np.array([[[1.0, 0.3], [0.3, 1.0]], [[1.5, -0.2], [-0.2, 0.8]]]))
    truth = Parameters(np.array([0.6, 0.4]), np.array([[0.0, 0.0], [2.0, 1.5]]), covariances, family)
    x, _ = sample(generator, truth, 1500)
    return Problem(x, np.ones(len(x)), replace(truth, weights=np.array([0.5, 0.5]), means=truth.means + 0.3))


def gained_by_going_on(problem: Problem, fit: em.Fit) -> float:
    """Return the nats per row that plain EM still finds, run on from where the fit stopped."""
    frame = problem.frame
    state, goal = em.begin(fit.best.parameters, "none"), em.Goal(1e-13, 20_000)
    end = em.run(engine(problem, frame), state, em.Maximiser(frame, 0.0), goal)
    return end.best.moments.mean_log_likelihood - fit.best.moments.mean_log_likelihood


@pytest.mark.parametrize("tol", [1e-4, 1e-6])
@pytest.mark.parametrize("acceleration", ACCELERATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_converged_means_that_no_more_than_tol_is_left(
    family: Family, acceleration: em.Acceleration, tol: float
) -> None:
    """After "converged" running on gains under 3 tol a row for plain EM, under 10 tol for SQUAREM's rougher rate."""
    problem = crawling(family)
    fit = run(problem, tol=tol, max_iter=5000, acceleration=acceleration)
    assert fit.outcome is Outcome.CONVERGED
    assert gained_by_going_on(problem, fit) <= (3 if acceleration == "none" else 10) * tol


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_left_is_foretold_within_a_factor_of_three(family: Family) -> None:
    """Once EM has settled, `remaining` of plain EM is what it really gains from there on."""
    problem = crawling(family)
    frame = problem.frame
    passes = em.iterate(engine(problem, frame), frame.inward(problem.start), em.Maximiser(frame, 0.0), "none")
    seen = [one for _, one in zip(range(1500), passes, strict=False)]
    final = seen[-1].moments.mean_log_likelihood
    settled = [one for one in seen[10:] if 1e-10 < final - one.moments.mean_log_likelihood < 1e-6]
    assert settled
    for one in settled:
        assert 1 / 3 < one.remaining / (final - one.moments.mean_log_likelihood) < 3


def test_a_first_fast_step_is_not_taken_for_convergence() -> None:
    """Gains that fall from 10 to 0.01 nats promise nothing: at least another such gain is expected."""
    assert remaining_gain(0.01, 0.001) >= 0.01
    assert remaining_gain(0.01, None) == float("inf")
    assert remaining_gain(0.01, 1.2) == float("inf")
    assert remaining_gain(0.01, 0.9) == pytest.approx(0.09)
    assert remaining_gain(0.0, None) == 0


@given(problems(most=3), st.integers(1, 20))
def test_tol_zero_takes_exactly_the_steps_asked_for(problem: Problem, count: int) -> None:
    """tol = 0 runs max_iter plain steps, ends at the iteration limit and returns the last parameters."""
    fit = run(problem, tol=0, max_iter=count)
    assert fit.outcome is Outcome.ITERATION_LIMIT
    assert fit.iterations == count
    assert fit.best.moments.mean_log_likelihood == fit.history[-1]


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_the_limit_is_told_as_the_limit(acceleration: em.Acceleration) -> None:
    """A fit that is cut short says iteration_limit, not converged."""
    fit = run(crawling("full"), tol=1e-10, max_iter=5, acceleration=acceleration)
    assert fit.outcome is Outcome.ITERATION_LIMIT
    assert fit.iterations == 5
    assert "limit of iterations" in fit.outcome.message
    assert fit.outcome.options == ("max_iter", "tol")
    assert "raise" in sentence(fit.outcome, 1e-10)
    assert "tolerance of 0 asks for" in sentence(fit.outcome, 0.0)
    assert "raise" not in sentence(fit.outcome, 0.0)


def test_a_fall_is_told_as_no_progress() -> None:
    """A start below the floor falls when the floor first binds: no_progress, and the start is the best model."""
    problem = random_problem(2, "full", 2, 2)
    frame = problem.frame
    sharp = replace(problem, start=steps(problem, 50).parameters)
    fit = run(sharp, tol=1e-6, max_iter=100, floor=10.0, frame=frame)
    assert fit.outcome is Outcome.NO_PROGRESS
    assert fit.floored > 0
    assert_same(frame.outward(fit.best.parameters), sharp.start, frame, 1e-12)


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_a_fall_that_no_step_of_em_can_bring_is_an_error(acceleration: em.Acceleration) -> None:
    """Rows that change between two reads, of the same total weight, end the fit with the number of the pass."""
    problem, reads = crawling("full"), itertools.count(1)
    frame = problem.frame
    others = replace(problem, x=problem.x[::-1] * 1.5)
    before, after = engine(problem, frame), engine(others, frame)
    state, goal = em.begin(frame.inward(problem.start), acceleration), em.Goal(1e-9, 100)

    def changing(candidates: Sequence[Parameters]) -> Sequence[Moments]:
        return (before if next(reads) < 4 else after)(candidates)

    with pytest.raises(DataError, match=r"log-likelihood of pass 4: .*expected no fall"):
        em.run(changing, state, em.Maximiser(frame, 1e-6), goal)


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_a_collapse_is_told_as_degenerate(acceleration: em.Acceleration) -> None:
    """A component on two rows of the plane loses its covariance: degenerate, with the last valid model."""
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.standard_normal((200, 2)), [[40.0, 0.0], [40.0, 1.0]]])
    covariances = np.stack([np.eye(2)] * 2)
    problem = Problem(
        x, np.ones(len(x)), Parameters(np.array([0.99, 0.01]), np.array([[0.0, 0.0], [40.0, 0.5]]), covariances)
    )
    fit = run(problem, tol=1e-8, max_iter=100, acceleration=acceleration)
    assert fit.outcome is Outcome.DEGENERATE
    assert "covariances of components [1]" in fit.detail
    assert np.isfinite(fit.best.moments.log_likelihood)
    assert "covariance floor" in sentence(fit.outcome, 1e-8, fit.detail)


def test_the_floor_saves_what_would_collapse() -> None:
    """The same rows with the default floor end converged, with the floor hits counted."""
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.standard_normal((200, 2)), [[40.0, 0.0], [40.0, 1.0]]])
    start = Parameters(np.array([0.99, 0.01]), np.array([[0.0, 0.0], [40.0, 0.5]]), np.stack([np.eye(2)] * 2))
    fit = run(Problem(x, np.ones(len(x)), start), tol=1e-6, max_iter=200, floor=1e-6, acceleration="squarem")
    assert fit.outcome is Outcome.CONVERGED
    assert fit.floored > 0
    assert np.linalg.eigvalsh(fit.best.parameters.covariances).min() >= 1e-6 * (1 - 1e-6)


def test_a_fit_without_a_first_pass_has_no_model_to_return() -> None:
    """Where the very first measurement is no number there is an error, not an outcome."""
    problem = random_problem(0, "full", 2, 2)
    broken = replace(problem, weights=np.full(len(problem.x), np.nan))
    with pytest.raises(ParametersError, match="log-likelihood of pass 1: got nan"):
        run(broken, tol=1e-4, max_iter=3, frame=problem.frame)


def test_every_outcome_has_its_sentence() -> None:
    """Each outcome explains itself, and reads as its lower-case name."""
    assert [outcome.value for outcome in Outcome] == ["converged", "iteration_limit", "no_progress", "degenerate"]
    assert all(outcome.message.endswith(".") for outcome in Outcome)


def test_passes_are_reported_as_they_come() -> None:
    """on_pass is called once a pass, after the state has it, with the history's likelihoods."""
    problem = random_problem(1, "diag", 2, 3)
    frame, seen = problem.frame, []
    fit = em.run(
        engine(problem, frame),
        em.begin(frame.inward(problem.start), "squarem"),
        em.Maximiser(frame, 0.0),
        em.Goal(1e-5, 50),
        on_pass=lambda state, one: seen.append((len(state.trace.history), one.moments.mean_log_likelihood)),
    )
    assert seen == list(enumerate(fit.history, start=1))


@given(problems(most=3))
def test_one_component_converges_at_once(problem: Problem) -> None:
    """K = 1 has nothing left to gain after one step, and says so within three passes."""
    start = start_near(np.random.default_rng(0), problem.x, 1, problem.family)
    fit = run(replace(problem, start=start), tol=1e-9, max_iter=100)
    assert fit.outcome is Outcome.CONVERGED
    assert len(fit.history) <= 3


@pytest.mark.parametrize(("remaining", "rate"), [(1.0, 0.5), (0.3, 0.9), (5e-3, 0.999), (1e-4, 0.01)])
def test_the_passes_left_are_those_that_a_geometric_series_needs(remaining: float, rate: float) -> None:
    """After n steps, and not one earlier, what is left of a geometric series is at most tol."""
    steps = passes_to(1e-6, remaining, rate)
    assert steps is not None
    assert remaining * rate**steps <= 1e-6 * (1 + 1e-9)
    assert remaining * rate ** (steps - 1) > 1e-6


def test_passes_left_are_not_told_where_nobody_can_know() -> None:
    """Nothing left needs no pass; without a rate below 1, a finite rest and a tol above 0 there is no number."""
    assert passes_to(1e-4, 1e-5, 0.5) == 0
    assert [passes_to(*case) for case in ((0.0, 1.0, 0.5), (1e-4, float("inf"), 0.5), (1e-4, 1.0, 1.0))] == [None] * 3


@pytest.mark.parametrize("family", ["full", "tied", "diag", "tied-diag"])
def test_without_a_tolerance_all_steps_are_taken(family: Family) -> None:
    """With tol = 0 each of 20 fits takes its 30 steps, also where rounding makes what is left to gain negative."""
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((200, 2)) + np.repeat([[0.0], [8]], 100, axis=0)
        frame = coordinates_for(family, x.mean(axis=0), np.cov(x.T, bias=True), ("a", "b"))
        own = np.ones((2, 2)) if family in ALIGNED else np.repeat(np.eye(2)[None], 2, axis=0)
        start = frame.inward(Parameters(np.full(2, 0.5), np.array([[0.0, 0], [8, 8]]), own, family))
        rows = best_start.in_memory([Block(frame.rows(x))])
        fit = em.run(rows, em.begin(start, "squarem"), em.Maximiser(frame, 1e-6), em.Goal(0.0, 30))
        assert (fit.iterations, fit.outcome) == (30, Outcome.ITERATION_LIMIT)
