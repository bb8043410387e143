"""The rows that a fit cannot use, unchanged, each with all its faults."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as f

from gmm_spark.errors import SchemaError, quoted
from gmm_spark.spark.table import columns
from gmm_spark.spark.table.names import Names
from gmm_spark.spark.table.rows import RowLayout, row_faults
from gmm_spark.spark.worker import variadic
from gmm_spark.statistics.survey import REASONS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ERRORS = "_errors"
ADDED = (ERRORS, "run_id")  # run_id is in the name of the folder


def check(table: Names) -> None:
    """Refuse a table whose columns clash with those of quarantined rows, or with each other, for Spark.

    Raises:
        SchemaError: such a clash.
    """
    added = {table.case_key(name) for name in ADDED}
    clashes = [name for name in table.schema.names if table.case_key(name) in added]
    if clashes or (clashes := list(table.duplicates(table.schema.names))):
        raise SchemaError(
            f"columns {quoted(clashes)}",
            got="columns of the input that quarantined rows cannot be written with",
            expected=f"each name once, and names other than {quoted(ADDED)}, which are added to such rows",
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
    inputs = [*features.select(), *([columns.weight_column(Names.of(rows), weight)] if weight else [])]
    return rows.withColumn(ERRORS, errors(*inputs)).where(f.size(ERRORS) > 0)


def _errors(layout: RowLayout, arrays: list[pa.Array]) -> pa.Array:
    faults = row_faults(arrays, layout)
    names = [[reason for reason, is_bad in zip(REASONS, row, strict=True) if is_bad] for row in faults.T]
    return pa.array(names, pa.list_(pa.string()))
