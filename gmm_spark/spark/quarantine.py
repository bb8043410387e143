"""The rows that a fit cannot use, as they came, each with all that is wrong with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as f

from gmm_spark.errors import SchemaError
from gmm_spark.spark import columns
from gmm_spark.spark.posterior import variadic
from gmm_spark.spark.rows import REASONS, Layout, faults

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import types as t

ERRORS = "_errors"


def check(schema: t.StructType) -> None:
    """Refuse a table that has a column of the name that is added to quarantined rows.

    Raises:
        SchemaError: it has.
    """
    if ERRORS in map(str.casefold, schema.names):  # Spark writes no two columns that differ in case only
        raise SchemaError(
            f"column {ERRORS!r}",
            got="a column of the input with the name of the one that quarantined rows get",
            expected="another name",
            do="Rename it, or choose fit.invalid=drop.",
        )


def invalid_rows(rows: DataFrame, features: columns.Features, weight: str | None, d: int) -> DataFrame:
    """Return the unusable rows with all their columns and `_errors`, an array of reasons from `rows.REASONS`.

    Args:
        rows: the table.
        features: its feature columns.
        weight: its weight column, if it has one.
        d: the number of features.
    """
    layout = Layout(d, array=features.kind != "columns", weighted=weight is not None)
    errors = f.arrow_udf(variadic(partial(_errors, layout)), "array<string>")  # type: ignore[attr-defined] # as in posterior
    given = [*features.select(), *([columns.weight_column(rows.schema, weight)] if weight else [])]
    return rows.withColumn(ERRORS, errors(*given)).where(f.size(ERRORS) > 0)


def _errors(layout: Layout, arrays: list[pa.Array]) -> pa.Array:
    found = faults(arrays, layout)
    names = [[reason for reason, bad in zip(REASONS, row, strict=True) if bad] for row in found.T]
    return pa.array(names, pa.list_(pa.string()))
