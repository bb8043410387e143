"""Rows that cannot be used: too many stop a job before anything is published; a fit may put them aside."""

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
    """Note in the manifest of a refused fit the counts of unusable rows, or the columns that are to be left out."""
    try:
        yield
    except DataError as error:
        if isinstance(error.got, Refused):
            bad = dict(error.got.counts)
            run.note(rows={"read": sum(bad.values()) + error.got.usable, "used": 0, "refused": bad})
        if isinstance(error.got, RedundantColumns):  # whole lists, which the error shortens
            lists = {"leave_out": list(error.got.leave_out), "keep": list(error.got.independent)}
            run.note(columns=lists)
            fields = {"event": "columns", **lists}
            _LOG.info("features that can be fitted together: %s", json.dumps(lists["keep"]), extra={"fields": fields})
        raise


def check_scored(counts: Mapping[str, int], limits: ScoreQualityConfig) -> tuple[str, ...]:
    """Refuse a scored table with too many rows that have no posterior, before it is published.

    Args:
        counts: rows by status.
        limits: what the options say.

    Returns:
        What is doubtful about it, which is logged too.

    Raises:
        DataError: there are too many, or there are rows and none has a posterior.
    """
    refused = Refused({reason: counts.get(reason, 0) for reason in REASONS[1:]}, counts.get(REASONS[0], 0))
    if refused.fraction > limits.max_invalid_fraction:
        raise DataError(
            "the scored rows",
            got=refused,
            expected=f"at most {100 * limits.max_invalid_fraction:g} % of them",
            do="Mend the input, or raise quality.max_invalid_fraction; nothing was published.",
        )
    if sum(refused.counts.values()) and not refused.usable:
        raise DataError(
            "the scored rows",
            got=refused,
            expected="at least one row with a posterior",
            do="Check that the model was fitted on such columns, and the input; nothing was published.",
        )
    warnings = tuple(_doubts(refused, limits.warn_invalid_fraction))
    for warning in warnings:
        _LOG.warning("%s", warning, extra={"fields": {"event": "quality", "rows": sum(counts.values())}})
    return warnings


def _doubts(refused: Refused, most: float) -> Iterator[str]:
    if not refused.usable:
        yield "the input has no row: once it has, score it under another run.id"
    if refused.fraction > most:
        yield f"{refused}, above quality.warn_invalid_fraction = {most:g}"


@dataclass(frozen=True)
class Quarantine:
    """Where the rows that a fit cannot use are put.

    Args:
        run: the run.
        location: the folder of this run in the table of quarantined rows.
    """

    run: Run
    location: Location

    def publish(self, rows: DataFrame, features: FeaturesConfig, model: GaussianMixtureModel) -> None:
        """Write the unusable rows as they came, with `_errors`; whole or not at all, and all that were counted.

        Raises:
            OutputError: their number is not that of the fit.
        """
        expected = sum(model.summary.numInvalid.values())
        self.run.note(quarantine={"path": str(self.location), "rows": expected})
        if not expected:
            return
        found = Features.of(Names.of(rows), input_cols=features.columns, features_col=features.column)
        bad = quarantine.invalid_rows(rows, found, features.weight, model.parameters.d)
        # Its own facts: the manifest of the fit reports the model as its output.
        own = replace(self.run, facts={}, on_failure=None)
        with publish.claim(own, self.location, modes.Create()) as target:
            if target.done:
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
    """Return where unusable rows go, or None where the options ask for nothing of the kind.

    Args:
        target: the output of the run.
        path: the table of quarantined rows.
        rows: the input.

    Raises:
        OutputError: the path is an input or the output, is inside one or holds one.
        SchemaError: the input has a column `_errors` or `run_id`, or two that Spark takes for one.
    """
    if path is None:
        return None
    table = check_quarantine(rows, path, [*target.inputs, target.location])
    return Quarantine(target.run, table.child(f"run_id={target.run.key}"))


def check_quarantine(rows: DataFrame, path: str, others: Iterable[Source]) -> Location:
    """Return the table of quarantined rows, or refuse its place.

    Raises:
        OutputError: it overlaps something else; it is a file, a folder with anything else in it than a table, or
            a table with a log, for which a folder of files added is none of its rows.
        SchemaError: the input has a column `_errors`.
    """
    quarantine.check(Names.of(rows))
    table = locate(rows.sparkSession, path).resolved()
    with publish.output_errors(table):
        publish.check_place(table)
        publish.check_apart(table, others)
        got = foreign_entries(table)
    if got:
        raise OutputError(
            f"quality.quarantine_path {table}",
            got=got,
            expected="a path that does not exist yet, or a table of quarantined rows",
            do="Choose another quality.quarantine_path.",
        )
    return table
