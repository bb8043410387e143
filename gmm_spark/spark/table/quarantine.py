"""The rows that a fit cannot use, as they came, each with all that is wrong with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as f

from gmm_spark.errors import SchemaError, quoted
from gmm_spark.spark.table import columns
from gmm_spark.spark.table.names import Names
from gmm_spark.spark.table.rows import RowLayout, faults
from gmm_spark.spark.worker import variadic
from gmm_spark.statistics.survey import REASONS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ERRORS = "_errors"
ADDED = (ERRORS, "run_id")  # the second by the name of the folder


def check(table: Names) -> None:
    """Refuse a table that has a column of a name that quarantined rows get, or two that Spark takes for one.

    Raises:
        SchemaError: it has.
    """
    added = {table.folded(name) for name in ADDED}
    taken = [name for name in table.schema.names if table.folded(name) in added]
    if taken or (taken := list(table.repeated(table.schema.names))):
        raise SchemaError(
            f"columns {quoted(taken)}",
            got="columns of the input that quarantined rows cannot be written with",
            expected=f"each name once, and others than {quoted(ADDED)}, which such rows get",
            do="Rename them, or leave unusable rows out without writing them.",
            options=("handle_invalid",),
        )


def invalid_rows(rows: DataFrame, features: columns.Features, weight: str | None, d: int) -> DataFrame:
    """Return the unusable rows with all their columns and `_errors`, an array of reasons from `rows.REASONS`.

    Args:
        rows: the table.
        features: its feature columns.
        weight: its weight column, if it has one.
        d: the number of features.
    """
    layout = RowLayout(d, array=features.kind != "columns", weighted=weight is not None)
    errors = f.arrow_udf(variadic(partial(_errors, layout)), "array<string>")  # type: ignore[attr-defined] # as in posterior
    given = [*features.select(), *([columns.weight_column(Names.of(rows), weight)] if weight else [])]
    return rows.withColumn(ERRORS, errors(*given)).where(f.size(ERRORS) > 0)


def _errors(layout: RowLayout, arrays: list[pa.Array]) -> pa.Array:
    found = faults(arrays, layout)
    names = [[reason for reason, bad in zip(REASONS, row, strict=True) if bad] for row in found.T]
    return pa.array(names, pa.list_(pa.string()))
