"""Many EM runs side by side: each read of the data serves all that are still running.

Numbers of passes do not add up over the candidates: together they take as many as the longest run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from gmm_spark import em
from gmm_spark.em.convergence import Outcome, sentence
from gmm_spark.em.diagnosis import findings, unsound
from gmm_spark.errors import ParametersError
from gmm_spark.mixture import families
from gmm_spark.selection.evaluation import FAILED, RETIRED, Candidate, Standing, hopeless
from gmm_spark.statistics.moments import Moments
from gmm_spark.statistics.reading import Request

if TYPE_CHECKING:
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.selection.evaluation import Criterion


# One read of the data for all requests.
Measure: TypeAlias = Callable[[Sequence[Request]], Sequence[Moments]]


@dataclass(frozen=True, eq=False)
class Runner:
    """A candidate on its way.

    Args:
        candidate: which.
        state: how far its fit has come, in coordinates z.
        maximise: its M-step.
        held: the fold of rows that it is not fitted to.
        shadow: whether it only serves to measure held-out rows, beside a runner that is fitted to all.
        reach: the mean log-likelihood that it is expected to end with, in coordinates z; infinite until that is known.
        stability: the share of the starts of its search that led to the partition of the best; NaN if not known.
        rows_per_weight: effective rows per unit of weight; 1 where all rows weigh 1.
    """

    candidate: Candidate
    state: em.State
    maximise: em.Maximiser
    held: int | None = None
    shadow: bool = False
    reach: float = float("inf")
    rows_per_weight: float = 1.0
    stability: float = float("nan")

    @property
    def request(self) -> Request:
        """What it needs of the next read."""
        return Request(self.state.candidate, self.held)

    def advanced(self, moments: Moments, goal: em.Goal) -> Runner:
        """Return the runner after this read."""
        new = self.state.position.measured(moments, self.maximise)
        expected = new.moments.mean_log_likelihood + new.remaining
        reach = self.reach if expected == float("inf") else expected
        return replace(self, state=em.advance(self.state, moments, self.maximise, goal), reach=reach)


@dataclass(frozen=True, eq=False)
class Finish:
    """A run that has ended.

    Args:
        runner: the run.
        outcome: that of its fit, or "retired", or "failed" where it never had a valid mixture.
        message: the outcome in a sentence.
    """

    runner: Runner
    outcome: str
    message: str

    @property
    def fit(self) -> em.Fit | None:
        """The best parameters that were measured, and how they were reached; None where the run failed."""
        state = self.runner.state
        if state.trace.best is None:
            return None
        return state.fit if state.outcome else replace(state, outcome=Outcome.ITERATION_LIMIT).fit


def race(
    measure: Measure,
    runners: Iterable[Runner],
    goal: em.Goal,
    criterion: Criterion | None,
    rivals: Sequence[Standing] = (),
    on_pass: Callable[[int, Sequence[Runner]], None] | None = None,
) -> Iterator[Finish]:
    """Yield each run as it ends.

    Args:
        measure: one read of the data for all requests.
        runners: the runs, each at its start.
        goal: when a run is done.
        criterion: what will decide; runs that can't win by it are retired. None lets all run to their end.
        rivals: candidates that were fitted before, and may retire others.
        on_pass: called with the number of each read and the runs that took part in it.
    """
    running, ended, number = list(runners), list(rivals), 0
    while running:
        measured = measure([runner.request for runner in running])
        number += 1
        advanced = [_advanced(runner, moments, goal) for runner, moments in zip(running, measured, strict=True)]
        if on_pass:
            on_pass(number, [each for each in advanced if isinstance(each, Runner)])
        done = [each if isinstance(each, Finish) else _finish(each, goal.tol) for each in advanced if _is_over(each)]
        running = [each for each in advanced if isinstance(each, Runner) and not _is_over(each)]
        ended += [standing for finish in done if (standing := _standing(finish.runner))]
        yield from done
        if criterion is not None:
            lost = _lost(running, ended, criterion)
            yield from (Finish(each, RETIRED, _RETIREMENT) for each in running if each.candidate in lost)
            running = [each for each in running if each.candidate not in lost]


_RETIREMENT = (
    "It was ended early, for it could not win any more: another candidate has measured better than it can reach."
)


def in_user_units(moments: Moments, frame: Coordinates) -> float:
    """Return the log-likelihood of the user's rows, from that of their coordinates z."""
    return moments.log_likelihood - moments.weight * frame.log_determinant


def _advanced(runner: Runner, moments: Moments, goal: em.Goal) -> Runner | Finish:
    try:
        return runner.advanced(moments, goal)
    except ParametersError as error:
        return Finish(runner, FAILED, error.sentences)


def _is_over(each: Runner | Finish) -> bool:
    return isinstance(each, Finish) or each.state.outcome is not None


def _finish(runner: Runner, tol: float) -> Finish:
    outcome = runner.state.outcome
    assert outcome is not None  # noqa: S101 - asked of ended runs only
    return Finish(runner, outcome.value, sentence(outcome, tol, runner.state.detail))


def _lost(running: Sequence[Runner], ended: Sequence[Standing], criterion: Criterion) -> set[Candidate]:
    standings = [standing for each in running if (standing := _standing(each))]
    return hopeless([*standings, *ended], criterion) & {each.candidate for each in standings}


def _standing(runner: Runner) -> Standing | None:
    """Return how far a run has come, in the user's units; None for a shadow, and before the first read."""
    best = runner.state.trace.best
    if best is None or runner.shadow:
        return None
    rows, parameters = best.moments.weight * runner.rows_per_weight, best.parameters
    left = 0.0 if runner.state.outcome else max(0.0, runner.reach - best.moments.mean_log_likelihood) * rows
    free = families.free_parameters(parameters.family, parameters.k, parameters.d, noise=parameters.noise is not None)
    value = in_user_units(best.moments, runner.maximise.frame) * runner.rows_per_weight
    return Standing(
        runner.candidate,
        value,
        left,
        free,
        rows,
        sound=not (best.charge or unsound(findings(parameters, best.moments, runner.maximise))),
    )
