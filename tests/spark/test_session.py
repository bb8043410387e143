"""The session of a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from pyspark.errors import AnalysisException
from pyspark.logger import PySparkLogger

from gmm_spark.spark.session import job_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_spark_does_not_log_queries_past_the_log_of_the_job(spark: SparkSession) -> None:
    """A wrong condition with a secret raises its error, and PySpark's loggers print nothing."""
    records, query = _Records(), PySparkLogger.getLogger("SQLQueryContextLogger")
    query.addHandler(records)
    try:
        with pytest.raises(AnalysisException, match="nope"):
            job_session("test").range(1).filter("nope = 's3cret'").schema  # noqa: B018 - Connect resolves here
        assert spark.range(1).count() == 1
        assert records.messages == []
    finally:
        query.removeHandler(records)
        query.disabled = False
