"""Which columns are the features: checked on the schema, before any Spark job."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import functions as f
from pyspark.sql import types as t

from gmm_spark.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyspark.sql import Column

Kind = Literal["columns", "array", "vector"]


@dataclass(frozen=True)
class Features:
    """The feature columns of a table.

    Args:
        columns: the numeric columns, or the one array or vector column.
        kind: which of these it is.
    """

    columns: tuple[str, ...]
    kind: Kind

    @staticmethod
    def of(
        schema: t.StructType, *, input_cols: Sequence[str] | None = None, features_col: str | None = None
    ) -> Features:
        """Find the features in a schema: `input_cols` where given, else `features_col`.

        Raises:
            SchemaError: a column that is missing, is named twice, or has a type that holds no numbers.
        """
        if input_cols:
            return Features(_numeric_columns(schema, input_cols), "columns")
        name = features_col or "features"
        return Features((name,), _sequence_kind(name, field(schema, name).dataType))

    def select(self) -> list[Column]:
        """Return the columns to send to Python: one double a feature, or one array `x`."""
        if self.kind == "columns":
            return [column(name).cast("double").alias(f"x{i}") for i, name in enumerate(self.columns)]
        values = column(self.columns[0])
        values = vector_to_array(values) if self.kind == "vector" else values.cast("array<double>")
        return [values.alias("x")]

    def names(self, d: int) -> tuple[str, ...]:
        """Return d feature names for errors and the model."""
        if self.kind == "columns":
            return self.columns
        return tuple(f"{self.columns[0]}[{i}]" for i in range(d))


def column(name: str) -> Column:
    """Return the top-level column of exactly this name, dots, spaces and backticks included."""
    return f.col("`" + name.replace("`", "``") + "`")


def field(schema: t.StructType, name: str) -> t.StructField:
    """Return the field of this name.

    Raises:
        SchemaError: there is none; the closest names are given.
    """
    fields = [each for each in schema.fields if each.name == name]
    if len(fields) == 1:
        return fields[0]
    near = difflib.get_close_matches(name, schema.names, n=3, cutoff=0.5)
    raise SchemaError(
        f"column {name!r}",
        got="two columns of this name" if fields else f"a table with the columns {_shortened(schema.names)}",
        expected="one column of this name",
        do="Rename one of them."
        if fields
        else f"Did you mean {' or '.join(map(repr, near))}?"
        if near
        else "Name another.",
    )


def weight_column(schema: t.StructType, name: str) -> Column:
    """Return the weight column as a double, or refuse its type."""
    _numeric(field(schema, name))
    return column(name).cast("double").alias("weight")


def _numeric_columns(schema: t.StructType, names: Sequence[str]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise SchemaError(
            "feature columns", got=f"{repeated} more than once", expected="each column once", do="Name it once."
        )
    for name in names:
        _numeric(field(schema, name))
    return tuple(names)


def _numeric(each: t.StructField) -> None:
    if not isinstance(each.dataType, t.NumericType):
        raise SchemaError(
            f"column {each.name!r}",
            got=f"type {each.dataType.simpleString()}",
            expected="a numeric type",
            do="Cast it to double (a timestamp through unix_micros or a cast), or leave it out.",
        )


def _sequence_kind(name: str, kind: t.DataType) -> Kind:
    if isinstance(kind, VectorUDT):
        return "vector"
    if isinstance(kind, t.ArrayType) and isinstance(kind.elementType, t.NumericType):
        return "array"
    raise SchemaError(
        f"column {name!r}",
        got=f"type {kind.simpleString()}",
        expected="an array of numbers or a Spark ML vector",
        do="Name numeric columns with inputCols instead, or assemble them into one column.",
    )


def quoted(names: Iterable[str]) -> str:
    """Return the names for an error, each in quotes, many of them shortened."""
    return _shortened(map(repr, names))


def _shortened(names: Iterable[str], most: int = 20) -> str:
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
