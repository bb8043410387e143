"""The Spark session, and the one place that knows classic Spark from Spark Connect."""

from __future__ import annotations

import logging
import os
import pickle
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from uuid import uuid4

from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from gmm_spark.errors import ConfigurationError
from gmm_spark.spark import sockets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

# A module that a worker can't import, or a Python of another minor version.
_MISSING = re.compile(r"No module named '(numpy|pyarrow|gmm_spark)|PYTHON_VERSION_MISMATCH")
_CORES = 64
_LOG = logging.getLogger(__name__)

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
    token: str = ""


# PySpark logs each error about a query by these too, with its text, its values and a Java stack trace, and not through
# the log of the job: secrets in input.where would be shown.
_QUERY_LOGGERS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")


def job_session(name: str) -> SparkSession:
    """Return the session of a batch job: the one that spark-submit prepared, or a new one.

    On a local master the workers run the driver's Python where nothing names another: Spark's own choice, the python3
    of the PATH, is often one without numpy.
    """
    builder = SparkSession.builder.appName(name)
    if not (is_remote() or "SPARK_REMOTE" in os.environ or SparkContext._active_spark_context):  # noqa: SLF001
        SparkContext._ensure_initialized()  # noqa: SLF001 - else a SparkConf knows nothing of spark-submit's
        given = dict(SparkConf().getAll())
        for setting, value in sockets.settings(given.get("spark.master", ""), given).items():
            builder = builder.config(setting, value)
    spark = builder.getOrCreate()
    if not is_connect(spark) and str(spark.sparkContext.master).startswith("local") and not _names_python(spark):
        spark.sparkContext.pythonExec = sys.executable
    for logger in _QUERY_LOGGERS:
        PySparkLogger.getLogger(logger).disabled = True
    return spark


def _names_python(spark: SparkSession) -> bool:
    return "PYSPARK_PYTHON" in os.environ or spark.sparkContext.getConf().contains("spark.pyspark.python")


@contextmanager
def workers_explained(spark: SparkSession) -> Iterator[None]:
    """Replace the error of a Python worker that misses a package by one that names both interpreters.

    Raises:
        ConfigurationError: the workers' Python lacks numpy, pyarrow or gmm_spark, or is of another version.
    """
    try:
        yield
    except PySparkException as error:
        missing = _MISSING.search(str(error))
        if missing is None:
            raise
        raise ConfigurationError(
            "the Python of Spark's workers",
            got=f"{_workers_python(spark)}, which has no {missing[1]}" if missing[1] else _workers_python(spark),
            expected=f"the packages and version of the driver's, {sys.executable}",
            do="Set PYSPARK_PYTHON to the driver's before the session starts (spark.pyspark.python on a cluster)."
            if missing[1] != "gmm_spark"
            else "Send it along: --py-files dist/gmm_spark.zip, which scripts/package.sh makes.",
        ) from error


def _workers_python(spark: SparkSession) -> str:
    if is_connect(spark):
        return "that of the Spark Connect server"
    name = str(spark.sparkContext.pythonExec)
    return shutil.which(name) or name


def is_connect(spark: SparkSession) -> bool:
    """Return whether this session talks to a Spark Connect server: no SparkContext, no broadcast."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def jvm(spark: SparkSession) -> Any:  # noqa: ANN401 - py4j's view of all Java packages
    """Return the Java packages of the driver, by their names; None on Spark Connect, which has no JVM here."""
    return None if is_connect(spark) else spark._jvm  # noqa: SLF001 - no public way


def hadoop(spark: SparkSession) -> tuple[Any, Any]:
    """Return the Java package org.apache.hadoop.fs, and the configuration by which a Path finds its filesystem.

    Spark itself reads and writes through these, so what it reaches is reached here. Not on Spark Connect.
    """
    return jvm(spark).org.apache.hadoop.fs, spark._jsc.hadoopConfiguration()  # noqa: SLF001 - no public way


def query_of(rows: DataFrame) -> Any:  # noqa: ANN401 - a Java object
    """Return the QueryExecution of a data frame, which knows its plans. Not on Spark Connect."""
    return rows._jdf.queryExecution()  # noqa: SLF001 - no public way


def has_ended(spark: SparkSession) -> bool:
    """Return whether Spark has stopped, or its JVM is gone."""
    context: Any = spark.sparkContext
    try:
        return bool(context._jsc.sc().isStopped())  # noqa: SLF001 - no public way
    except Exception as error:  # noqa: BLE001 - whatever py4j says of a JVM that is gone
        _LOG.debug("no answer from the JVM: %s", error)
        return True


@contextmanager
def carried(spark: SparkSession, value: T, most_bytes: int) -> Iterator[Shipped[T]]:
    """Send a value to the tasks of the jobs run inside, as `shipped` does; one of few bytes within their function.

    That spares a pass over few rows the broadcast. The function, and so the value, belongs to the plan that it is
    given to and to no other: neither a thread that fits at the same time nor the event log can read it, as they can
    the properties of a job.
    """
    if is_connect(spark) or len(pickle.dumps(value)) <= most_bytes:
        yield _Carried(value)
        return
    with shipped(spark, value) as parcel:
        yield parcel


@contextmanager
def shipped(spark: SparkSession, value: T) -> Iterator[Shipped[T]]:
    """Send a value to the tasks of the jobs run inside, and take it back afterwards.

    Closures over a megabyte become temporary files that nothing deletes: hence an explicit broadcast,
    destroyed at the end. On Spark Connect the plan itself carries the value.
    """
    if is_connect(spark):
        # No two of them are equal: Spark would keep the blocks of two equal fits once, until the first of them ends.
        yield _Carried(value, uuid4().hex)
        return
    broadcast = spark.sparkContext.broadcast(value)
    try:
        yield broadcast
    finally:
        broadcast.destroy()


def result_limit(spark: SparkSession) -> int:
    """Return the most bytes that Spark lets a job bring to the driver, spark.driver.maxResultSize; 0: no limit."""
    text = str(spark.conf.get("spark.driver.maxResultSize", "1g")).strip().lower().removesuffix("b")
    shift = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50}.get(text[-1:])
    return int(text[:-1]) << shift if shift else int(text)


def encrypts_files(spark: SparkSession) -> bool:
    """Return whether what Spark writes to local disks is encrypted, so that nothing may be there in plain."""
    return str(spark.conf.get("spark.io.encryption.enabled", "false")).lower() == "true"


def cores(spark: SparkSession) -> int:
    """Return how many tasks can run at a time, as far as is known; many on Spark Connect, which does not say."""
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
