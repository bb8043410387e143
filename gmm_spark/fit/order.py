"""The steps of a fit, over any engine: a start from a sample, its check on all rows, EM to its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from gmm_spark import em
from gmm_spark.em.reseeding import emptied_components
from gmm_spark.em.summary import summary_of
from gmm_spark.errors import DataError
from gmm_spark.search import best_start
from gmm_spark.search.missed_clusters import check_start
from gmm_spark.search.sample import Sample
from gmm_spark.search.sample_size import sample_tol
from gmm_spark.statistics import doubts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from gmm_spark.em.reseeding import EmptiedComponent
    from gmm_spark.em.summary import Summary
    from gmm_spark.fit.observer import Observer
    from gmm_spark.fit.problem import Problem
    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.search.missed_clusters import CheckedStart
    from gmm_spark.search.short_runs import Each
    from gmm_spark.statistics.moments import Moments

_ONE_STEP = 1.0  # the stretch for one component: EM ends after one step, from any start
# Components that do no work were already restarted on the sample: one more restart is enough where a pass is expensive.
RESEEDINGS = 1


class Rows(Protocol):
    """The rows of a fit in coordinates z: an `Expectation`, and what a search for a start needs."""

    def __call__(self, candidates: Sequence[Parameters], /) -> Sequence[Moments]:
        """Return each candidate's statistics over all rows, from one read."""

    def with_lowest(self, candidate: Parameters) -> Moments:
        """Return a candidate's statistics over all rows, with many of the least likely rows, from one read."""

    def sample(self) -> tuple[FloatArray, FloatArray]:
        """Return sampled rows (d, m), in random order, and their weights (m,)."""

    def distinct(self, most: int) -> int:
        """Return the number of distinct rows, counted up to `most`."""

    @property
    def passes(self) -> int:
        """Full reads of the rows so far, without the read that packs them in coordinates z."""

    def refine(self, fit: em.Fit) -> em.Fit:
        """Return the fit after EM on parts of the rows."""

    def runner(self) -> AbstractContextManager[Each]:
        """Return a context whose value runs the groups of a ranking."""


@dataclass(frozen=True, eq=False)
class Start:
    """The start of EM on all rows.

    Args:
        parameters: the start, in coordinates z.
        slowest: SQUAREM's estimate of the slowest direction's stretch there.
        checked: the result of its check on all rows; None where the sample has all rows.
        passed: a likelier mixture that the search did not choose.
    """

    parameters: Parameters
    slowest: float | None = None
    checked: CheckedStart | None = None
    passed: em.PassedOver | None = None

    @property
    def replaced(self) -> bool:
        """Whether all rows showed a cluster that the sample had missed, and so another start replaced the first."""
        return self.checked is not None and self.checked.replaced


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fit that has ended.

    Args:
        problem: what was fitted.
        fit: how it ended, in coordinates z.
        start: where it started; None if it was resumed from a state.
        searched: whether its start was searched for, by this run or by the run that it resumes.
        resumed: passes before the state that it was resumed from.
        emptied: components of the initial model that held next to no rows.
        passes: full reads of the rows by this run, without the read that packs them in coordinates z.
    """

    problem: Problem
    fit: em.Fit
    start: Start | None
    searched: bool
    resumed: int
    emptied: tuple[EmptiedComponent, ...]
    passes: int

    @property
    def parameters(self) -> Parameters:
        """The mixture in the user's units, its components in order."""
        return self.problem.frame.outward(self.fit.best.parameters).ordered()

    def summary(self, seconds: dict[str, float], warnings: Sequence[str] = ()) -> Summary:
        """Return how the fit went.

        Args:
            seconds: by phase.
            warnings: what was doubtful about the table before the fit.
        """
        surveyed, start = self.problem.surveyed, self.start
        passes = surveyed.passes + self.searched + self.resumed + self.passes
        problem, tol = self.problem, self.problem.options.tol
        summary = summary_of(self.fit, problem.maximise, surveyed, problem.names, seconds, passes, tol)
        messages = (*(each.message for each in self.emptied), *(each.message for each in summary.findings))
        return replace(
            summary,
            warnings=(*warnings, *messages),
            emptied=tuple(each.component for each in self.emptied),
            resumedPasses=self.resumed,
            startReplaced=start is not None and start.replaced,
        )


