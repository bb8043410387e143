"""Many EM runs together: each read of the data serves all runs that have not ended.

So the candidates together read the data only as often as the longest run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from gmm_spark import em
from gmm_spark.em.convergence import Outcome, sentence
from gmm_spark.em.diagnosis import findings, unsound_findings
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
    """The run of a candidate.

    Args:
        candidate: the candidate.
        state: the state of its fit, in coordinates z.
        maximise: its M-step.
        held: the held-out fold, whose rows it is not fitted to.
        shadow: whether it only measures held-out rows, beside a runner that is fitted to all rows.
        reach: its expected final mean log-likelihood, in coordinates z; infinite until it can be estimated.
        stability: the share of the starts of its search that led to the partition of the best start; NaN if unknown.
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
        """The statistics that it needs from the next read."""
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
        outcome: that of its fit, or "retired", or "failed" if it never had a valid mixture.
        message: the outcome in a sentence.
    """

    runner: Runner
    outcome: str
    message: str

    @property
    def fit(self) -> em.Fit | None:
        """The fit with the best parameters measured; None if the run failed."""
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
        criterion: the criterion of the selection; runs that can't win by it are retired. None retires no run.
        rivals: candidates that were fitted before, which may retire others.
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
    "It was ended early because it could not win: another candidate has already measured better than it can reach."
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
    assert outcome is not None  # noqa: S101 - called for ended runs only
    return Finish(runner, outcome.value, sentence(outcome, tol, runner.state.detail))


def _lost(running: Sequence[Runner], ended: Sequence[Standing], criterion: Criterion) -> set[Candidate]:
    standings = [standing for each in running if (standing := _standing(each))]
    return hopeless([*standings, *ended], criterion) & {each.candidate for each in standings}


def _standing(runner: Runner) -> Standing | None:
    """Return the progress of a run, in the user's units; None for a shadow, and before the first read."""
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
        sound=not (best.charge or unsound_findings(findings(parameters, best.moments, runner.maximise))),
    )
