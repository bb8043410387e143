"""One fit, as the data sees it: survey, pack, search for starts, polish."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as f

from gmm_spark import coordinates, em, families, kernel, selection, starts
from gmm_spark.errors import DataError
from gmm_spark.spark import blocks, events
from gmm_spark.spark.checkpoints import identity_of
from gmm_spark.spark.keeping import packed
from gmm_spark.spark.preparing import prepare
from gmm_spark.spark.session import describe, described
from gmm_spark.spark.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

    from gmm_spark.coordinates import Coordinates
    from gmm_spark.parameters import FloatArray, Parameters
    from gmm_spark.spark import columns
    from gmm_spark.spark.checkpoints import Checkpoints, Progress
    from gmm_spark.spark.expectation import DistributedExpectation
    from gmm_spark.spark.preparing import Options
    from gmm_spark.spark.survey import Survey

# The optimum of a sample of n rows lies about p / (2n) nats a row below that of all rows.
_SAMPLE_ROWS_PER_PARAMETER = 50
_SAMPLE_LEAST_TOL = 1e-9
_SAMPLE_LEAST, _SAMPLE_BYTES = 20_000, 64 << 20


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
) -> Trained:
    """Fit a Gaussian mixture to a table.

    Args:
        df: the table.
        features: its feature columns.
        weight_col: its weight column, or None where every row counts once.
        options: what is asked for.
        initial: start EM here instead of searching.
        checkpoints: where to keep the progress, and to go on from.

    Raises:
        SchemaError: the weight column does not fit the table.
        CheckpointError: there is nothing to go on from where `checkpoints` require it.
        ConfigurationError: the initial model does not fit the table or the options.
        DataError: unusable rows that may not be skipped, no rows, constant or dependent columns, or
            fewer distinct rows than components.
    """
    clock = Clock()
    with clock("survey", df):
        table = prepare(df, features, weight_col, options, initial)
    rows, surveyed = table.rows, table.surveyed
    frame = coordinates.suited(options.family, surveyed.mean, surveyed.covariance, table.names)
    identity = identity_of(table, frame, options, weight_col, initial)
    progress = checkpoints.open(df.sparkSession, identity) if checkpoints else None
    state = progress.state if progress else None
    resumed = len(state.trace.history) if state else 0
    share = 0.0 if state else sample_rows(options, table.layout.d) / surveyed.rows
    packing = blocks.Packing(table.layout, frame, options.seed, share, precision=options.precision)
    with packed(table, packing) as expectation:
        if state is None:
            start = frame.inward(initial) if initial else _search(expectation, rows, frame, surveyed, options, clock)
            state = em.begin(start, options.acceleration)
            if progress:
                progress.save(state)
        with clock("em", rows):
            fit = _polish(expectation, state, em.Maximiser(frame, options.floor), options, progress)
    if progress:
        progress.ended()
    passes = 1 + len(fit.history) + (initial is None)
    parameters = frame.outward(fit.best.parameters).ordered()
    told = summary_of(fit, frame, surveyed, clock, passes)
    return Trained(parameters, table.names, replace(told, warnings=table.warnings, resumedPasses=resumed))


@dataclass
class Clock:
    """Seconds by phase; also names the phase in the log and the Spark UI."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str, df: DataFrame) -> Iterator[None]:
        """Time what is done inside."""
        began = time.perf_counter()
        try:
            with described(df.sparkSession, f"gmm fit, {phase}"):
                yield
        finally:
            self.seconds[phase] = round(time.perf_counter() - began, 3)
            events.told_phase(phase, self.seconds[phase])


