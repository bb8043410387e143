"""The Spark session, and the one place that knows classic Spark from Spark Connect."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH_BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Shipped(Protocol[T_co]):
    """A value that a task can read: a broadcast, or the value itself."""

    @property
    def value(self) -> T_co:
        """The value."""
        ...


@dataclass(frozen=True)
class _Carried(Generic[T]):
    value: T


def job_session(name: str) -> SparkSession:
    """Return the session of a batch job: the one that spark-submit prepared, or a new one."""
    return SparkSession.builder.appName(name).getOrCreate()


def is_connect(spark: SparkSession) -> bool:
    """Tell whether this session talks to a Spark Connect server: no SparkContext, no broadcast."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


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
