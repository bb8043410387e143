"""Which columns are the features: checked on the schema, before any Spark job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import functions as f
from pyspark.sql import types as t

from gmm_spark.errors import SchemaError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column

    from gmm_spark.spark.table.names import Field, Names

Kind = Literal["columns", "array", "vector"]
_NUMBERS = (t.NumericType, t.BooleanType)
_SEQUENCES = (t.ArrayType, VectorUDT)
# What makes numbers of a type that has none, by the first that fits.
_REMEDIES: tuple[tuple[tuple[type[t.DataType], ...], str], ...] = (
    ((t.DateType,), "Select unix_date({name}), the days since 1970, as a column."),
    ((t.TimestampType,), "Select unix_micros({name}), the microseconds since 1970, as a column."),
    ((t.TimestampNTZType,), "Select unix_micros(cast({name} as timestamp)) as a column."),
    ((t.DayTimeIntervalType,), "Select cast(cast({name} as interval second) as decimal(38,6)), seconds, as a column."),
    ((t.YearMonthIntervalType,), "Select cast(cast({name} as interval month) as int), months, as a column."),
    (
        (t.StringType, t.CharType, t.VarcharType),
        "Where it holds numbers select try_cast({name} as double) as a column; categories encode, or leave it out.",
    ),
    (_SEQUENCES, "Name it as the one column of all features."),
    ((t.StructType,), "Name one of its fields, as in {name}.field."),
    ((t.MapType,), "Select the values that are meant as columns, as in element_at({name}, key)."),
)
_OTHERWISE = "Select a cast of it to double as a column, where Spark has one, or leave it out."


@dataclass(frozen=True)
class Features:
    """The feature columns of a table.

    Args:
        fields: the numeric columns, or the one array or vector column.
        kind: which of these it is.
        size: how many features there are, where the schema says it.
    """

    fields: tuple[Field, ...]
    kind: Kind
    size: int | None = None

    @staticmethod
    def of(table: Names, *, input_cols: Sequence[str] | None = None, features_col: str | None = None) -> Features:
        """Find the features in a table: `input_cols` where given, else `features_col`.

        Raises:
            SchemaError: a column that is missing, is named twice, or has a type that holds no numbers.
        """
        if input_cols:
            return Features(_numeric_columns(table, input_cols), "columns", len(input_cols))
        found = table.find(features_col or "features")
        return Features((found,), _sequence_kind(found), _vector_size(found.metadata))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, as the table spells them."""
        return tuple(each.name for each in self.fields)

    def select(self) -> list[Column]:
        """Return the columns to send to Python: one double a feature, or one array `x`."""
        if self.kind == "columns":
            return [each.column.cast("double").alias(f"x{i}") for i, each in enumerate(self.fields)]
        values = self.fields[0].column
        # vector_to_array ends the job at a null.
        arrays = (
            f.when(values.isNotNull(), vector_to_array(values))
            if self.kind == "vector"
            else values.cast("array<double>")
        )
        return [arrays.alias("x")]

    def names(self, d: int) -> tuple[str, ...]:
        """Return d feature names for errors and the model."""
        if self.kind == "columns":
            return self.columns
        return tuple(f"{self.columns[0]}[{i}]" for i in range(d))


def weight_column(table: Names, name: str) -> Column:
    """Return the weight column as a double, or refuse its type."""
    return _numeric(table.find(name)).column.cast("double").alias("weight")


def _numeric_columns(table: Names, names: Sequence[str]) -> tuple[Field, ...]:
    found = tuple(_numeric(table.find(name)) for name in names)
    places: dict[tuple[str, ...], list[str]] = {}
    for name, each in zip(names, found, strict=True):
        places.setdefault(each.path, []).append(name)
    repeated = sorted({name for given in places.values() if len(given) > 1 for name in given})
    if repeated:
        raise SchemaError(
            "feature columns",
            got=f"{quoted(repeated)} more than once",
            expected="each column once",
            do="Name it once.",
        )
    return found


def _numeric(each: Field) -> Field:
    if not isinstance(each.kind, _NUMBERS):
        remedy = next((text for kinds, text in _REMEDIES if isinstance(each.kind, kinds)), _OTHERWISE)
        raise SchemaError(
            f"column {each.name!r}",
            got=f"type {each.kind.simpleString()}",
            expected="a numeric or boolean type",
            do=remedy.format(name=each.name),
            options=("features_col",) if isinstance(each.kind, _SEQUENCES) else (),
        )
    return each


def _sequence_kind(each: Field) -> Kind:
    if isinstance(each.kind, VectorUDT):
        return "vector"
    if isinstance(each.kind, t.ArrayType) and isinstance(each.kind.elementType, _NUMBERS):
        return "array"
    raise SchemaError(
        f"column {each.name!r}",
        got=f"type {each.kind.simpleString()}",
        expected="an array of numbers or a Spark ML vector",
        do="Name numeric columns instead, or assemble them into one column.",
        options=("input_cols",),
    )


def _vector_size(metadata: Mapping[str, Any]) -> int | None:
    """Return the length of the vectors of a column, where a stage of pyspark.ml has noted it."""
    noted = metadata.get("ml_attr")
    if not isinstance(noted, dict):
        return None
    size, groups = noted.get("num_attrs"), noted.get("attrs")
    if size is None and isinstance(groups, dict):
        size = sum(len(group) for group in groups.values() if isinstance(group, list))
    return size if isinstance(size, int) and size > 0 else None
