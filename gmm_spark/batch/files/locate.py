"""Turn the paths of the options into locations on any filesystem that Spark reaches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmm_spark.batch.files.hadoop import HadoopLocation, glob, qualified_path
from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.files.location import Location
from gmm_spark.errors import ConfigurationError, GmmSparkError, InputError, OutputError
from gmm_spark.spark.complaints import complaints, first_line, reason
from gmm_spark.spark.java import JAVA_ERRORS
from gmm_spark.spark.packages import filesystem_advice, lacks_filesystem
from gmm_spark.spark.session import is_connect

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Location", "Source", "locate", "matches"]

Source = Location | str  # something that the job reads; its name if its location is unknown
_PATTERN = frozenset("{}[]*?\\")  # a path with any of these is a pattern, to Spark as to Hadoop


def locate(spark: SparkSession, path: str, kind: type[GmmSparkError] = OutputError) -> Location:
    """Return the location of a path as Spark understands it.

    Args:
        spark: the session that knows the filesystems.
        path: the path.
        kind: the class of the error if the filesystem cannot be reached.

    Raises:
        ConfigurationError: Spark has no filesystem for the path, or the session is Spark Connect.
        GmmSparkError: the filesystem cannot be reached.
    """
    _refuse_connect(spark)
    try:
        return _location(spark, qualified_path(spark, path))
    except JAVA_ERRORS as error:
        raise _unreachable(spark, path, error, kind) from error


def matches(spark: SparkSession, path: str) -> tuple[Location, ...]:
    """Return the existing locations that match a path, which may contain * patterns.

    Raises:
        ConfigurationError: as `locate`.
        InputError: the filesystem cannot be reached.
    """
    _refuse_connect(spark)
    try:
        if _PATTERN.isdisjoint(path):  # not by glob: it allows no colon in a name
            place = _location(spark, qualified_path(spark, path))
            return (place,) if place.exists() else ()
        return tuple(_location(spark, match) for match in glob(spark, path))
    except JAVA_ERRORS as error:
        raise _unreachable(spark, path, error, InputError) from error


def _location(spark: SparkSession, path: Any) -> Location:  # noqa: ANN401 - a Java object
    uri = path.toUri()
    return LocalLocation(Path(str(uri.getPath()))) if uri.getScheme() == "file" else HadoopLocation(spark, path)


def _refuse_connect(spark: SparkSession) -> None:
    if is_connect(spark):
        raise ConfigurationError(
            "the session", got="Spark Connect", expected="a classic session", do="Submit the job without --remote."
        )


def _unreachable(spark: SparkSession, path: str, error: Exception, kind: type[GmmSparkError]) -> GmmSparkError:
    got = next((text for text in complaints(error) if lacks_filesystem(text)), None)
    if got is not None:
        return ConfigurationError(
            f"the path {path}",
            got=first_line(got),
            expected="a path on a filesystem that Spark reaches",
            do=filesystem_advice(spark, path),
        )
    if any("URISyntaxException" in text for text in complaints(error)):
        return ConfigurationError(
            f"the path {path}",
            got="a name with a colon in a relative path or a pattern, or in a folder that a pattern searches",
            expected="a path that Hadoop can read",
            do="Write ./ before a relative path, and use no * in a folder where a name has a colon.",
        )
    return kind(
        f"the path {path}",
        got=reason(error),
        expected="a path on a filesystem that Spark reaches",
        do="Correct the path: its bucket or host must exist, and the filesystem's settings must give this user access.",
    )
