"""Tables that a caller may pass: a DataFrame, or a table of pandas or Arrow while a session is active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from gmm_spark.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def as_frame(data: Any) -> DataFrame:  # noqa: ANN401 - any argument of the caller
    """Return the data as a DataFrame: a DataFrame, or a table of pandas, Arrow or any library with Arrow's interface.

    Raises:
        InputError: the data are no table, or a table in memory while no session is active.
    """
    if hasattr(data, "sparkSession"):
        frame: DataFrame = data
        return frame
    if hasattr(data, "to_spark"):  # a table of pyspark.pandas
        return as_frame(data.to_spark())
    table = _in_memory(data)
    try:
        return SparkSession.active().createDataFrame(table)
    except PySparkRuntimeError as error:
        if error.getCondition() != "NO_ACTIVE_OR_DEFAULT_SESSION":
            raise
        raise InputError(
            "input",
            got=f"a {_kind(data)} and no active Spark session",
            expected="a DataFrame of Spark, or a session to make one",
            do="Start a session first: SparkSession.builder.getOrCreate().",
        ) from error


def static_frame(data: Any, use: str) -> DataFrame:  # noqa: ANN401 - as above
    """Return the data as a DataFrame; refuse a stream, because `use` reads all rows.

    Args:
        data: as in `as_frame`.
        use: the method, for the error.

    Raises:
        InputError: the data are a stream, or as in `as_frame`.
    """
    frame = as_frame(data)
    if frame.isStreaming:
        raise InputError(
            "input",
            got="a stream",
            expected=f"a table whose rows can all be read: {use} reads them several times",
            do="Write the stream to a table and read that, or use each batch in foreachBatch. "
            "A model's transform takes a stream.",
        )
    return frame


def _in_memory(data: Any) -> pa.Table:  # noqa: ANN401 - as above
    try:
        if isinstance(data, pa.RecordBatch):
            return pa.Table.from_batches([data])
        if type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "columns"):
            return pa.Table.from_pandas(data, preserve_index=False)
        if isinstance(data, pa.Table) or hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _refused(f"a {_kind(data)} that Arrow can't convert ({error})") from error
    raise _refused(f"a {_kind(data)}")


def _refused(got: str) -> InputError:
    return InputError(
        "input",
        got=got,
        expected="a DataFrame of Spark, or a table of pandas or Arrow with columns of one type each",
        do="Make a DataFrame of it with spark.createDataFrame.",
    )


def _kind(data: Any) -> str:  # noqa: ANN401 - as above
    return f"{type(data).__module__.split('.')[0]} {type(data).__name__}"
