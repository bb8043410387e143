"""Fits a grid of mixtures together: one survey, one packing, and passes that all running candidates share."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from gmm_spark import em
from gmm_spark.em.summary import summary_of
from gmm_spark.errors import DataError
from gmm_spark.fit.order import RESEEDINGS
from gmm_spark.fit.problem import Problem
from gmm_spark.limits import LIMITS, Limits
from gmm_spark.mixture import families
from gmm_spark.mixture.parameters import ALIGNED
from gmm_spark.search.sample import Sample
from gmm_spark.search.sample_size import sample_rows, sample_tol
from gmm_spark.selection import race
from gmm_spark.selection.evaluation import FAILED, RETIRED, Candidate, Evaluation, grid, winner
from gmm_spark.spark.blocks import agreement, pack
from gmm_spark.spark.blocks.block_storage import pack_table
from gmm_spark.spark.blocks.collect_sample import collect_sample
from gmm_spark.spark.fit import progress
from gmm_spark.spark.selection import grid_starts
from gmm_spark.spark.selection.choice import Choice, FitStore, FittedCandidate, Selection
from gmm_spark.spark.session import set_job_description
from gmm_spark.spark.table import checks
from gmm_spark.spark.table.prepare import Table, prepare
from gmm_spark.statistics import doubts
from gmm_spark.statistics.reading import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.em.summary import Summary
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
    from gmm_spark.options import Options
    from gmm_spark.search.sample import Plan
    from gmm_spark.spark.blocks.expectation import DistributedExpectation
    from gmm_spark.spark.table.columns import Features

# Finished fits, by candidate and held-out fold.
_Fits: TypeAlias = dict[tuple[Candidate, int | None], FittedCandidate]

_log = logging.getLogger("gmm_spark")
# Each group of candidates processes this many blocks at a time: more blocks mean fewer set-ups of a group's engine, and
# 8 blocks of 2 MB take little memory.
_TOGETHER = 8


def run_selection(
    df: DataFrame,
    features: Features,
    weight_col: str | None,
    options: Options,
    choice: Choice,
    store: Callable[[str], FitStore] | None = None,
    limits: Limits = LIMITS,
) -> Selection:
    """Fit all candidates together and choose one.

    Args:
        df: the table.
        features: its feature columns.
        weight_col: its weight column, or None where every row counts once.
        options: of each fit; k and family come from the choice.
        choice: the candidates, and how to choose.
        store: opens the store of finished fits for a fingerprint of data and options.
        limits: of memory and disk.

    Raises:
        SchemaError: the weight column does not fit the table.
        DataError: as `spark.fit.train.train`, and if every candidate fails.
    """
    clock = progress.Clock()
    with clock("survey", df):
        table = prepare(df, features, weight_col, options, families=choice.families, limits=limits)
    fits = store(_fingerprint(table, options, choice)) if store else None
    run = _Run(table, options, choice, _Axes.of(table, choice), clock, fits)
    # Enough to find the region of the optimum for the largest candidates: most of the grid runs EM on all rows anyway.
    share = sample_rows("full", max(choice.ks), table.layout.d, tol=0.0, limits=limits) / table.surveyed.counted
    folds = choice.row_folds(options.seed)
    square, precision = table.surveyed.mean_square(run.axes.stored), options.precision
    packing = pack.Packing(
        table.layout, run.axes.stored, options.seed, share, folds, precision=precision, square=square, limits=limits
    )
    with pack_table(table, packing, run.axes.turns) as expectation:
        return run.selection(expectation)


@dataclass(frozen=True, eq=False)
class _Axes:
    """The coordinates of the blocks and of each family."""

    stored: Coordinates
    frames: dict[Family, Coordinates]
    turns: dict[Family, FloatArray]

    @staticmethod
    def of(table: Table, choice: Choice) -> _Axes:
        frames = {family: table.frame(family) for family in choice.families}
        whitened = [frame for family, frame in frames.items() if family not in ALIGNED]
        stored = (whitened or list(frames.values()))[0]
        aligned = [family for family in frames if family in ALIGNED] if whitened else []
        return _Axes(stored, frames, {family: frames[family].inverse @ stored.factor for family in aligned})


@dataclass(frozen=True, eq=False)
class _Run:
    table: Table
    options: Options
    choice: Choice
    axes: _Axes
    clock: progress.Clock
    store: FitStore | None

    def selection(self, expectation: DistributedExpectation) -> Selection:
        measure = partial(expectation.read, together=_TOGETHER)
        done = {fitted.key: fitted for fitted in (self.store.load() if self.store else ())}
        runners, failed = self._runners(expectation, done)
        with self.clock("em", self.table.rows):
            for finish in self._race(measure, runners, done):
                if finish.outcome == FAILED and not finish.runner.shadow:
                    failed[finish.runner.candidate] = finish.message
                elif (fitted := self._fitted(finish)) is not None:
                    done[fitted.key] = fitted
        with self.clock("heldout", self.table.rows):
            heldout = self._heldout(measure, done)
        mains = {candidate: fitted for (candidate, fold), fitted in done.items() if fold is None}
        evaluations = [fitted.evaluation(heldout.get(candidate)) for candidate, fitted in mains.items()]
        evaluations += [self._failure(candidate, message) for candidate, message in failed.items()]
        evaluations.sort(key=lambda evaluation: evaluation.candidate)
        best = winner(evaluations, self.choice.criterion, self.choice.least_gain).candidate
        checks.log_warnings(doubts.of_mixture(self.table.surveyed, best.k, best.family, noise=self.options.noise))
        progress.report_findings(mains[best].summary.findings)
        passes = self.table.surveyed.passes + 1 + expectation.passes
        return Selection(tuple(evaluations), mains, best, self.table.names, passes, self.clock.seconds)

    def _runners(
        self, expectation: DistributedExpectation, done: _Fits
    ) -> tuple[list[race.Runner], dict[Candidate, str]]:
        """Return the unfinished fits, each at its start, and the candidates without a start, with the reason."""
        rows = self.table.rows
        with self.clock("pack", rows):
            z, weights = collect_sample(expectation.blocks, self.table.layout.d)
            expectation.check(agreement.read_total(expectation.blocks, self.table.layout.d))
        cells = grid(self.choice.ks, self.choice.families)
        if self.choice.finalists == 1:
            folds = (None, *range(self.choice.folds))
            cells = tuple(cell for cell in cells if any((cell, fold) not in done for fold in folds))
        with self.clock("starts", rows):
            failed = self._too_many(cells, z[:, weights > 0])
            cells = tuple(cell for cell in cells if cell not in failed)
            results = self._search(cells, Sample(z, weights, self.table.surveyed.reference.covariance)) if cells else []
        runners: list[race.Runner] = []
        for cell, result in zip(cells, results, strict=True):
            if isinstance(result, str):
                failed[cell] = result
                continue
            for rank, start in enumerate(result.mixtures[: self.choice.finalists]):
                new = self._runners_of(replace(cell, start=rank), start, None if rank else result.passed)
                runners += [replace(runner, stability=result.stability) for runner in new]
        return [runner for runner in runners if (runner.candidate, _fold(runner)) not in done], failed

    def _too_many(self, cells: Sequence[Candidate], z: FloatArray) -> dict[Candidate, str]:
        """Return the candidates with more components than there are distinct rows."""
        messages: dict[int, str] = {}
        for k in sorted({cell.k for cell in cells}, reverse=True):
            try:
                checks.check_distinct_rows(z, self.table.rows, k)
                break
            except DataError as error:
                messages[k] = error.sentences
        return {cell: messages[cell.k] for cell in cells if cell.k in messages}

    def _search(self, cells: Sequence[Candidate], sample: Sample) -> list[grid_starts.SearchResult | str]:
        rows, thoroughness = self.table.surveyed.counted, 1 / len(grid(self.choice.ks, self.choice.families))
        plans: list[Plan] = []
        for cell in filter(self._is_searched, cells):
            tol = sample_tol(cell.family, cell.k, self.options.tol, sample, rows)
            plans.append(replace(self._problem(cell).plan(tol), thoroughness=thoroughness))
        searches = grid_starts.Searches(sample, tuple(plans), self.axes.frames, self.axes.turns)
        results = iter(grid_starts.search(self.table.rows.sparkSession, searches) if plans else ())
        return [
            next(results)
            if self._is_searched(cell)
            else grid_starts.SearchResult([self._problem(cell).one_component()])
            for cell in cells
        ]

    def _is_searched(self, cell: Candidate) -> bool:
        return cell.k > 1 or self.options.noise

    def _problem(self, cell: Candidate) -> Problem:
        options = replace(self.options, k=cell.k, family=cell.family)
        return Problem(options, self.table.surveyed, self.table.names, self.axes.frames[cell.family])

    def _runners_of(
        self, candidate: Candidate, start: Parameters, passed: em.PassedOver | None
    ) -> Iterator[race.Runner]:
        options = replace(self.options, k=candidate.k, family=candidate.family)
        surveyed = self.table.surveyed
        maximise = options.maximiser(self.axes.frames[candidate.family], surveyed.counted, surveyed.effective_rows)
        state = em.begin(start, self.options.acceleration, passed=passed)
        per_weight = surveyed.effective_rows / surveyed.weight
        yield race.Runner(candidate, state, maximise, self.choice.held_out_fold, rows_per_weight=per_weight)
        for fold in range(self.choice.folds):
            yield race.Runner(candidate, state, maximise, fold, shadow=True)

    def _race(self, measure: race.Measure, runners: Sequence[race.Runner], done: _Fits) -> Iterator[race.Finish]:
        spark, criterion = self.table.rows.sparkSession, self.choice.criterion if self.choice.retire else None

        def on_pass(number: int, alive: Sequence[race.Runner]) -> None:
            _log.info("pass %d: read for %d fits", number, len(alive))
            set_job_description(spark, f"gmm select, pass {number + 1}")

        rivals = [fitted.standing() for (_, fold), fitted in done.items() if fold is None]
        goal = em.Goal(self.options.tol, self.options.max_iter, RESEEDINGS)
        return race.race(measure, runners, goal, criterion, rivals, on_pass)

    def _fitted(self, finish: race.Finish) -> FittedCandidate | None:
        """Return a finished fit in the user's units, and store it."""
        runner, fit = finish.runner, finish.fit
        if fit is None:
            return None
        frame, passes = runner.maximise.frame, self.table.surveyed.passes + 1 + len(fit.history)
        surveyed, tol = self.table.surveyed, self.options.tol
        summary = summary_of(fit, runner.maximise, surveyed, self.table.names, self.clock.seconds, passes, tol)
        if math.isfinite(runner.stability):
            summary = replace(summary, startStability=runner.stability)
        summary = replace(summary, warnings=self._warnings(runner.candidate, summary))
        if finish.outcome == RETIRED:
            summary = replace(summary, outcome=RETIRED, message=finish.message)
        fitted = FittedCandidate(runner.candidate, _fold(runner), frame.outward(fit.best.parameters).ordered(), summary)
        if self.store:
            self.store.save(fitted)
        _log.info("%s: %s, mean log-likelihood %.9g", runner.candidate.name, finish.outcome, summary.meanLogLikelihood)
        return fitted

    def _warnings(self, candidate: Candidate, summary: Summary) -> tuple[str, ...]:
        """Return the warnings that a fit of this candidate alone would log."""
        warnings = doubts.of_mixture(self.table.surveyed, candidate.k, candidate.family, noise=self.options.noise)
        return (*warnings, *self.table.warnings, *(finding.message for finding in summary.findings))

    def _heldout(self, measure: race.Measure, done: _Fits) -> dict[Candidate, float]:
        """Return the mean log-likelihood of the held-out rows, by one more read of all rows."""
        judges = [fitted for fitted in done.values() if self.choice.row_folds(0) and self._is_judge(fitted)]
        if not judges:
            return {}
        frames = [self.axes.frames[fitted.candidate.family] for fitted in judges]
        inward = [frame.inward(fitted.parameters) for fitted, frame in zip(judges, frames, strict=True)]
        requests = [Request(at, only=fitted.fold or 0) for fitted, at in zip(judges, inward, strict=True)]
        sums: dict[Candidate, list[tuple[float, float]]] = {}
        for fitted, frame, moments in zip(judges, frames, measure(requests), strict=True):
            sums.setdefault(fitted.candidate, []).append((race.in_user_units(moments, frame), moments.weight))
        totals = {
            candidate: (sum(value for value, _ in parts), sum(weight for _, weight in parts))
            for candidate, parts in sums.items()
            if len(parts) == max(self.choice.folds, 1)
        }
        return {candidate: value / weight for candidate, (value, weight) in totals.items() if weight > 0}

    def _is_judge(self, fitted: FittedCandidate) -> bool:
        """Return whether this fit is measured on held-out rows."""
        if not self.choice.folds:
            return fitted.fold is None
        return fitted.fold is not None and fitted.summary.outcome != RETIRED

    def _failure(self, candidate: Candidate, message: str) -> Evaluation:
        nothing = float("nan")
        free = families.free_parameters(candidate.family, candidate.k, self.table.layout.d, noise=self.options.noise)
        passes = self.table.surveyed.passes + 1
        return Evaluation(candidate, FAILED, message, nothing, nothing, free, nothing, passes=passes, floor_hits=0)


def _fold(runner: race.Runner) -> int | None:
    return runner.held if runner.shadow else None


def _fingerprint(table: Table, options: Options, choice: Choice) -> str:
    """Return a hash that identifies a selection: the survey of its rows, the options and the choice."""
    request = repr((table.names, options, choice)).encode()
    return hashlib.sha256(table.surveyed.to_bytes() + request).hexdigest()[:16]
