"""One fit, as the data sees it: survey, pack, search for starts, polish."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import functions as f

from gmm_spark import coordinates, em, families, kernel, selection, starts
from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.spark import blocks, columns, events, preflight
from gmm_spark.spark.keeping import packed
from gmm_spark.spark.rows import Layout
from gmm_spark.spark.session import describe, described
from gmm_spark.spark.summary import Summary
from gmm_spark.spark.survey import Survey, survey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

    from gmm_spark.coordinates import Coordinates
    from gmm_spark.parameters import Family, FloatArray, Parameters
    from gmm_spark.spark.expectation import DistributedExpectation

# The optimum of a sample of n rows lies about p / (2n) nats a row below that of all rows.
_SAMPLE_ROWS_PER_PARAMETER = 50
_SAMPLE_LEAST_TOL = 1e-9
_SAMPLE_LEAST, _SAMPLE_BYTES = 20_000, 64 << 20


@dataclass(frozen=True)
class Options:
    """What a fit is asked for; the fields mean what the params of `GaussianMixture` say."""

    k: int
    family: Family = "full"
    max_iter: int = 100
    tol: float = 1e-4
    seed: int = 0
    init_mode: str = "k-means++"
    starts: int = 20
    acceleration: em.Acceleration = "squarem"
    floor: float = 1e-6
    skip_invalid: bool = False
    max_invalid_fraction: float = 1.0
    precision: kernel.Precision = "float64"


@dataclass(frozen=True, eq=False)
class Trained:
    """The fitted parameters in the user's units, the names of their features, and how the fit went."""

    parameters: Parameters
    features: tuple[str, ...]
    summary: Summary


def train(
    df: DataFrame, features: columns.Features, weight_col: str | None, options: Options, initial: Parameters | None
) -> Trained:
    """Fit a Gaussian mixture to a table.

    Args:
        df: the table.
        features: its feature columns.
        weight_col: its weight column, or None where every row counts once.
        options: what is asked for.
        initial: start EM here instead of searching.

    Raises:
        SchemaError: the weight column does not fit the table.
        ConfigurationError: the initial model does not fit the table or the options.
        DataError: unusable rows that may not be skipped, no rows, constant or dependent columns, or
            fewer distinct rows than components.
    """
    clock = Clock()
    with clock("survey", df):
        table = prepare(df, features, weight_col, options, initial)
    rows, surveyed = table.rows, table.surveyed
    frame = coordinates.suited(options.family, surveyed.mean, surveyed.covariance, table.names)
    share = sample_rows(options, table.layout.d) / surveyed.rows
    packing = blocks.Packing(table.layout, frame, options.seed, share, precision=options.precision)
    with packed(table, packing) as expectation:
        start = frame.inward(initial) if initial else _search(expectation, rows, frame, surveyed, options, clock)
        with clock("em", rows):
            fit = _polish(expectation, start, em.Maximiser(frame, options.floor), options)
    passes = 1 + len(fit.history) + (initial is None)
    parameters = frame.outward(fit.best.parameters).ordered()
    told = replace(summary_of(fit, frame, surveyed, clock, passes), warnings=table.warnings)
    return Trained(parameters, table.names, told)


@dataclass(frozen=True, eq=False)
class Table:
    """A table that has been surveyed.

    Args:
        rows: its features and weights, as `rows.decode` reads them.
        layout: what its columns mean.
        surveyed: what its rows are.
        names: d feature names.
        warnings: what is doubtful about fitting it.
    """

    rows: DataFrame
    layout: Layout
    surveyed: Survey
    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def prepare(
    df: DataFrame,
    features: columns.Features,
    weight_col: str | None,
    options: Options,
    initial: Parameters | None = None,
) -> Table:
    """Survey a table and refuse one that can't be fitted; the arguments and errors are those of `train`."""
    weights = [columns.weight_column(df.schema, weight_col)] if weight_col else []
    rows = df.select(*features.select(), *weights)
    d = len(features.columns) if features.kind == "columns" else _dimension(rows, features, options)
    _check_initial(initial, d, options)
    layout = Layout(d, array=features.kind != "columns", weighted=bool(weights))
    surveyed = survey(rows, layout)
    most_invalid = options.max_invalid_fraction if options.skip_invalid else None
    preflight.check_rows(surveyed, most_invalid, (*features.columns, *([weight_col] if weight_col else ())))
    names = features.names(d)
    return Table(rows, layout, surveyed, names, preflight.warned(surveyed, options.k, options.family, names))


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


def _dimension(rows: DataFrame, features: columns.Features, options: Options) -> int:
    """Return the length of any array; where rows may be skipped the commonest, for the first may be one of them."""
    sizes = rows.where("size(x) > 0").select(f.size("x").alias("d"))
    found = (sizes.select(f.mode("d", deterministic=True)) if options.skip_invalid else sizes).first()
    if found is None or found[0] is None:
        raise DataError(
            f"column {features.columns[0]!r}",
            got="no row that has a value",
            expected="at least one row with features",
            do="Check the input's path and its filter.",
        )
    return int(found[0])


def _check_initial(initial: Parameters | None, d: int, options: Options) -> None:
    if initial is not None and (initial.k, initial.d, initial.family) != (options.k, d, options.family):
        raise ConfigurationError(
            "initial model",
            got=f"{initial.k} components of {initial.d} features, {initial.family}",
            expected=f"{options.k} components of {d} features, {options.family}",
            do="Set k and covarianceType to the model's, and give it the features that it was fitted on.",
        )


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


def _polish(expectation: DistributedExpectation, start: Parameters, maximise: em.Maximiser, options: Options) -> em.Fit:
    constant = maximise.frame.log_determinant

    began = time.perf_counter()

    def on_pass(state: em.State, measured: em.Pass) -> None:
        nonlocal began
        seconds, began = time.perf_counter() - began, time.perf_counter()
        number, value = len(state.trace.history), measured.moments.mean_log_likelihood - constant
        events.told_pass(number, measured, value, seconds, options.tol)
        describe(expectation.blocks.sparkSession, f"gmm fit, pass {number + 1}")

    goal = em.Goal(options.tol, options.max_iter)
    return em.run(expectation, em.begin(start, options.acceleration), maximise, goal, on_pass)


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
