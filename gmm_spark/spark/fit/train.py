"""One fit, as the data sees it: survey, pack, search for starts, polish."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gmm_spark import em
from gmm_spark.em.summary import Summary, summary_of
from gmm_spark.limits import LIMITS, Limits
from gmm_spark.search import missed_clusters
from gmm_spark.search.sample_size import sample_rows
from gmm_spark.spark.blocks import pack
from gmm_spark.spark.blocks.keep import packed
from gmm_spark.spark.fit import progress as events
from gmm_spark.spark.fit import start as starting
from gmm_spark.spark.fit.checkpoint_store import identity_of
from gmm_spark.spark.fit.progress import Clock
from gmm_spark.spark.session import describe
from gmm_spark.spark.table.prepare import prepare
from gmm_spark.spark.table.survey_pass import mean_square

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.options import Options
    from gmm_spark.spark.blocks.expectation import DistributedExpectation
    from gmm_spark.spark.fit.checkpoint_store import Checkpoints, Progress
    from gmm_spark.spark.table import columns
    from gmm_spark.spark.table.prepare import Table

# Components that do no work were restarted on the sample already: once more is enough where a pass is expensive.
RESEEDINGS = 1


@dataclass(frozen=True, eq=False)
class Trained:
    """The fitted parameters in the user's units, the names of their features, and how the fit went."""

    parameters: Parameters
    features: tuple[str, ...]
    summary: Summary


def train(
    df: DataFrame,
    features: columns.Features,
    weight_col: str | None,
    options: Options,
    initial: Parameters | None,
    checkpoints: Checkpoints | None = None,
    limits: Limits = LIMITS,
) -> Trained:
    """Fit a Gaussian mixture to a table.

    Args:
        df: the table.
        features: its feature columns.
        weight_col: its weight column, or None where every row counts once.
        options: what is asked for.
        initial: start EM here instead of searching.
        checkpoints: where to keep the progress, and to go on from.
        limits: of what is held where.

    Raises:
        SchemaError: the weight column does not fit the table.
        CheckpointError: there is nothing to go on from where `checkpoints` require it.
        ConfigurationError: the initial model does not fit the table or the options.
        DataError: unusable rows that may not be skipped, no rows, constant or dependent columns, or
            fewer distinct rows than components.
    """
    clock = Clock()
    with clock("survey", df):
        table = prepare(df, features, weight_col, options, initial, limits=limits)
    surveyed, frame = table.surveyed, table.frame(options.family)
    identity = identity_of(table, frame, options, weight_col, initial)
    progress = checkpoints.open(df.sparkSession, identity) if checkpoints else None
    state = progress.state if progress else None
    resumed = len(state.trace.history) if state else 0
    start = starting.Start(frame.inward(initial)) if initial else None
    with packed(table, _packing(table, frame, options, searches=not (state or initial))) as expectation:
        if state is None:
            start = start or starting.search(expectation, table, frame, options, clock)
            state = _first_state(start, options, progress)
        maximise = options.maximiser(frame, surveyed.counted, surveyed.effective_rows)
        emptied: dict[int, str] | None = {} if initial else None
        with clock("em", df):
            fit = _polish(expectation, state, maximise, options, progress, start, emptied)
    if progress:
        progress.ended()
    passes = surveyed.passes + (initial is None) + (start.passes if start else 0) + len(fit.history)
    passes += math.ceil(expectation.repeated)
    summary = summary_of(fit, maximise, table.surveyed, table.names, clock.seconds, passes)
    summary = _reported(summary, table, start, emptied or {}, resumed)
    return Trained(frame.outward(fit.best.parameters).ordered(), table.names, summary)


def _packing(table: Table, frame: Coordinates, options: Options, *, searches: bool) -> pack.Packing:
    """Return how to pack the rows, with a sample of them where a start is searched for."""
    surveyed = table.surveyed
    mixture = options.family, options.k, table.layout.d, options.tol
    share = sample_rows(*mixture, surveyed.counted, table.limits) / surveyed.counted if searches else 0.0
    square = mean_square(surveyed, frame)
    return pack.Packing(
        table.layout, frame, options.seed, share, precision=options.precision, square=square, limits=table.limits
    )


def _first_state(start: starting.Start, options: Options, progress: Progress | None) -> em.State:
    """Return the state of a fit that has measured nothing yet, and save it."""
    state = em.begin(start.parameters, options.acceleration, start.slowest)
    if progress:
        progress.save(state)
    return state


def _reported(
    summary: Summary, table: Table, start: starting.Start | None, emptied: dict[int, str], resumed: int
) -> Summary:
    """Log what is suspicious about the components; return the summary with that and with what happened before EM."""
    events.report_findings(summary.findings)
    return replace(
        summary,
        warnings=(*table.warnings, *emptied.values(), *(each.message for each in summary.findings)),
        emptied=tuple(emptied),
        resumedPasses=resumed,
        startReplaced=start is not None and start.replaced,
    )


def _polish(
    expectation: DistributedExpectation,
    state: em.State,
    maximise: em.Maximiser,
    options: Options,
    progress: Progress | None,
    start: starting.Start | None,
    emptied: dict[int, str] | None,
) -> em.Fit:
    """Run EM to its end on all rows.

    Args:
        expectation: the engine.
        state: where it goes on from.
        maximise: the M-step.
        options: what is asked for.
        progress: keeps each state.
        start: where it started.
        emptied: where it started from a model, gets a sentence for each component that these rows leave empty.
    """
    constant, began, reseedings = maximise.frame.log_determinant, time.perf_counter(), len(state.reseedings)

    def on_pass(state: em.State, measured: em.Pass) -> None:
        nonlocal began, reseedings
        seconds = time.perf_counter() - began
        number, value = len(state.trace.history), measured.moments.mean_log_likelihood - constant
        events.report_pass(number, measured, state.remaining(measured), value, seconds, options.tol)
        if number == 1 and emptied is not None:
            emptied.update(events.report_emptied(measured))
        if state.position.phase == "start" and len(state.reseedings) > reseedings:
            events.report_reseeding(state.reseedings[-1])
            reseedings = len(state.reseedings)
        if progress:
            progress.save(state)
        describe(expectation.blocks.sparkSession, f"gmm fit, pass {number + 1}")
        began = time.perf_counter()

    goal = em.Goal(options.tol, options.max_iter, RESEEDINGS, warm=emptied is not None)
    seen = missed_clusters.known(start.looked, expectation) if start and start.looked else expectation
    return em.run(seen, state, maximise, goal, on_pass)
