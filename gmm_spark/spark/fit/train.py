"""A fit to a table on Spark: survey, packing, then the steps of `gmm_spark.fit.order` over the blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.fit.order import fit_rows
from gmm_spark.fit.problem import Problem
from gmm_spark.limits import LIMITS, Limits
from gmm_spark.search.sample_size import sample_rows
from gmm_spark.spark.blocks import pack
from gmm_spark.spark.blocks.block_storage import pack_table
from gmm_spark.spark.fit.checkpoint_store import identity_of
from gmm_spark.spark.fit.distributed_rows import DistributedRows
from gmm_spark.spark.fit.progress import Clock, FitEvents, report_findings
from gmm_spark.spark.table.prepare import prepare

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark.em.summary import Summary
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.options import Options
    from gmm_spark.spark.fit.checkpoint_store import Checkpoints
    from gmm_spark.spark.table import columns
    from gmm_spark.spark.table.prepare import Table


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
        options: of the fit.
        initial: start EM here instead of searching.
        checkpoints: where to write checkpoints, and whether to resume from them.
        limits: of memory and disk.

    Raises:
        SchemaError: the weight column does not fit the table.
        CheckpointError: no checkpoint to resume from, where `checkpoints` require one.
        ConfigurationError: the initial model does not fit the table or the options.
        DataError: unusable rows that may not be skipped, no rows, constant or dependent columns, or
            fewer distinct rows than components.
    """
    clock = Clock()
    with clock("survey", df):
        table = prepare(df, features, weight_col, options, initial, limits=limits)
    problem = Problem.of(options, table.surveyed, table.names)
    identity = identity_of(table, problem.frame, options, weight_col, initial)
    store = checkpoints.open(df.sparkSession, identity) if checkpoints else None
    state = store.state if store else None
    events = FitEvents(clock, df, problem, store)
    with pack_table(table, _packing(table, problem, searches=not (state or initial))) as expectation:
        rows = DistributedRows(expectation, table.rows, problem)
        fitted = fit_rows(problem, rows, events, initial, state)
    if store:
        store.remove_at_end()
    summary = fitted.summary(clock.seconds, table.warnings)
    report_findings(summary.findings)
    return Trained(fitted.parameters, table.names, summary)


def _packing(table: Table, problem: Problem, *, searches: bool) -> pack.Packing:
    """Return how to pack the rows, with a sample where a start is searched for."""
    surveyed, options = table.surveyed, problem.options
    mixture = options.family, options.k, table.layout.d, options.tol
    share = sample_rows(*mixture, surveyed.counted, table.limits) / surveyed.counted if searches else 0.0
    return pack.Packing(
        table.layout,
        problem.frame,
        options.seed,
        share,
        precision=options.precision,
        square=surveyed.mean_square(problem.frame),
        limits=table.limits,
    )
