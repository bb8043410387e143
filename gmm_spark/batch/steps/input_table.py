"""The input of a job: its location, its rows, its partition columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from gmm_spark.batch.files.locate import Location, Source, locate, matches
from gmm_spark.batch.files.relations import folder_columns, identity_columns, relations
from gmm_spark.batch.files.table_kinds import table_around, tables_below
from gmm_spark.batch.options.jobs import FitConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.publish.published_runs import pointer_of
from gmm_spark.batch.runtime.advice import advice_for_files
from gmm_spark.errors import InputError, ModelError, SchemaError
from gmm_spark.spark.complaints import complaints, first_line, line_with
from gmm_spark.spark.packages import filesystem_advice, format_advice, lacks_filesystem, lacks_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from gmm_spark.batch.options.sections import InputConfig

_SUBQUERY = re.compile(r"\bselect\b", re.IGNORECASE)
# For these formats Spark infers the schema from rows or footers at each read; table formats store it.
_INFERRED = frozenset({"avro", "csv", "json", "orc", "parquet", "text", "xml"})


def sources(spark: SparkSession, config: FitConfig | SelectConfig | ScoreConfig | SimulateConfig) -> tuple[Source, ...]:
    """Return everything that a job reads: its input, as `locations` does, and the model that it uses.

    Raises:
        GmmSparkError: as in `locations`; or the filesystem of the model cannot be reached.
    """
    table = () if isinstance(config, SimulateConfig) else locations(spark, config.input)
    model = isinstance(config, (ScoreConfig, SimulateConfig)) and locate(spark, config.model.path, ModelError)
    return (*table, model) if model else table


def locations(spark: SparkSession, config: InputConfig) -> tuple[Source, ...]:
    """Return the folders and files of the input; the name of a table whose place is unknown.

    Raises:
        SchemaError: there is nothing at input.path, or no such table; or the files are those of a table with a log.
        InputError: its filesystem cannot be reached.
    """
    if config.path is None:
        return _of_tables(spark, config)
    places = matches(spark, config.path)
    if not places:
        raise _unreadable(config, "nothing there")
    if not _reads_logs(config.format):
        _refuse_tables(config, places)
    more = _of_tables(spark, config) if config.where and _SUBQUERY.search(config.where) else ()
    return (*map(_table, places), *more)


def _of_tables(spark: SparkSession, config: InputConfig) -> tuple[Source, ...]:
    rows = read(spark, config)
    tables = list(relations(rows))
    plain = [locate(spark, root, InputError) for table in tables if table.is_plain for root in table.roots]
    if not _reads_logs(config.format):
        _refuse_tables(config, plain)
    roots = {root for table in tables for root in table.roots}
    if plain:  # the partitions of a catalog table may be in any folder
        roots |= {file.rpartition("/")[0] for file in rows.inputFiles()}
    places = tuple(_table(locate(spark, root, InputError)) for root in sorted(roots))
    return (*places, *(table.name for table in tables if not table.is_located))


def _reads_logs(form: str) -> bool:
    """Say whether Spark reads the log of a table in this format, and skips the files that the log has removed."""
    return any(name in form.lower() for name in ("delta", "iceberg", "hudi"))


def _refuse_tables(config: InputConfig, places: Iterable[Location]) -> None:
    """Refuse to read files of a table with a log as plain files: deleted rows would be read, and rows twice."""
    is_recursive = str(config.options.get("recursiveFileLookup", "")).lower() == "true"
    for place in places:
        table = table_around(place) or (next(tables_below(place), None) if is_recursive else None)
        if table is None:
            continue
        root, kind = table
        raise SchemaError(
            _name(config),
            got=f"files of {kind.name}, {root}",
            expected=f"plain {config.format} files: from this table, deleted rows would be read too",
            do=f"Set input.format={kind.format} and input.path={root}, or name the table by input.table.",
        )


def read(spark: SparkSession, config: InputConfig, schema: StructType | None = None) -> DataFrame:
    """Return the rows of the input that fulfil input.where.

    Args:
        spark: the session.
        config: the options of the input.
        schema: the schema of the rows if it is known, so that Spark does not infer it.

    Raises:
        SchemaError: Spark cannot read the path or table, or the condition does not match its columns.
    """
    try:
        rows = _opened(spark, config, schema)
        return rows if config.where is None else rows.where(config.where)
    except (PySparkException, Py4JError) as error:
        raise _refused(spark, config, error) from error


def rereader(rows: DataFrame, config: InputConfig) -> Callable[[], DataFrame]:
    """Return a function that reads the input again, from a new listing of its files, without reading rows for a schema.

    Args:
        rows: the result of `read`.
        config: the options of the input.
    """
    spark, schema = rows.sparkSession, rows.schema
    # The path is resolved now: the pointer may name another run later.
    path = None if config.path is None else _current(spark, config.path)

    def reread() -> DataFrame:
        if config.table is not None:
            spark.catalog.refreshTable(config.table)  # Spark caches the list of files of a table
            return read(spark, config)
        return read(spark, config.model_copy(update={"path": path}), schema if config.format in _INFERRED else None)

    return reread


def partition_columns(rows: DataFrame, config: InputConfig) -> tuple[str, ...]:
    """Return the partition columns of the input, outermost first.

    Args:
        rows: the result of `read`.
        config: the options of the input.
    """
    if config.table is not None:
        try:
            columns = rows.sparkSession.catalog.listColumns(config.table)
        except PySparkException:  # Spark's catalog fails on transforms of Iceberg, such as days(ts)
            return identity_columns(rows)
        return tuple(column.name for column in columns if column.isPartition)
    return folder_columns(rows)


def _opened(spark: SparkSession, config: InputConfig, schema: StructType | None) -> DataFrame:
    reader = spark.read.options(**config.options)
    if config.table is not None:
        return reader.table(config.table)
    if (columns := schema or config.schema_ddl) is not None:
        reader = reader.schema(columns)
    return reader.format(config.format).load(_current(spark, str(config.path)))


def _current(spark: SparkSession, path: str) -> str:
    """Return the current folder of an output with runs; any other path as it is."""
    places = matches(spark, path)
    if len(places) != 1 or (pointer := pointer_of(places[0])) is None:
        return path
    return str(places[0].child(pointer.folder))


def _table(folder: Location) -> Location:
    while "=" in folder.name:  # a partition: a folder written beside it would become part of its table
        folder = folder.parent()
    return folder


def _name(config: InputConfig) -> str:
    return f"input.path {config.path}" if config.table is None else f"input.table {config.table}"


def _unreadable(
    config: InputConfig,
    got: str,
    do: str = "Correct input.path, input.table, input.format, input.options or input.where.",
) -> SchemaError:
    return SchemaError(_name(config), got=got, expected="rows that Spark can read", do=do)


def _refused(spark: SparkSession, config: InputConfig, error: PySparkException | Py4JError) -> SchemaError:
    """Return an error with the complaint that explains most: the first one that is not about Spark's threads."""
    texts = list(complaints(error)) or [str(error)]
    for complaint in texts:
        if advice := advice_for_files(complaint):
            return _unreadable(config, line_with(complaint, "is not a Parquet file"), advice)
        if lacks_format(complaint):
            return _unreadable(config, first_line(complaint), format_advice(spark, config.format))
        if lacks_filesystem(complaint):
            return _unreadable(config, first_line(complaint), filesystem_advice(spark, str(config.path)))
    return _unreadable(config, first_line(next((text for text in texts if "awaitResult" not in text), texts[0])))