def fit_rows(
    problem: Problem,
    rows: Rows,
    observer: Observer,
    initial: Parameters | None = None,
    state: em.State | None = None,
) -> FitResult:
    """Fit a mixture: search for a start, if none is given, and run EM to its end.

    Args:
        problem: the options, the surveyed rows and the coordinates.
        rows: the rows, in the coordinates of the problem.
        observer: receives the events.
        initial: start from this mixture, in the user's units, instead of searching.
        state: resume from this state.

    Raises:
        DataError: fewer distinct rows than components, no valid start, or rows that differ between reads.
        ParametersError: the very first pass failed, so that there is no model to return.
    """
    resumed = len(state.trace.history) if state else 0
    start = Start(problem.frame.inward(initial)) if initial else None
    if state is None:
        start = start or find_start(problem, rows, observer)
        state = em.begin(start.parameters, problem.options.acceleration, start.slowest, start.passed)
        observer.state_reached(state)
    emptied: list[EmptiedComponent] = []
    with observer.phase("em"):
        fit = _run_to_end(problem, rows, observer, state, start, emptied if initial else None)
    return FitResult(problem, fit, start, initial is None, resumed, tuple(emptied), rows.passes)


def find_start(problem: Problem, rows: Rows, observer: Observer) -> Start:
    """Return the best start from a sample, with its check on all rows; errors as for `fit_rows`."""
    options, surveyed, frame = problem.options, problem.surveyed, problem.frame
    with observer.phase("pack"):
        z, weights = rows.sample()
    if options.k == 1 and not options.noise:
        return Start(problem.one_component(), _ONE_STEP)
    with observer.phase("starts"):
        doubts.check_distinct(z[:, weights > 0], options.k, rows.distinct)
        sample = Sample(z, weights, surveyed.reference.covariance)
        tol = sample_tol(options.family, options.k, options.tol, sample, surveyed.counted)
        plan = problem.plan(tol)
        with rows.runner() as each:
            try:
                fit = best_start.best(sample, frame, plan, each)
            except DataError as error:
                raise doubts.of_far_rows(error, surveyed, problem.names) from error
    if len(weights) >= surveyed.counted:
        return Start(fit.best.parameters, fit.slowest, passed=fit.passed)
    with observer.phase("parts"):
        fit = rows.refine(fit)
    with observer.phase("look"):
        checked = check_start(rows.with_lowest, fit, sample, frame, plan)
    observer.start_checked(checked)
    return Start(checked.parameters, checked.slowest, checked, None if checked.replaced else fit.passed)


def _run_to_end(
    problem: Problem,
    rows: Rows,
    observer: Observer,
    state: em.State,
    start: Start | None,
    emptied: list[EmptiedComponent] | None,
) -> em.Fit:
    """Run EM on all rows; add to `emptied`, if given, the components of the initial model with next to no rows."""
    restarts = len(state.reseedings)

    def on_pass(after: em.State, measured: em.Pass) -> None:
        nonlocal restarts
        observer.pass_measured(after, measured)
        if len(after.trace.history) == 1 and emptied is not None:
            emptied.extend(emptied_components(measured))
            observer.emptied(emptied)
        if after.position.phase == "start" and len(after.reseedings) > restarts:
            observer.reseeded(after.reseedings[-1])
            restarts = len(after.reseedings)
        observer.state_reached(after)

    options = problem.options
    goal = em.Goal(options.tol, options.max_iter, RESEEDINGS, warm=emptied is not None)
    measured = start.checked.moments if start and start.checked else None
    return em.run(rows, state, problem.maximise, goal, on_pass, measured)
