"""Spark types from Arrow types: each schema is written once, as the Arrow schema that the tasks fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


def spark_schema(schema: pa.Schema) -> StructType:
    """Return an Arrow schema as a Spark schema; not as a string, which the JVM would parse for each plan."""
    return from_arrow_schema(schema)


def one_row(schema: pa.Schema, values: dict[str, Any]) -> pa.RecordBatch:
    """Return a batch of one row; columns without a value are null."""
    arrays = [pa.array([values.get(column.name)], column.type) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
