"""Which columns a scored table has, how it is written, and the check that no row is lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.errors import ConfigurationError, OutputError, SchemaError
from gmm_spark.spark.columns import column, field
from gmm_spark.spark.posterior import ScoreColumns, with_posterior

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

    from gmm_spark import GaussianMixtureModel
    from gmm_spark.batch.sections import ScoredConfig

POSTERIOR = ("prediction", "probability", "log_density", "status")


@dataclass(frozen=True)
class Columns:
    """The columns that pass from the input to the output.

    Args:
        kept: all of them, in their order.
        partition_by: those that become folders.
    """

    kept: tuple[str, ...]
    partition_by: tuple[str, ...]


def columns(schema: StructType, output: ScoredConfig, found: Sequence[str]) -> Columns:
    """Return the columns that pass through.

    Args:
        schema: that of the input.
        output: what the options say.
        found: the columns by which the input is laid out, the default of output.partition_by.

    Raises:
        SchemaError: a column is missing, or has the name of one that scoring adds.
        ConfigurationError: output.mode=partitions, and there are none.
    """
    partition_by = tuple(found) if output.partition_by is None else output.partition_by
    if output.mode == "partitions" and not partition_by:
        raise ConfigurationError(
            "output.partition_by",
            got="no columns, and an input without partitions" if output.partition_by is None else "no columns",
            expected="at least one, for output.mode=partitions",
            do="Name the columns that become folders, or choose another output.mode.",
        )
    kept = tuple(schema.names) if output.keep == "all" else output.keep
    kept += tuple(name for name in partition_by if name not in kept)
    for name in kept:
        field(schema, name)
        if name.casefold() in POSTERIOR:  # Spark writes no two columns that differ in case only
            raise SchemaError(
                f"column {name!r}",
                got="a column of the input with the name of a column that scoring adds",
                expected=f"other names than {', '.join(POSTERIOR)}",
                do="Rename it, or leave it out of output.keep.",
            )
    return Columns(kept, partition_by)


def scored(rows: DataFrame, model: GaussianMixtureModel, passing: Columns, output: ScoredConfig) -> DataFrame:
    """Return the columns that pass through, then those of `POSTERIOR`.

    Raises:
        SchemaError: a feature of the model is not in the table, or holds no numbers.
    """
    features = model.features_in(rows)
    needed = dict.fromkeys((*passing.kept, *features.columns))
    names = ScoreColumns(*POSTERIOR, single=output.probability == "float")
    posterior = with_posterior(rows.select(*map(column, needed)), model.parameters, features, names)
    return posterior.select(*map(column, (*passing.kept, *POSTERIOR)))


def write(table: DataFrame, path: str, passing: Columns, output: ScoredConfig) -> None:
    """Write a scored table as Parquet."""
    writer = table.write.option("compression", output.compression)
    writer.partitionBy(*passing.partition_by).parquet(path)


def verified(table: DataFrame, path: str, rows: int) -> dict[str, int]:
    """Return the number of rows by status that were written.

    They are read back from the files: what tasks count is wrong once a task runs twice.

    Raises:
        OutputError: the files do not hold as many rows as were read.
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
