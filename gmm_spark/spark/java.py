"""The exceptions as which Java's complaints arrive; apart, because it imports Spark."""

from __future__ import annotations

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

JAVA = (Py4JJavaError, PySparkException)
