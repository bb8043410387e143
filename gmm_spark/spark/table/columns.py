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
# How to make numbers of a type that is not numeric; the first entry that matches counts.
_REMEDIES: tuple[tuple[tuple[type[t.DataType], ...], str], ...] = (
    ((t.DateType,), "Select unix_date({name}), the days since 1970, as a column."),
    ((t.TimestampType,), "Select unix_micros({name}), the microseconds since 1970, as a column."),
    ((t.TimestampNTZType,), "Select unix_micros(cast({name} as timestamp)) as a column."),
    ((t.DayTimeIntervalType,), "Select cast(cast({name} as interval second) as decimal(38,6)), seconds, as a column."),
    ((t.YearMonthIntervalType,), "Select cast(cast({name} as interval month) as int), months, as a column."),
    (
        (t.StringType, t.CharType, t.VarcharType),
        "Where it holds numbers select try_cast({name} as double) as a column; encode categories, or leave it out.",
    ),
    (_SEQUENCES, "Name it as the only column, with all features."),
    ((t.StructType,), "Name one of its fields, as in {name}.field."),
    ((t.MapType,), "Select the values you need as columns, as in element_at({name}, key)."),
)
_OTHERWISE = "Select it cast to double as a column, if Spark can cast it, or leave it out."


@dataclass(frozen=True)
class Features:
    """The feature columns of a table.

    Args:
        fields: the numeric columns, or the one array or vector column.
        kind: columns, array or vector.
        size: the number of features; None if the schema does not show it.
    """

    fields: tuple[Field, ...]
    kind: Kind
    size: int | None = None

    @staticmethod
    def of(table: Names, *, input_cols: Sequence[str] | None = None, features_col: str | None = None) -> Features:
        """Find the features in a table: `input_cols` where given, else `features_col`.

        Raises:
            SchemaError: a missing column, a column that is named twice, no column, or a type without numbers.
        """
        if input_cols is not None and not len(input_cols):
            do = "Name the feature columns, or leave the list unset for one column with all features."
            raise SchemaError("feature columns", got="an empty list", expected="at least one column", do=do)
        if input_cols:
            return Features(_numeric_columns(table, input_cols), "columns", len(input_cols))
        column = table.find(features_col or "features")
        return Features((column,), _sequence_kind(column), _vector_size(column.metadata))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, as the table spells them."""
        return tuple(field.name for field in self.fields)

    def select(self) -> list[Column]:
        """Return the columns to send to Python: one double per feature, or one array `x`."""
        if self.kind == "columns":
            return [field.column.cast("double").alias(f"x{i}") for i, field in enumerate(self.fields)]
        values = self.fields[0].column
        # vector_to_array fails at a null.
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
    """Return the weight column as a double.

    Raises:
        SchemaError: it is missing, or its type has no numbers.
    """
    return _numeric(table.find(name)).column.cast("double").alias("weight")


def _numeric_columns(table: Names, names: Sequence[str]) -> tuple[Field, ...]:
    fields = tuple(_numeric(table.find(name)) for name in names)
    spellings: dict[tuple[str, ...], list[str]] = {}
    for name, field in zip(names, fields, strict=True):
        spellings.setdefault(field.path, []).append(name)
    repeated = sorted({name for same in spellings.values() if len(same) > 1 for name in same})
    if repeated:
        raise SchemaError(
            "feature columns",
            got=f"{quoted(repeated)} more than once",
            expected="each column once",
            do="Name it once.",
        )
    return fields


def _numeric(field: Field) -> Field:
    if not isinstance(field.kind, _NUMBERS):
        remedy = next((text for kinds, text in _REMEDIES if isinstance(field.kind, kinds)), _OTHERWISE)
        raise SchemaError(
            f"column {field.name!r}",
            got=f"type {field.kind.simpleString()}",
            expected="a numeric or boolean type",
            do=remedy.format(name=field.name),
            options=("features_col",) if isinstance(field.kind, _SEQUENCES) else (),
        )
    return field


def _sequence_kind(field: Field) -> Kind:
    if isinstance(field.kind, VectorUDT):
        return "vector"
    if isinstance(field.kind, t.ArrayType) and isinstance(field.kind.elementType, _NUMBERS):
        return "array"
    raise SchemaError(
        f"column {field.name!r}",
        got=f"type {field.kind.simpleString()}",
        expected="an array of numbers or a Spark ML vector",
        do="Name numeric columns instead, or assemble them into one column.",
        options=("input_cols",),
    )


def _vector_size(metadata: Mapping[str, Any]) -> int | None:
    """Return the length of the vectors of a column, if a stage of pyspark.ml has stored it in the metadata."""
    attributes = metadata.get("ml_attr")
    if not isinstance(attributes, dict):
        return None
    size, groups = attributes.get("num_attrs"), attributes.get("attrs")
    if size is None and isinstance(groups, dict):
        size = sum(len(group) for group in groups.values() if isinstance(group, list))
    return size if isinstance(size, int) and size > 0 else None
