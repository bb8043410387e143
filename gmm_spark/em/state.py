"""The EM algorithm over an abstract E-step: Dempster, Laird and Rubin, J. R. Statist. Soc. B 39, 1977.

The engine is an argument. `Expectation` maps a sequence of candidate parameters to their sufficient statistics with one
read of the data; blocks in memory and blocks on a cluster are two such engines.

A fit is a `State` and a function, `advance`, from the statistics of the state's candidate to the next state. The
candidates of several fits can be measured in one read. `run` does all steps of one fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from gmm_spark.em.convergence import Outcome
from gmm_spark.em.position import Acceleration, Goal, Pass, Position, verdict
from gmm_spark.em.reseeding import Reseeding, dead_components, drop_components, reseed, spikes, wasted_components
from gmm_spark.em.trace import Fit, PassedOver, Trace
from gmm_spark.errors import ParametersError
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.statistics.moments import Moments

if TYPE_CHECKING:
    from gmm_spark.em.m_step import Maximiser

Expectation: TypeAlias = Callable[[Sequence[Parameters]], Sequence[Moments]]

_LEAST_STEPS = 3  # in which a component without rows gets others or is dropped


def iterate(
    expectation: Expectation, start: Parameters, maximise: Maximiser, acceleration: Acceleration
) -> Iterator[Pass]:
    """Yield passes without end; log nothing, write nothing.

    Raises:
        ParametersError: a component's covariance became singular.
    """
    position = Position(start, acceleration)
    while True:
        (moments,) = expectation([position.candidate])
        new = position.measured(moments, maximise)
        yield new
        position = position.next_position(new, maximise)


@dataclass(frozen=True, eq=False)
class State:
    """A fit between two reads of the data; immutable, so that it can be stored and resumed.

    Args:
        position: where EM stands.
        trace: the passes so far.
        outcome: how the fit ended; None while it runs.
        detail: the error that ended a degenerate fit.
        reseedings: the restarts of components so far.
        passed: a likelier mixture that the search for the start did not choose.
    """

    position: Position
    trace: Trace = field(default_factory=Trace)
    outcome: Outcome | None = None
    detail: str = ""
    reseedings: tuple[Reseeding, ...] = ()
    passed: PassedOver | None = None

    @property
    def candidate(self) -> Parameters:
        """The parameters to measure next, in coordinates z."""
        return self.position.candidate

    def remaining(self, measured: Pass) -> float:
        """Return what EM can still gain after the pass that led to this state, by the step to it or the next step."""
        before = self.position.before
        has_next_step = before is not None and before.parameters is measured.parameters
        return min(measured.remaining, self.position.remaining) if has_next_step else measured.remaining

    @property
    def fit(self) -> Fit:
        """The fit, once it has an outcome."""
        assert self.outcome is not None  # noqa: S101 - asked of an ended fit only
        reseeded = sum(len(each.components) for each in self.reseedings)
        fit = self.trace.to_fit(self.outcome, self.detail)
        return replace(fit, reseeded=reseeded, slowest=self.position.slowest, passed=self.passed)


def begin(
    start: Parameters, acceleration: Acceleration, slowest: float | None = None, passed: PassedOver | None = None
) -> State:
    """Return the state of a fit that has measured nothing yet.

    Args:
        start: the parameters to start from.
        acceleration: of EM.
        slowest: the slowest direction's stretch, where a fit to a sample of the rows has estimated it.
        passed: a likelier mixture that the search for the start did not choose.
    """
    return State(Position(start, acceleration, slowest=slowest), passed=passed)


def advance(state: State, moments: Moments, maximise: Maximiser, goal: Goal) -> State:
    """Return the state after the statistics of its candidate: a pure function.

    Raises:
        ParametersError: the very first pass failed, so that there is no model to return.
        DataError: the rows of the pass differ from those of the passes before.
    """
    new = state.position.measured(moments, maximise)
    if state.position.phase == "lookup":
        *earlier, entry = state.reseedings
        state = replace(state, trace=state.trace.add_repeat(new), reseedings=tuple(earlier))
        return _restart(state, new, entry, maximise)
    try:
        state = replace(state, trace=state.trace.add(new, goal))
        outcome, detail = verdict(new, len(state.trace.history), goal), ""
        if outcome is None and goal.warm and (restarted := _restart_emptied(state, new, maximise, goal)) is not None:
            return restarted
        if outcome is None:
            state = replace(state, position=state.position.next_position(new, maximise))
            if goal.tol == 0 or not state.position.remaining < goal.tol:
                return state
            # The step is not taken, but its floor hits count: the mixture is at the floor.
            floored = state.trace.floored + state.position.floored
            state, outcome = replace(state, trace=replace(state.trace, floored=floored)), Outcome.CONVERGED
    except ParametersError as error:
        if state.trace.best is None:
            raise
        outcome, detail = Outcome.DEGENERATE, error.sentences
    entry = Reseeding(len(state.trace.history), (), outcome, detail)
    if goal.tol > 0 and entry.passes + 1 < goal.max_iter and len(state.reseedings) < goal.reseedings:
        return _restart(state, new, entry, maximise)
    return _ended(state, entry)


def _restart_emptied(state: State, new: Pass, maximise: Maximiser, goal: Goal) -> State | None:
    """Return the next state where components of the initial model hold next to no rows; None where none do.

    They are restarted after the first pass. Those that then cover no cluster get weight 0 after the next pass.
    """
    if state.position.phase != "start" or goal.tol == 0 or goal.reseedings == 0 or goal.max_iter < _LEAST_STEPS:
        return None
    if not state.reseedings:
        first = len(state.trace.history) == 1 and dead_components(new.moments).any()
        restarted = _restart(state, new, Reseeding(1, (), Outcome.NO_PROGRESS), maximise) if first else state
        return restarted if restarted.outcome is None and restarted.reseedings else None
    first_entry = state.reseedings[0]
    which = spikes(new.parameters, new.moments, first_entry.components if first_entry.passes == 1 else ())
    if not which.any() or which.all():
        return None
    next_candidate, floored = maximise(new.parameters, new.moments)
    acceleration = state.position.acceleration
    return replace(state, position=Position(drop_components(next_candidate, which), acceleration, floored=floored))


def _restart(state: State, new: Pass, entry: Reseeding, maximise: Maximiser) -> State:
    """Return a state with the components that do no work restarted, or the end of the fit if there are none.

    The best parameters stay the best until a pass measures better ones: a restart costs passes, never the model.
    """
    best = state.trace.best
    assert best is not None  # noqa: S101 - a fit that ends has measured a pass
    at = replace(new.parameters, family=best.parameters.family)
    which, acceleration = wasted_components(at, new.moments, maximise), state.position.acceleration
    if which.any() and new.moments.lowest is None:
        twin = replace(at, family="full")  # the same mixture in a layout that gathers the least likely rows
        return replace(state, position=Position(twin, acceleration, "lookup"), reseedings=(*state.reseedings, entry))
    start, components = reseed(at, new.moments, which, maximise)
    if not components:
        return _ended(state, entry)
    entry, trace = replace(entry, components=components), replace(state.trace, earlier=True)
    return replace(state, position=Position(start, acceleration), trace=trace, reseedings=(*state.reseedings, entry))


def _ended(state: State, entry: Reseeding) -> State:
    """Return the end of a fit: that before a restart of components, if no later pass was better."""
    ending = next(each for each in (*state.reseedings, entry) if state.trace.best_pass <= each.passes)
    return replace(state, outcome=ending.outcome, detail=ending.detail)


def run(
    expectation: Expectation,
    state: State,
    maximise: Maximiser,
    goal: Goal,
    on_pass: Callable[[State, Pass], None] | None = None,
    measured: Moments | None = None,
) -> Fit:
    """Run a fit from a state to its end.

    Args:
        expectation: the engine.
        state: from `begin`, or from a checkpoint.
        maximise: the M-step.
        goal: when to end.
        on_pass: called with the state after each pass and the pass, for logs and checkpoints.
        measured: the statistics of the state's candidate, where all rows have been read for it before.

    Raises:
        ParametersError: the very first pass failed, so that there is no model to return.
    """
    for after, new in steps(expectation, state, maximise, goal, measured):
        if on_pass and after.trace is not state.trace:
            on_pass(after, new)
        state = after
    return state.fit


def steps(
    expectation: Expectation, state: State, maximise: Maximiser, goal: Goal, measured: Moments | None = None
) -> Iterator[tuple[State, Pass]]:
    """Yield the state after each pass and the pass, to the end of the fit; arguments and errors are those of `run`."""
    while state.outcome is None:
        moments = measured or expectation([state.candidate])[0]
        measured = None
        new = state.position.measured(moments, maximise)
        state = advance(state, moments, maximise, goal)
        yield state, new
