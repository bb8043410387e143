"""The scoring columns: prediction, probability, log-density and status of every row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as f

from gmm_spark.errors import SchemaError, quoted
from gmm_spark.spark.arrow_types import spark_schema
from gmm_spark.spark.table.names import Names
from gmm_spark.spark.table.rows import RowLayout, decode
from gmm_spark.spark.worker import speed_up_worker, variadic
from gmm_spark.statistics import kernel
from gmm_spark.statistics.survey import REASONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.spark.table.columns import Features
    from gmm_spark.spark.table.names import Field

_SCORE = "__gmm_spark_score"
_FIELDS = ("prediction", "probability", "log_density", "status")


@dataclass(frozen=True)
class ScoreColumns:
    """The names of the columns that scoring appends; an empty name leaves the column out.

    Args:
        prediction: int, the component with the largest posterior; -1 for the noise component.
        probability: array of k posteriors P(Z = k | x), summing to 1; with a noise component k + 1, the noise last.
        log_density: double, log p(x) in nats.
        status: string, `ok`, or the reason why the row has no posterior.
        single: store the posteriors as array<float> instead of array<double>.
    """

    prediction: str = "prediction"
    probability: str = "probability"
    log_density: str = "log_density"
    status: str = ""
    single: bool = False

    def items(self) -> list[tuple[str, str]]:
        """Return the name of each column and its field in the score struct, in the order of the columns."""
        names = (self.prediction, self.probability, self.log_density, self.status)
        return [(name, source) for name, source in zip(names, _FIELDS, strict=True) if name]


def with_posterior(
    df: DataFrame,
    parameters: Parameters,
    features: Features,
    columns: ScoreColumns,
    passing: Sequence[Field] | None = None,
) -> DataFrame:
    """Append the scoring columns to every row; the other columns never leave the JVM.

    A row with a null, NaN, infinite or missing feature gets null in all scoring columns but the status, which has
    the reason.

    Args:
        df: the table.
        parameters: the mixture.
        features: its feature columns in the table.
        columns: the names of the scoring columns.
        passing: the columns to return beside the scoring columns; None: all.

    Raises:
        SchemaError: a scoring column has the name of a passing column or of another scoring column, for Spark.
    """
    names = Names.of(df)
    passing_names = df.columns if passing is None else [field.leaf for field in passing]
    _refuse_clash(names, passing_names, [name for name, _ in columns.items()])
    layout = RowLayout(parameters.d, array=features.kind != "columns", weighted=False)
    schema = _schema(single=columns.single)
    function = partial(_score, parameters, layout, schema)
    score = f.arrow_udf(variadic(function), spark_schema(schema))  # type: ignore[attr-defined] # PySpark 4.1's stubs lack it
    score_column = _free_name(_SCORE, df.columns)
    scored = df.withColumn(score_column, score(*features.select()))
    appended = [f.col(score_column)[source].alias(name) for name, source in columns.items()]
    if passing is None:
        return scored.select("*", *appended).drop(score_column)
    return scored.select(*(field.column.alias(field.leaf) for field in passing), *appended)


def _schema(*, single: bool) -> pa.Schema:
    probability = pa.list_(pa.float32() if single else pa.float64())
    kinds = (pa.int32(), probability, pa.float64(), pa.string())
    return pa.schema(list(zip(_FIELDS, kinds, strict=True)))


def _score(parameters: Parameters, layout: RowLayout, schema: pa.Schema, arrays: list[pa.Array]) -> pa.Array:
    speed_up_worker()
    rows = decode(arrays, layout)
    ok = rows.reasons == 0
    probability = np.zeros((len(ok), parameters.k_with_noise), dtype=schema.field(1).type.value_type.to_pandas_dtype())
    log_density, prediction = np.zeros(len(ok)), np.zeros(len(ok), dtype=np.int32)
    exact, log_density[ok] = kernel.posteriors(rows.x[:, ok].T, parameters)
    probability[ok], prediction[ok] = exact, kernel.most_probable(exact, parameters)
    mask = pa.array(~ok)
    offsets = pa.array(np.arange(len(ok) + 1, dtype=np.int32) * parameters.k_with_noise)
    return pa.StructArray.from_arrays(
        [
            pa.array(prediction, mask=~ok),
            pa.ListArray.from_arrays(offsets, pa.array(probability.ravel()), mask=mask),
            pa.array(log_density, mask=~ok),
            pa.array(np.array(REASONS, dtype=object)[rows.reasons], pa.string()),
        ],
        fields=list(schema),
    )


def _free_name(name: str, columns: Sequence[str]) -> str:
    """Return a name whose length no column has, so that no column has it in any letter case."""
    lengths = {len(column) for column in columns}
    while len(name) in lengths:
        name += "_"
    return name


def _refuse_clash(names: Names, passing: Sequence[str], added: Sequence[str]) -> None:
    new = set(map(names.case_key, added))
    clashes = [*(name for name in passing if names.case_key(name) in new), *names.duplicates(added)]
    if clashes:
        raise SchemaError(
            f"columns {quoted(sorted(set(clashes)))}",
            got="names that the table or another scoring column has",
            expected="free and different names for the scoring columns",
            do="Drop or rename them, or choose other output names.",
        )
