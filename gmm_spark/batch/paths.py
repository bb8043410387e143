"""Paths as the options give them, to locations on any filesystem that Spark reaches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]

from gmm_spark.batch.hadoop import HadoopLocation, matching, qualified
from gmm_spark.batch.local import LocalLocation
from gmm_spark.batch.location import Location
from gmm_spark.errors import ConfigurationError
from gmm_spark.spark.session import is_connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Location", "locate", "matches"]


def locate(spark: SparkSession, path: str) -> Location:
    """Return the location of a path as Spark understands it.

    Raises:
        ConfigurationError: Spark knows no filesystem for the path, or is not on this side of a connection.
    """
    _refuse_connect(spark)
    try:
        return _location(spark, qualified(spark, path))
    except Py4JJavaError as error:
        raise _unreachable(path, error) from error


def matches(spark: SparkSession, path: str) -> tuple[Location, ...]:
    """Return the locations that exist under a name, which may hold * patterns.

    Raises:
        ConfigurationError: as `locate`.
    """
    _refuse_connect(spark)
    try:
        return tuple(_location(spark, found) for found in matching(spark, path))
    except Py4JJavaError as error:
        raise _unreachable(path, error) from error


def _location(spark: SparkSession, path: Any) -> Location:  # noqa: ANN401 - a Java object
    uri = path.toUri()
    return LocalLocation(Path(str(uri.getPath()))) if uri.getScheme() == "file" else HadoopLocation(spark, path)


def _refuse_connect(spark: SparkSession) -> None:
    if is_connect(spark):
        raise ConfigurationError(
            "the session", got="Spark Connect", expected="a classic session", do="Submit the job without --remote."
        )


def _unreachable(path: str, error: Py4JJavaError) -> ConfigurationError:
    return ConfigurationError(
        f"the path {path}",
        got=str(error.java_exception.getMessage()),
        expected="a path on a filesystem that Spark reaches",
        do="Correct the path, or give Spark the package of that filesystem.",
    )
