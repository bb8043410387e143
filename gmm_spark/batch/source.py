"""The input of a job: where it is, its rows, the columns that its folders are named by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from gmm_spark.batch.modes import pointer_of
from gmm_spark.batch.paths import Location, locate, matches
from gmm_spark.errors import SchemaError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.batch.sections import InputConfig


def locations(spark: SparkSession, config: InputConfig) -> tuple[Location, ...]:
    """Return the tables' folders, or files, that the input is read from; none where a table has no files.

    Raises:
        SchemaError: there is nothing at input.path, or no such table.
    """
    if config.path is None:
        files = read(spark, config).inputFiles()
        folders = {folder for folder, _, _ in (file.rpartition("/") for file in files)}
        return tuple(_table(locate(spark, folder)) for folder in sorted(folders))
    found = matches(spark, config.path)
    if not found:
        raise _unreadable(config, "nothing there")
    return tuple(map(_table, found))


def read(spark: SparkSession, config: InputConfig) -> DataFrame:
    """Return the rows of the input, those of input.where only.

    Raises:
        SchemaError: Spark cannot read the path or table, or the condition does not fit its columns.
    """
    try:
        rows = _opened(spark, config)
        return rows if config.where is None else rows.where(config.where)
    except (PySparkException, Py4JJavaError) as error:
        raise _unreadable(config, _first_line(error)) from error


def partition_columns(rows: DataFrame, config: InputConfig) -> tuple[str, ...]:
    """Return the columns by which the input is laid out in folders, outermost first.

    Args:
        rows: what `read` returned.
        config: what it was asked for.
    """
    if config.table is not None:
        return tuple(
            column.name for column in rows.sparkSession.catalog.listColumns(config.table) if column.isPartition
        )
    plan: Any = rows._jdf.queryExecution().analyzed()  # noqa: SLF001 - no public way knows them
    try:
        return tuple(plan.collectLeaves().head().relation().partitionSchema().fieldNames())
    except Py4JError:  # a source that is not made of folders
        return ()


def _opened(spark: SparkSession, config: InputConfig) -> DataFrame:
    reader = spark.read.options(**config.options)
    if config.table is not None:
        return reader.table(config.table)
    if config.schema_ddl is not None:
        reader = reader.schema(config.schema_ddl)
    return reader.format(config.format).load(_current(spark, str(config.path)))


def _current(spark: SparkSession, path: str) -> str:
    """Return the folder that counts of an output that keeps its runs; any other path as it is."""
    found = matches(spark, path)
    if len(found) != 1 or (pointer := pointer_of(found[0])) is None:
        return path
    return str(found[0].child(pointer.folder))


def _table(folder: Location) -> Location:
    while "=" in folder.name:  # a partition: what is written beside it would become part of its table
        folder = folder.parent()
    return folder


def _unreadable(config: InputConfig, got: str) -> SchemaError:
    name = f"input.path {config.path}" if config.table is None else f"input.table {config.table}"
    return SchemaError(
        name,
        got=got,
        expected="rows that Spark can read",
        do="Correct input.path, input.table, input.format or input.where.",
    )


def _first_line(error: PySparkException | Py4JJavaError) -> str:
    text = error.java_exception.toString() if isinstance(error, Py4JJavaError) else str(error)
    return str(text).partition("\n")[0]
