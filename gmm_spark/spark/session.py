"""The Spark session, and the one place that knows classic Spark from Spark Connect."""

from __future__ import annotations

import os
import pickle
from base64 import b64decode, b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pyspark import SparkConf, SparkContext, TaskContext
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from gmm_spark.spark import sockets

if TYPE_CHECKING:
    from collections.abc import Iterator

# Properties go to each task and to the event log.
_PROPERTY, _MOST_PROPERTY = "gmm_spark.value", 64 << 10
_CORES = 64
_BATCH_BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Shipped(Protocol[T_co]):
    """A value that a task can read: a broadcast, a property of its job, or the value itself."""

    @property
    def value(self) -> T_co:
        """The value."""
        ...


@dataclass(frozen=True)
class _Carried(Generic[T]):
    value: T


def job_session(name: str) -> SparkSession:
    """Return the session of a batch job: the one that spark-submit prepared, or a new one."""
    builder = SparkSession.builder.appName(name)
    if not (is_remote() or "SPARK_REMOTE" in os.environ or SparkContext._active_spark_context):  # noqa: SLF001
        SparkContext._ensure_initialized()  # noqa: SLF001 - else a SparkConf knows nothing of spark-submit's
        given = dict(SparkConf().getAll())
        for setting, value in sockets.settings(given.get("spark.master", ""), given).items():
            builder = builder.config(setting, value)
    return builder.getOrCreate()


def is_connect(spark: SparkSession) -> bool:
    """Tell whether this session talks to a Spark Connect server: no SparkContext, no broadcast."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


@dataclass(frozen=True)
class OfJob(Generic[T]):
    """A value in the properties of the job that reads it: one plan serves one value after the other."""

    @property
    def value(self) -> T:
        """The value; in a task only."""
        context = TaskContext.get()
        assert context is not None  # noqa: S101 - read in tasks only
        value: T = _unpickled(str(context.getLocalProperty(_PROPERTY)))
        return value


@lru_cache(maxsize=1)
def _unpickled(text: str) -> Any:  # noqa: ANN401 - of whatever type was sent
    return pickle.loads(b64decode(text))  # noqa: S301 - from this application's driver, as the function itself is


@contextmanager
def shipped_by_job(spark: SparkSession, value: T) -> Iterator[Shipped[T]]:
    """Send a value to the tasks of the jobs run inside, as `shipped` does; what is small goes with their properties.

    Then the parcel is an `OfJob`, and a DataFrame whose function has one need not be analysed and planned again for
    another value. It must not have a shuffle: Spark keeps the files of one that was run.
    """
    data = b"" if is_connect(spark) else pickle.dumps(value)
    if not 0 < len(data) <= _MOST_PROPERTY:
        with shipped(spark, value) as parcel:
            yield parcel
        return
    spark.sparkContext.setLocalProperty(_PROPERTY, b64encode(data).decode())
    try:
        yield OfJob()
    finally:
        spark.sparkContext.setLocalProperty(_PROPERTY, None)  # type: ignore[arg-type] # None clears it


@contextmanager
def shipped(spark: SparkSession, value: T) -> Iterator[Shipped[T]]:
    """Send a value to the tasks of the jobs run inside, and take it back afterwards.

    Closures over a megabyte become temporary files that nothing deletes: hence an explicit broadcast,
    destroyed at the end. On Spark Connect the plan itself carries the value.
    """
    if is_connect(spark):
        yield _Carried(value)
        return
    broadcast = spark.sparkContext.broadcast(value)
    try:
        yield broadcast
    finally:
        broadcast.destroy()


@contextmanager
def small_batches(spark: SparkSession) -> Iterator[None]:
    """Send blocks to Python a few at a time in the jobs run inside, unless the user has said how many.

    Spark's 64 MB an Arrow batch are fresh pages in both processes: a pass over 256 MB of blocks took
    1.3 s with them and 1.0 s with 4 MB, which stay in the cache.
    """
    if spark.conf.get(_BATCH_BYTES, None) is not None:
        yield
        return
    spark.conf.set(_BATCH_BYTES, "4m")
    try:
        yield
    finally:
        spark.conf.unset(_BATCH_BYTES)


def result_limit(spark: SparkSession) -> int:
    """Return the most bytes that Spark lets a job bring to the driver, spark.driver.maxResultSize; 0: no limit."""
    text = str(spark.conf.get("spark.driver.maxResultSize", "1g")).strip().lower().removesuffix("b")
    shift = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50}.get(text[-1:])
    return int(text[:-1]) << shift if shift else int(text)


def encrypts_files(spark: SparkSession) -> bool:
    """Tell whether what Spark writes to local disks is encrypted, so that nothing may lie there in plain."""
    return str(spark.conf.get("spark.io.encryption.enabled", "false")).lower() == "true"


def cores(spark: SparkSession) -> int:
    """Return how many tasks can run at a time, as far as is known; many on Spark Connect, which does not tell."""
    return _CORES if is_connect(spark) else spark.sparkContext.defaultParallelism


def describe(spark: SparkSession, text: str) -> None:
    """Name the next jobs in the Spark UI; Spark Connect has no such name."""
    if not is_connect(spark):
        spark.sparkContext.setJobDescription(text)


@contextmanager
def described(spark: SparkSession, text: str) -> Iterator[None]:
    """Name the jobs run inside in the Spark UI, and give the caller's name back afterwards."""
    if is_connect(spark):
        yield
        return
    before = spark.sparkContext.getLocalProperty("spark.job.description")
    describe(spark, text)
    try:
        yield
    finally:
        describe(spark, before)  # type: ignore[arg-type] # None, where there was none, clears it
