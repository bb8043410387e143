"""The Spark session, and the one place that distinguishes classic Spark from Spark Connect."""

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


class TaskValue(Protocol[T_co]):
    """A value that a task can read: a broadcast, or the value itself."""

    @property
    def value(self) -> T_co:
        """The value."""
        ...


@dataclass(frozen=True)
class _PlanValue(Generic[T]):
    value: T
    token: str = ""


# PySpark also logs each error about a query by these loggers, with its text, its values and a Java stack trace, past
# the log of the job: secrets in input.where would be printed.
_QUERY_LOGGERS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")


def job_session(name: str) -> SparkSession:
    """Return the session of a batch job: the one that spark-submit prepared, or a new one.

    On a local master the workers run the driver's Python unless a setting names another: Spark's default, the python3
    of the PATH, often has no numpy.
    """
    builder = SparkSession.builder.appName(name)
    if not (is_remote() or "SPARK_REMOTE" in os.environ or SparkContext._active_spark_context):  # noqa: SLF001
        SparkContext._ensure_initialized()  # noqa: SLF001 - else a SparkConf lacks the settings of spark-submit
        configured = dict(SparkConf().getAll())
        for setting, value in sockets.settings(configured.get("spark.master", ""), configured).items():
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
def explain_worker_errors(spark: SparkSession) -> Iterator[None]:
    """Replace the error of a Python worker without a package by an error that names both interpreters.

    Raises:
        ConfigurationError: the workers' Python lacks numpy, pyarrow or gmm_spark, or has another version.
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
            expected=f"the packages and version of the driver's Python, {sys.executable}",
            do="Set PYSPARK_PYTHON to the driver's before the session starts (spark.pyspark.python on a cluster)."
            if missing[1] != "gmm_spark"
            else "Send it along: --py-files dist/gmm_spark.zip, which scripts/package.sh makes.",
        ) from error


def _workers_python(spark: SparkSession) -> str:
    if is_connect(spark):
        return "the Python of the Spark Connect server"
    name = str(spark.sparkContext.pythonExec)
    return shutil.which(name) or name


def is_connect(spark: SparkSession) -> bool:
    """Return whether this is a session of a Spark Connect server: no SparkContext, no broadcast."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def jvm(spark: SparkSession) -> Any:  # noqa: ANN401 - py4j's view of all Java packages
    """Return py4j's view of the driver's Java packages; None on Spark Connect, whose JVM is not on this machine."""
    return None if is_connect(spark) else spark._jvm  # noqa: SLF001 - no public way


def hadoop(spark: SparkSession) -> tuple[Any, Any]:
    """Return the Java package org.apache.hadoop.fs, and the configuration by which a Path finds its filesystem.

    Spark itself reads and writes through them: every filesystem that Spark reaches works. Not on Spark Connect.
    """
    return jvm(spark).org.apache.hadoop.fs, spark._jsc.hadoopConfiguration()  # noqa: SLF001 - no public way


def query_of(rows: DataFrame) -> Any:  # noqa: ANN401 - a Java object
    """Return the QueryExecution of a data frame, which has its plans. Not on Spark Connect."""
    return rows._jdf.queryExecution()  # noqa: SLF001 - no public way


def has_ended(spark: SparkSession) -> bool:
    """Return whether Spark has stopped, or its JVM is gone."""
    context: Any = spark.sparkContext
    try:
        return bool(context._jsc.sc().isStopped())  # noqa: SLF001 - no public way
    except Exception as error:  # noqa: BLE001 - py4j raises different errors where the JVM is gone
        _LOG.debug("no answer from the JVM: %s", error)
        return True


@contextmanager
def send_with_plan(spark: SparkSession, value: T, most_bytes: int) -> Iterator[TaskValue[T]]:
    """Send a value to the tasks of the jobs run inside; a small one within their function, else as `send_to_tasks`.

    This saves a pass over few rows the time of a broadcast. The function, and so the value, belongs to one plan:
    neither another thread nor the event log can read it; both can read the properties of a job.
    """
    if is_connect(spark) or len(pickle.dumps(value)) <= most_bytes:
        yield _PlanValue(value)
        return
    with send_to_tasks(spark, value) as task_value:
        yield task_value


@contextmanager
def send_to_tasks(spark: SparkSession, value: T) -> Iterator[TaskValue[T]]:
    """Send a value to the tasks of the jobs run inside, and remove it from the executors afterwards.

    Spark makes temporary files of closures over a megabyte and never deletes them: hence an explicit broadcast,
    destroyed at the end. On Spark Connect the value is in the plan.
    """
    if is_connect(spark):
        # The token makes plans differ: Spark would share the blocks of two equal fits, and the first to end drops them.
        yield _PlanValue(value, uuid4().hex)
        return
    broadcast = spark.sparkContext.broadcast(value)
    try:
        yield broadcast
    finally:
        broadcast.destroy()


def result_limit(spark: SparkSession) -> int:
    """Return spark.driver.maxResultSize: the most bytes that a job may bring to the driver; 0: no limit."""
    text = str(spark.conf.get("spark.driver.maxResultSize", "1g")).strip().lower().removesuffix("b")
    shift = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50}.get(text[-1:])
    return int(text[:-1]) << shift if shift else int(text)


def encrypts_files(spark: SparkSession) -> bool:
    """Return whether Spark encrypts its files on local disks: then no block may be there in plain."""
    return str(spark.conf.get("spark.io.encryption.enabled", "false")).lower() == "true"


def cores(spark: SparkSession) -> int:
    """Return how many tasks can run at a time; 64 on Spark Connect, which does not report it."""
    return _CORES if is_connect(spark) else spark.sparkContext.defaultParallelism


def set_job_description(spark: SparkSession, text: str) -> None:
    """Set the description of the next jobs in the Spark UI; Spark Connect has none."""
    if not is_connect(spark):
        spark.sparkContext.setJobDescription(text)


@contextmanager
def job_description(spark: SparkSession, text: str) -> Iterator[None]:
    """Set the description of the jobs run inside, in the Spark UI; the caller's description is restored afterwards."""
    if is_connect(spark):
        yield
        return
    before = spark.sparkContext.getLocalProperty("spark.job.description")
    set_job_description(spark, text)
    try:
        yield
    finally:
        set_job_description(spark, before)  # type: ignore[arg-type] # None, where there was none, clears it
