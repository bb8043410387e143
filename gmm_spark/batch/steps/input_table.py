"""The input of a job: where it is, its rows, the columns that its folders are named by."""

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
from gmm_spark.batch.runtime.advice import for_files
from gmm_spark.errors import InputError, ModelError, SchemaError
from gmm_spark.spark.complaints import complaints, first_line, line_with
from gmm_spark.spark.packages import filesystem_advice, format_advice, lacks_filesystem, lacks_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from gmm_spark.batch.options.sections import InputConfig

_SUBQUERY = re.compile(r"\bselect\b", re.IGNORECASE)
# Formats whose schema Spark would infer again, from the rows or from footers; table formats know theirs.
_INFERRED = frozenset({"avro", "csv", "json", "orc", "parquet", "text", "xml"})


def sources(spark: SparkSession, config: FitConfig | SelectConfig | ScoreConfig | SimulateConfig) -> tuple[Source, ...]:
    """Return all that a job reads: its input, as `locations`, and the model that it uses.

    Raises:
        GmmSparkError: as `locations`; or the filesystem of the model cannot be reached.
    """
    table = () if isinstance(config, SimulateConfig) else locations(spark, config.input)
    model = isinstance(config, (ScoreConfig, SimulateConfig)) and locate(spark, config.model.path, ModelError)
    return (*table, model) if model else table


def locations(spark: SparkSession, config: InputConfig) -> tuple[Source, ...]:
    """Return what the input is read from: folders, files, or the name of a table that may be anywhere.

    Raises:
        SchemaError: there is nothing at input.path, or no such table; or what is there is a table of another format.
        InputError: its filesystem cannot be reached.
    """
    if config.path is None:
        return _of_tables(spark, config)
    found = matches(spark, config.path)
    if not found:
        raise _unreadable(config, "nothing there")
    if not _knows_logs(config.format):
        _refuse_tables(config, found)
    more = _of_tables(spark, config) if config.where and _SUBQUERY.search(config.where) else ()
    return (*map(_table, found), *more)


def _of_tables(spark: SparkSession, config: InputConfig) -> tuple[Source, ...]:
    rows = read(spark, config)
    found = list(relations(rows))
    plain = [locate(spark, root, InputError) for each in found if each.plain for root in each.roots]
    if not _knows_logs(config.format):
        _refuse_tables(config, plain)
    roots = {root for each in found for root in each.roots}
    if plain:  # partitions may be anywhere
        roots |= {file.rpartition("/")[0] for file in rows.inputFiles()}
    places = tuple(_table(locate(spark, root, InputError)) for root in sorted(roots))
    return (*places, *(each.name for each in found if not each.known))


def _knows_logs(form: str) -> bool:
    """Say whether a format is one of those that leave out the files which the log of a table leaves out."""
    return any(name in form.lower() for name in ("delta", "iceberg", "hudi"))


def _refuse_tables(config: InputConfig, places: Iterable[Location]) -> None:
    """Refuse plain files that are those of a table with a log: deleted rows would be read, and rows twice."""
    below = str(config.options.get("recursiveFileLookup", "")).lower() == "true"
    for place in places:
        found = table_around(place) or (next(tables_below(place), None) if below else None)
        if found is None:
            continue
        root, kind = found
        raise SchemaError(
            _name(config),
            got=f"files of {kind.name}, {root}",
            expected=f"plain {config.format} files: of these, deleted rows would be read too",
            do=f"Set input.format={kind.format} and input.path={root}, or name the table by input.table.",
        )


def read(spark: SparkSession, config: InputConfig, schema: StructType | None = None) -> DataFrame:
    """Return the rows of the input, those of input.where only.

    Args:
        spark: the session.
        config: what the options say.
        schema: that of the rows, where it is known: Spark need not infer it.

    Raises:
        SchemaError: Spark cannot read the path or table, or the condition does not fit its columns.
    """
    try:
        rows = _opened(spark, config, schema)
        return rows if config.where is None else rows.where(config.where)
    except (PySparkException, Py4JError) as error:
        raise _refused(spark, config, error) from error


def rereader(rows: DataFrame, config: InputConfig) -> Callable[[], DataFrame]:
    """Return what reads the input once more, from a new listing of its files and without a look at their rows.

    Args:
        rows: what `read` returned.
        config: what it was asked for.
    """
    spark, schema = rows.sparkSession, rows.schema
    path = None if config.path is None else _current(spark, config.path)  # a run published later is another input

    def reread() -> DataFrame:
        if config.table is not None:
            spark.catalog.refreshTable(config.table)  # Spark keeps the files of a table
            return read(spark, config)
        return read(spark, config.model_copy(update={"path": path}), schema if config.format in _INFERRED else None)

    return reread


def partition_columns(rows: DataFrame, config: InputConfig) -> tuple[str, ...]:
    """Return the columns by which the input is laid out in folders, outermost first.

    Args:
        rows: what `read` returned.
        config: what it was asked for.
    """
    if config.table is not None:
        try:
            found = rows.sparkSession.catalog.listColumns(config.table)
        except PySparkException:  # Spark has no word for the transforms of Iceberg, such as days(ts)
            return identity_columns(rows)
        return tuple(column.name for column in found if column.isPartition)
    return folder_columns(rows)


def _opened(spark: SparkSession, config: InputConfig, schema: StructType | None) -> DataFrame:
    reader = spark.read.options(**config.options)
    if config.table is not None:
        return reader.table(config.table)
    if (known := schema or config.schema_ddl) is not None:
        reader = reader.schema(known)
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


def _name(config: InputConfig) -> str:
    return f"input.path {config.path}" if config.table is None else f"input.table {config.table}"


def _unreadable(
    config: InputConfig,
    got: str,
    do: str = "Correct input.path, input.table, input.format, input.options or input.where.",
) -> SchemaError:
    return SchemaError(_name(config), got=got, expected="rows that Spark can read", do=do)


def _refused(spark: SparkSession, config: InputConfig, error: PySparkException | Py4JError) -> SchemaError:
    """Return the complaint of Spark's that explains most: the first that is not about one of its own threads."""
    found = list(complaints(error)) or [str(error)]
    for complaint in found:
        if advice := for_files(complaint):
            return _unreadable(config, line_with(complaint, "is not a Parquet file"), advice)
        if lacks_format(complaint):
            return _unreadable(config, first_line(complaint), format_advice(spark, config.format))
        if lacks_filesystem(complaint):
            return _unreadable(config, first_line(complaint), filesystem_advice(spark, str(config.path)))
    return _unreadable(config, first_line(next((each for each in found if "awaitResult" not in each), found[0])))
