"""A fit as a value between two reads of the data: stepped, kept, gone on from, measured beside others."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.em.convergence import Outcome
from gmm_spark.em.position import verdict
from gmm_spark.em.squarem import extrapolate
from gmm_spark.errors import ParametersError
from gmm_spark.mixture.parameters import Parameters
from tests.strategies import Problem, assert_close, engine, problems, random_problem

if TYPE_CHECKING:
    from collections.abc import Iterator


accelerations = st.sampled_from(["none", "squarem"])
floors = st.sampled_from([0.0, 1e-4, 0.3])


def plain(expectation: em.Expectation, at: Parameters, maximise: em.Maximiser) -> Iterator[em.Pass]:
    """Yield the passes of plain EM, written as the loop of the textbook."""
    before: em.Pass | None = None
    floored = 0
    while True:
        (moments,) = expectation([at])
        gain = moments.mean_log_likelihood - before.moments.mean_log_likelihood if before else None
        known = before is not None and before.gain is not None and before.gain > 0
        rate = gain / before.gain if known and before and gain is not None and before.gain else None
        before = em.Pass(at, moments, gain, rate, floored)
        yield before
        at, floored = maximise(at, moments)


def squarem(expectation: em.Expectation, at: Parameters, maximise: em.Maximiser) -> Iterator[em.Pass]:
    """Yield the passes of SQUAREM, written as the loop of Varadhan and Roland with the free guard."""
    limit, slowest, rate = 4.0, 1.0, None
    zero = em.Pass(at, expectation([at])[0])
    yield zero
    while True:
        t1, floored = maximise(zero.parameters, zero.moments)
        moments = expectation([t1])[0]
        gain = moments.mean_log_likelihood - zero.moments.mean_log_likelihood
        yield em.Pass(t1, moments, gain, rate, floored)
        t2, floored = maximise(t1, moments)
        leap = extrapolate((zero.parameters, t1, t2), maximise.frame, limit)
        slowest = max(leap.stretch, 0.9 * slowest)
        rate = (1 - 1 / slowest) ** 2
        reached = maximise.floored(leap.parameters)
        zero = em.Pass(reached, expectation([reached])[0], floored=floored)
        yield zero
        if zero.moments.log_likelihood >= moments.log_likelihood:
            limit *= 4 if leap.limited else 1
        else:
            limit = max(1.0, limit / 4)
            zero = em.Pass(t2, expectation([t2])[0], floored=floored)
            yield zero


def simple_loop(
    expectation: em.Expectation, start: Parameters, maximise: em.Maximiser, acceleration: em.Acceleration, goal: em.Goal
) -> em.Fit:
    """Go from position to position until the goal says so; the fit without states, reseeding and callbacks."""
    trace, position = em.Trace(), em.Position(start, acceleration)
    while True:
        try:
            new = position.measured(expectation([position.candidate])[0], maximise)
            trace = trace.add(new, goal)
            if outcome := verdict(new, len(trace.history), goal):
                return trace.ended(outcome)
            position = position.onward(new, maximise)
        except ParametersError as error:
            return trace.ended(Outcome.DEGENERATE, error.sentences)
        if position.remaining < goal.tol:
            return replace(trace, floored=trace.floored + position.floored).ended(Outcome.CONVERGED)


def bits(one: em.Pass) -> tuple[object, ...]:
    """Return all that a pass holds, so that equal means the same bits."""
    arrays = (one.parameters.weights, one.parameters.means, one.parameters.covariances, one.moments.centers)
    return (*(a.tobytes() for a in arrays), one.moments.to_bytes(), one.gain, one.rate, one.floored)


def end_of(fit: em.Fit) -> tuple[object, ...]:
    """Return all that a fit holds."""
    return (*bits(fit.best), fit.outcome, fit.history, fit.floored, fit.detail)


@given(problems(most=3), accelerations, floors)
def test_stepping_gives_the_bits_of_the_loops(problem: Problem, acceleration: em.Acceleration, floor: float) -> None:
    """`iterate` and `run` measure exactly what EM and SQUAREM measure when written as loops."""
    frame, loop = problem.frame, {"none": plain, "squarem": squarem}[acceleration]
    expectation, maximise, start = engine(problem, frame), em.Maximiser(frame, floor), frame.inward(problem.start)
    wanted = [bits(one) for one in islice(loop(expectation, start, maximise), 12)]
    ours = [bits(one) for one in islice(em.iterate(expectation, start, maximise, acceleration), 12)]
    seen: list[tuple[object, ...]] = []
    goal = em.Goal(tol=0, max_iter=11)
    em.run(expectation, em.begin(start, acceleration), maximise, goal, lambda _, one: seen.append(bits(one)))
    assert ours == wanted
    assert seen == wanted


@given(problems(most=3), accelerations, floors, st.sampled_from([0.0, 1e-5]))
def test_a_fit_by_states_ends_as_the_fit_of_its_passes(
    problem: Problem, acceleration: em.Acceleration, floor: float, tol: float
) -> None:
    """`run` ends where a plain loop over `iterate` ends: the same best pass, outcome, history and floor hits."""
    frame = problem.frame
    expectation, maximise, start = engine(problem, frame), em.Maximiser(frame, floor), frame.inward(problem.start)
    by_passes = simple_loop(expectation, start, maximise, acceleration, em.Goal(tol, 25))
    by_states = em.run(expectation, em.begin(start, acceleration), maximise, em.Goal(tol, 25))
    assert end_of(by_states) == end_of(by_passes)


@given(problems(most=3), accelerations, floors)
def test_any_state_can_be_gone_on_from(problem: Problem, acceleration: em.Acceleration, floor: float) -> None:
    """A fit taken up again at any of its states, the last one too, ends with the same bits."""
    frame = problem.frame
    expectation, maximise, goal = engine(problem, frame), em.Maximiser(frame, floor), em.Goal(1e-5, 8)
    kept = [em.begin(frame.inward(problem.start), acceleration)]
    whole = em.run(expectation, kept[0], maximise, goal, lambda state, _: kept.append(state))
    assert len(kept) == len(whole.history) + 1
    for state in kept:
        assert end_of(em.run(expectation, state, maximise, goal)) == end_of(whole)


@pytest.mark.parametrize("acceleration", ["none", "squarem"])
def test_fits_measured_together_end_as_each_alone(acceleration: em.Acceleration) -> None:
    """One call of the engine measures the candidates of all fits that are alive, of any k and family."""
    problem = random_problem(3, "full", 3, 2)
    frame, goal = problem.frame, em.Goal(1e-6, 200)
    expectation, maximise = engine(problem, frame), em.Maximiser(frame, 1e-6)
    starts = [random_problem(seed, "full", k, 2).start for seed, k in ((1, 1), (2, 2), (3, 3), (4, 4))]
    states = [em.begin(frame.inward(start), acceleration) for start in starts]
    alone = [em.run(expectation, state, maximise, goal) for state in states]
    calls = 0
    while alive := [i for i, state in enumerate(states) if state.outcome is None]:
        calls += 1
        for i, moments in zip(alive, expectation([states[i].candidate for i in alive]), strict=True):
            states[i] = em.advance(states[i], moments, maximise, goal)
    assert calls == max(len(fit.history) for fit in alone)
    for state, fit in zip(states, alone, strict=True):
        assert (state.fit.outcome, len(state.fit.history)) == (fit.outcome, len(fit.history))
        assert_close(state.fit.history, fit.history, 1e-9)


@pytest.mark.parametrize("acceleration", ["none", "squarem"])
def test_a_collapse_ends_the_states_as_it_ends_the_passes(acceleration: em.Acceleration) -> None:
    """A component that loses its covariance gives the same degenerate end, with the same last valid model."""
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.standard_normal((200, 2)), [[40.0, 0.0], [40.0, 1.0]]])
    start = Parameters(np.array([0.99, 0.01]), np.array([[0.0, 0.0], [40.0, 0.5]]), np.stack([np.eye(2)] * 2))
    problem = Problem(x, np.ones(len(x)), start)
    frame, goal = problem.frame, em.Goal(1e-8, 100)
    expectation, maximise, inner = engine(problem, frame), em.Maximiser(frame, 0.0), frame.inward(start)
    by_states = em.run(expectation, em.begin(inner, acceleration), maximise, goal)
    assert by_states.outcome is Outcome.DEGENERATE
    by_passes = simple_loop(expectation, inner, maximise, acceleration, goal)
    assert end_of(by_states) == end_of(by_passes)


def test_a_first_pass_that_fails_leads_to_no_state() -> None:
    """Where the very first measurement is no number, `advance` raises: there is no model to return."""
    problem = random_problem(0, "full", 2, 2)
    frame = problem.frame
    expectation = engine(replace(problem, weights=np.full(len(problem.x), np.nan)), frame)
    state = em.begin(frame.inward(problem.start), "squarem")
    (moments,) = expectation([state.candidate])
    with pytest.raises(ParametersError, match="log-likelihood of pass 1: got nan"):
        em.advance(state, moments, em.Maximiser(frame, 0.0), em.Goal(1e-4, 3))
