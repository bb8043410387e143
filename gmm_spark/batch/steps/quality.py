"""Unusable rows: too many stop a job before anything is published; a fit can write them to a quarantine table."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gmm_spark.batch.files.locate import Location, Source, locate
from gmm_spark.batch.publish import modes
from gmm_spark.batch.publish import target as publish
from gmm_spark.batch.publish.ownership import foreign_entries
from gmm_spark.errors import DataError, OutputError
from gmm_spark.mixture.redundancy import RedundantColumns
from gmm_spark.spark.table import quarantine
from gmm_spark.spark.table.columns import Features
from gmm_spark.spark.table.names import Names
from gmm_spark.statistics.doubts import Refused
from gmm_spark.statistics.survey import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pyspark.sql import DataFrame

    from gmm_spark.batch.options.sections import FeaturesConfig, ScoreQualityConfig
    from gmm_spark.batch.publish.target import Target
    from gmm_spark.batch.runtime.run import Run
    from gmm_spark.spark.ml.model import GaussianMixtureModel

_LOG = logging.getLogger("gmm_spark")


@contextmanager
def note_refusals(run: Run) -> Iterator[None]:
    """Note in the manifest of a refused fit the counts of unusable rows, or the columns to leave out."""
    try:
        yield
    except DataError as error:
        if isinstance(error.got, Refused):
            bad = dict(error.got.counts)
            run.note(rows={"read": sum(bad.values()) + error.got.usable, "used": 0, "refused": bad})
        if isinstance(error.got, RedundantColumns):  # here the full lists, which the error shortens
            lists = {"leave_out": list(error.got.leave_out), "keep": list(error.got.independent)}
            run.note(columns=lists)
            fields = {"event": "columns", **lists}
            _LOG.info("features that can be fitted together: %s", json.dumps(lists["keep"]), extra={"fields": fields})
        raise


def check_scored(counts: Mapping[str, int], limits: ScoreQualityConfig) -> tuple[str, ...]:
    """Refuse a scored table with too many rows without a posterior, before it is published.

    Args:
        counts: rows by status.
        limits: the limits from the options.

    Returns:
        The warnings, which are logged too.

    Raises:
        DataError: there are too many such rows, or no row has a posterior.
    """
    refused = Refused({reason: counts.get(reason, 0) for reason in REASONS[1:]}, counts.get(REASONS[0], 0))
    if refused.fraction > limits.max_invalid_fraction:
        raise DataError(
            "the scored rows",
            got=refused,
            expected=f"at most {100 * limits.max_invalid_fraction:g} % of them",
            do="Correct the input, or raise quality.max_invalid_fraction; nothing was published.",
        )
    if sum(refused.counts.values()) and not refused.usable:
        raise DataError(
            "the scored rows",
            got=refused,
            expected="at least one row with a posterior",
            do="Check the input, and that the model was fitted on these columns; nothing was published.",
        )
    warnings = tuple(_doubts(refused, limits.warn_invalid_fraction))
    for warning in warnings:
        _LOG.warning("%s", warning, extra={"fields": {"event": "quality", "rows": sum(counts.values())}})
    return warnings


def _doubts(refused: Refused, most: float) -> Iterator[str]:
    if not refused.usable:
        yield "the input has no row: when it has rows, score it with another run.id"
    if refused.fraction > most:
        yield f"{refused}, above quality.warn_invalid_fraction = {most:g}"


@dataclass(frozen=True)
class Quarantine:
    """Where a fit writes its unusable rows.

    Args:
        run: the run.
        location: the folder of this run in the quarantine table.
    """

    run: Run
    location: Location

    def publish(self, rows: DataFrame, features: FeaturesConfig, model: GaussianMixtureModel) -> None:
        """Write the unusable rows, unchanged but with `_errors`, as a whole or not at all.

        Raises:
            OutputError: their number differs from the fit's count.
        """
        expected = sum(model.summary.numInvalid.values())
        self.run.note(quarantine={"path": str(self.location), "rows": expected})
        if not expected:
            return
        columns = Features.of(Names.of(rows), input_cols=features.columns, features_col=features.column)
        bad = quarantine.invalid_rows(rows, columns, features.weight, model.parameters.d)
        # A copy of the run without facts: the fit's own manifest must report the model as its output.
        copy = replace(self.run, facts={}, on_failure=None)
        with publish.claim(copy, self.location, modes.Create()) as target:
            if target.done_message:
                return
            with self.run.phase("quarantine"), target.publication() as staging:
                bad.write.parquet(staging)
                written = rows.sparkSession.read.schema(bad.schema).parquet(staging).count()
                if written != expected:
                    raise OutputError(
                        f"the quarantined rows in {staging}",
                        got=f"{written} rows",
                        expected=f"the {expected} rows that the fit left out",
                        do="Run the job again on an input that does not change meanwhile; nothing was published.",
                    )
        fields = {"event": "quarantine", "rows": expected, "path": str(self.location)}
        _LOG.info("quarantine: %d rows in %s", expected, self.location, extra={"fields": fields})


def quarantine_of(target: Target, path: str | None, rows: DataFrame) -> Quarantine | None:
    """Return where to write unusable rows; None without a path.

    Args:
        target: the output of the run.
        path: the quarantine table.
        rows: the input.

    Raises:
        OutputError: the path is an input or the output, is inside one or holds one; or as in `check_quarantine`.
        SchemaError: the input has a column `_errors` or `run_id`, or two columns with one name for Spark.
    """
    if path is None:
        return None
    table = check_quarantine(rows, path, [*target.inputs, target.location])
    return Quarantine(target.run, table.child(f"run_id={target.run.key}"))


def check_quarantine(rows: DataFrame, path: str, others: Iterable[Source]) -> Location:
    """Return the location of the quarantine table, or refuse it.

    Raises:
        OutputError: it overlaps an input or the output; it is a file, a folder with other content than a plain table,
            or a table with a log, whose readers would not see a folder of new files.
        SchemaError: as in `quarantine_of`.
    """
    quarantine.check(Names.of(rows))
    table = locate(rows.sparkSession, path).resolved()
    with publish.output_errors(table):
        publish.check_place(table)
        publish.check_no_overlap(table, others)
        got = foreign_entries(table)
    if got:
        raise OutputError(
            f"quality.quarantine_path {table}",
            got=got,
            expected="a path that does not exist yet, or a quarantine table",
            do="Choose another quality.quarantine_path.",
        )
    return table
