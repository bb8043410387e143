"""The classes of exceptions that wrap Java errors; a module of its own because it imports Spark."""

from __future__ import annotations

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

JAVA_ERRORS = (Py4JJavaError, PySparkException)
