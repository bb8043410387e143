"""The columns of a scored table, how it is written, and the check that no row is lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as f
from pyspark.sql.types import AtomicType

from gmm_spark.batch.publish.target import output_errors
from gmm_spark.batch.steps import input_table
from gmm_spark.errors import ConfigurationError, ModelError, OutputError, SchemaError, quoted
from gmm_spark.spark.ml.model import features_in
from gmm_spark.spark.scoring.posterior import ScoreColumns, with_posterior
from gmm_spark.spark.table.names import Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.batch.files.location import Location
    from gmm_spark.batch.options.jobs import ScoreConfig
    from gmm_spark.batch.options.sections import ScoredConfig
    from gmm_spark.batch.publish.modes import Mode
    from gmm_spark.spark.ml.model import GaussianMixtureModel
    from gmm_spark.spark.table.names import Field

POSTERIOR = ("prediction", "probability", "log_density", "status")


@dataclass(frozen=True)
class OutputColumns:
    """The columns that pass from the input to the output.

    Args:
        fields: all these columns, in their order.
        partition_by: the columns that become folders.
    """

    fields: tuple[Field, ...]
    partition_by: tuple[str, ...]


def passing_columns(rows: DataFrame, config: ScoreConfig, target: Location, mode: Mode) -> OutputColumns:
    """Return the columns that pass through, and refuse a target that is partitioned by other columns.

    Args:
        rows: the input.
        config: the options.
        target: the output.
        mode: how it is published.

    Raises:
        SchemaError: a column is missing, has the name of another or of one that scoring adds, or cannot be a folder.
        ConfigurationError: output.mode=partitions without partition columns.
        OutputError: the target is partitioned by other columns.
    """
    passing = _columns(Names.of(rows), config.output, input_table.partition_columns(rows, config.input))
    with output_errors(target):
        mode.check_columns(target, passing.partition_by)
    return passing


def _columns(table: Names, output: ScoredConfig, input_partitions: Sequence[str]) -> OutputColumns:
    partition_by = tuple(input_partitions) if output.partition_by is None else output.partition_by
    if output.mode == "partitions" and not partition_by:
        raise ConfigurationError(
            "output.partition_by",
            got="no columns, and an input without partitions" if output.partition_by is None else "no columns",
            expected="at least one column, for output.mode=partitions",
            do="Name the columns that become folders, or choose another output.mode.",
        )
    fields = tuple(map(table.find, table.schema.names if output.keep == "all" else output.keep))
    folders = tuple(map(table.find, partition_by))
    fields += tuple(field for field in folders if field not in fields)
    _check_names(table, fields)
    for field in folders:
        if not isinstance(field.kind, AtomicType):
            raise SchemaError(
                f"column {field.name!r}",
                got=f"type {field.kind.simpleString()}",
                expected="a type whose values can be names of folders",
                do="Leave it out of output.partition_by.",
            )
    return OutputColumns(fields, tuple(field.leaf for field in folders))


def _check_names(table: Names, fields: Sequence[Field]) -> None:
    """Refuse columns with equal names in the output.

    Raises:
        SchemaError: two columns have the same name for Spark, or one has the name of a column that scoring adds.
    """
    added = set(map(table.case_key, POSTERIOR))
    for field in fields:
        if table.case_key(field.leaf) in added:
            raise SchemaError(
                f"column {field.name!r}",
                got="a column of the input with the name of a column that scoring adds",
                expected=f"other names than {', '.join(POSTERIOR)}",
                do="Rename it, or leave it out of output.keep.",
            )
    repeated = set(table.duplicates(field.leaf for field in fields))
    if repeated:
        raise SchemaError(
            f"columns {quoted(field.name for field in fields if field.leaf in repeated)}",
            got="columns that would have one name in the output",
            expected="each name once",
            do="Rename one of them, or leave it out of output.keep.",
        )


def check_length(rows: DataFrame, model: GaussianMixtureModel) -> None:
    """Refuse a table in which no feature array has the model's length, before anything is written.

    One short Spark job searches for the first row that has it. No job is needed if the schema has the length, or if
    each feature is a column.

    Raises:
        ModelError: there are arrays, and all have another length.
    """
    columns = features_in(model, rows)
    if columns.size is not None:
        return
    sizes = rows.select(*columns.select()).where("x is not null").select(f.size("x").alias("d"))
    if sizes.where(f.col("d") == model.parameters.d).isEmpty():
        other = sizes.select(f.mode("d", deterministic=True)).first()
        if other is not None and other[0] is not None:
            raise ModelError(
                f"column {columns.columns[0]!r}",
                got=f"no row of the model's length; most have {other[0]} numbers",
                expected=f"{model.parameters.d} numbers, one for each feature of the model",
                do="Name the model that was fitted on this column, or another column or input.",
            )


def score_rows(rows: DataFrame, model: GaussianMixtureModel, passing: OutputColumns, output: ScoredConfig) -> DataFrame:
    """Return the columns that pass through, then the columns `POSTERIOR`.

    Raises:
        SchemaError: a feature of the model is not in the table, or is not numeric.
        ModelError: the table has another number of features, if its schema has the number.
    """
    names = ScoreColumns(*POSTERIOR, single=output.probability == "float")
    return with_posterior(rows, model.parameters, features_in(model, rows), names, passing.fields)


def write(table: DataFrame, path: str, passing: OutputColumns, output: ScoredConfig) -> None:
    """Write a scored table as Parquet."""
    writer = table.write.option("compression", output.compression)
    writer.partitionBy(*passing.partition_by).parquet(path)


def check_written(table: DataFrame, path: str, rows: int) -> dict[str, int]:
    """Return the number of written rows by status.

    They are counted in the files: counts of tasks are wrong if a task runs twice.

    Raises:
        OutputError: the number of rows in the files differs from that of the input.
    """
    written = table.sparkSession.read.schema(table.schema).parquet(path)
    counts = {row["status"]: row["count"] for row in written.groupBy("status").count().collect()}
    if sum(counts.values()) != rows:
        raise OutputError(
            f"the scored rows in {path}",
            got=f"{sum(counts.values())} rows",
            expected=f"the {rows} rows of the input",
            do="Run the job again on an input that does not change meanwhile; nothing was published.",
        )
    return counts
