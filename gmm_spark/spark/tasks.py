"""Calls of a function as tasks of a job: results in the order of the calls, even if tasks fail or run twice."""

from __future__ import annotations

import pickle
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from gmm_spark.spark.arrow_types import one_row, spark_schema
from gmm_spark.spark.session import send_to_tasks
from gmm_spark.spark.worker import speed_up_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pyspark.sql import SparkSession

    from gmm_spark.spark.session import TaskValue

_SCHEMA = pa.schema([("call", pa.int32()), ("result", pa.binary())])
_TYPE = spark_schema(_SCHEMA)

T = TypeVar("T")


def call_in_tasks(
    spark: SparkSession, function: TaskValue[Callable[..., T]], calls: Sequence[tuple[Any, ...]], tasks: int
) -> list[T]:
    """Return what a function returns for each tuple of arguments; tasks take the calls in their order.

    Args:
        spark: the session.
        function: pure, and already sent to the tasks: several jobs may call it.
        calls: the arguments of each call.
        tasks: at most this many; the number of calls where the calls are long and of different length.
    """
    with send_to_tasks(spark, tuple(calls)) as task_calls:
        numbers = spark.range(0, len(calls), 1, min(len(calls), tasks))
        table = numbers.mapInArrow(partial(_call, function, task_calls), _TYPE).toArrow()
    results = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return [pickle.loads(results[number]) for number in range(len(calls))]  # noqa: S301 - from our tasks


def _call(
    function: TaskValue[Callable[..., Any]],
    calls: TaskValue[tuple[tuple[Any, ...], ...]],
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    speed_up_worker()
    for batch in batches:
        for number in batch.column(0).to_pylist():
            result = function.value(*calls.value[number])
            yield one_row(_SCHEMA, {"call": number, "result": pickle.dumps(result)})