def sample_rows(options: Options, d: int) -> int:
    """Return how many rows to look for starts on."""
    wanted = _SAMPLE_ROWS_PER_PARAMETER * families.free_parameters(options.family, options.k, d)
    return min(max(_SAMPLE_LEAST, wanted), max(_SAMPLE_LEAST, _SAMPLE_BYTES // (8 * d)))


def _search(
    expectation: DistributedExpectation,
    rows: DataFrame,
    frame: Coordinates,
    surveyed: Survey,
    options: Options,
    clock: Clock,
) -> Parameters:
    with clock("pack", rows):
        z, weights = blocks.collect_sample(expectation.blocks, len(frame.center))
    with clock("starts", rows):
        check_distinct(z[:, weights > 0], rows, options.k)
        sample = starts.Sample(z, weights, surveyed.covariance)
        uniform = options.init_mode == "random"
        tol = sample_tol(options, z, surveyed)
        plan = starts.Plan(options.k, options.family, options.starts, options.seed, options.floor, tol, uniform)
        return starts.search(sample, frame, plan)


def sample_tol(options: Options, z: FloatArray, surveyed: Survey) -> float:
    """Return how far to run on the sample: to a tenth of its own error p / (2m), or all the way if it is all rows."""
    d, m = z.shape
    error = families.free_parameters(options.family, options.k, d) / (2 * m) if m < surveyed.rows else 0.0
    return max(options.tol, 0.1 * error, _SAMPLE_LEAST_TOL)


def check_distinct(z: FloatArray, rows: DataFrame, k: int) -> None:
    """Refuse a table with fewer distinct rows than components; z is a sample of it, (d, m)."""
    if len(np.unique(z.T[: 1000 * k], axis=0)) >= k or len(np.unique(z.T, axis=0)) >= k:
        return
    distinct = _usable(rows, len(z)).distinct().limit(k).count()
    if distinct < k:
        raise DataError(
            f"number of components k = {k}",
            got=f"{distinct} distinct rows",
            expected="at least as many distinct rows as components",
            do=f"Set k to at most {distinct}.",
        )


def _usable(rows: DataFrame, d: int) -> DataFrame:
    counted = rows.where("weight > 0 and weight < double('inf')") if "weight" in rows.columns else rows
    if "x" in rows.columns:
        return counted.where(f.size("x") == d).select(*(f.col("x")[i].alias(f"x{i}") for i in range(d))).dropna()
    return counted.drop("weight").dropna()


def _polish(
    expectation: DistributedExpectation,
    state: em.State,
    maximise: em.Maximiser,
    options: Options,
    progress: Progress | None,
) -> em.Fit:
    constant, began = maximise.frame.log_determinant, time.perf_counter()

    def on_pass(state: em.State, measured: em.Pass) -> None:
        nonlocal began
        seconds = time.perf_counter() - began
        number, value = len(state.trace.history), measured.moments.mean_log_likelihood - constant
        events.told_pass(number, measured, value, seconds, options.tol)
        if progress:
            progress.save(state)
        describe(expectation.blocks.sparkSession, f"gmm fit, pass {number + 1}")
        began = time.perf_counter()

    goal = em.Goal(options.tol, options.max_iter)
    return em.run(expectation, state, maximise, goal, on_pass)


def summary_of(fit: em.Fit, frame: Coordinates, surveyed: Survey, clock: Clock, passes: int) -> Summary:
    """Return how a fit in the coordinates of the frame went."""
    best, weight = fit.best, fit.best.moments.weight
    log_likelihood = best.moments.log_likelihood - weight * frame.log_determinant
    free = families.free_parameters(best.parameters.family, best.parameters.k, best.parameters.d)
    entropy = kernel.entropy(best.parameters, best.moments)
    return Summary(
        logLikelihood=log_likelihood,
        meanLogLikelihood=log_likelihood / weight,
        numIter=fit.iterations,
        numPasses=passes,
        outcome=fit.outcome.value,
        message=fit.outcome.message + (f" ({fit.detail})" if fit.detail else ""),
        history=tuple(value - frame.log_determinant for value in fit.history),
        aic=selection.aic(log_likelihood, free),
        bic=selection.bic(log_likelihood, free, weight),
        icl=selection.icl(log_likelihood, free, weight, entropy),
        weight=weight,
        numRows=surveyed.rows,
        numInvalid=surveyed.invalid,
        floorHits=fit.floored,
        seconds=clock.seconds,
    )
