"""Folders on any filesystem that Spark reaches, through Hadoop's own classes in the driver's JVM."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]

from gmm_spark.errors import ConfigurationError, OutputError
from gmm_spark.spark.session import is_connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Location:
    """A file or folder, known or not yet made.

    Args:
        spark: the session that knows the filesystems.
        path: its fully qualified Hadoop Path.
    """

    spark: SparkSession
    path: Any

    def __str__(self) -> str:
        return str(self.path.toString())

    @property
    def name(self) -> str:
        """The last part of the path."""
        return str(self.path.getName())

    def exists(self) -> bool:
        """Say whether there is a file or folder."""
        return bool(self._filesystem().exists(self.path))

    def sibling(self, name: str) -> Location:
        """Return the location of another name in the same folder."""
        return self.parent().child(name)

    def child(self, name: str) -> Location:
        """Return the location of a name in this folder."""
        return locate(self.spark, f"{str(self).rstrip('/')}/{name}")

    def parent(self) -> Location:
        """Return the folder that holds this one; the root holds itself."""
        return Location(self.spark, self.path.getParent() or self.path)

    def matches(self) -> Iterator[Location]:
        """Yield the locations that exist under this name, which may hold * patterns."""
        for found in self._filesystem().globStatus(self.path) or []:
            yield Location(self.spark, found.getPath())

    def head(self, most: int) -> bytes:
        """Return the first bytes of this file, at most so many.

        Raises:
            OSError: it cannot be read.
        """
        try:
            stream = self._filesystem().open(self.path)
            try:
                return bytes(stream.readNBytes(most))
            finally:
                stream.close()
        except Py4JJavaError as error:
            raise OSError(str(error.java_exception.toString())) from error

    def rename(self, to: Location) -> None:
        """Move this folder.

        Raises:
            OutputError: the filesystem refused.
        """
        if not self._filesystem().rename(self.path, to.path):
            raise OutputError(
                f"the folder {self}",
                got="a filesystem that refused to rename it",
                expected=f"the new name {to}",
                do="Check the permissions of the parent folder, and that no other job writes there.",
            )

    def discard(self) -> None:
        """Remove the file or the folder with all that it holds, if there is any; where that fails, say so and go on."""
        try:
            self._filesystem().delete(self.path, True)  # noqa: FBT003 - Java has no keywords
        except (Py4JError, OSError) as error:  # what ended the job is worth telling more than this
            _LOG.warning("%s is left behind: %s", self, error)

    def overlaps(self, other: Location) -> bool:
        """Say whether one of the two is the other, or lies inside it."""
        here, there = self._parts(), other._parts()
        shared = min(len(here), len(there))
        return here[:shared] == there[:shared]

    def _filesystem(self) -> Any:  # noqa: ANN401 - a Java object
        return self.path.getFileSystem(_hadoop_configuration(self.spark))

    def _parts(self) -> tuple[str, ...]:
        uri = self.path.toUri()
        path = str(uri.getPath())
        if uri.getScheme() == "file":
            path = os.path.realpath(path)  # a link to the input is the input
        return (str(uri.getScheme()), str(uri.getAuthority()), *PurePosixPath(path).parts)


def locate(spark: SparkSession, path: str) -> Location:
    """Return the location of a path as Spark understands it.

    Raises:
        ConfigurationError: Spark knows no filesystem for the path, or is not on this side of a connection.
    """
    if is_connect(spark):
        raise ConfigurationError(
            "the session", got="Spark Connect", expected="a classic session", do="Submit the job without --remote."
        )
    jvm: Any = spark._jvm  # noqa: SLF001 - the only door to Hadoop's filesystems
    try:
        raw = jvm.org.apache.hadoop.fs.Path(path)
        return Location(spark, raw.getFileSystem(_hadoop_configuration(spark)).makeQualified(raw))
    except Py4JJavaError as error:
        raise ConfigurationError(
            f"the path {path}",
            got=str(error.java_exception.getMessage()),
            expected="a path on a filesystem that Spark reaches",
            do="Correct the path, or give Spark the package of that filesystem.",
        ) from error


def _hadoop_configuration(spark: SparkSession) -> Any:  # noqa: ANN401 - a Java object
    return spark._jsc.hadoopConfiguration()  # noqa: SLF001 - as above
