"""Any other filesystem that Spark reaches, through Hadoop's own classes in the driver's JVM."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from gmm_spark.batch.files.location import Location, parts_of
from gmm_spark.spark.complaints import complaints
from gmm_spark.spark.java import JAVA_ERRORS
from gmm_spark.spark.session import hadoop, jvm

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# In these stores a file appears complete when it is closed, and replaces an old one; a rename copies it.
_OBJECT_STORES = frozenset({"s3", "s3a", "s3n", "gs", "abfs", "abfss", "wasb", "wasbs", "oss", "cosn", "obs", "oci"})
# Two schemes of the same store: a file written with one of them can be read with the other.
_ONE_STORE = {"s3": "s3a", "s3n": "s3a", "abfss": "abfs", "wasbs": "wasb"}


@dataclass(frozen=True)
class HadoopLocation(Location):
    """A file or folder behind a Hadoop FileSystem.

    Args:
        spark: the session that knows the filesystems.
        path: its fully qualified Hadoop Path.
        listed: its FileStatus if it comes from a listing: saves a request for each of a table's thousands of files.
        text: the path as text if it comes from a listing, for the same reason.
    """

    spark: SparkSession
    path: Any
    listed: Any = field(default=None, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return self.text or str(self.path.toString())

    @property
    def name(self) -> str:
        """The last part of the path."""
        return str(self).rpartition("/")[2]

    def child(self, name: str) -> HadoopLocation:
        """Return the location of a name in this folder."""
        # Hadoop would read the part of a relative name before a colon as a scheme.
        return HadoopLocation(self.spark, hadoop(self.spark)[0].Path(self.path, f"./{name}"))

    def parent(self) -> HadoopLocation:
        """Return the folder that holds this one."""
        return HadoopLocation(self.spark, self.path.getParent() or self.path)

    def exists(self) -> bool:
        """Say whether there is a file or folder."""
        return bool(self._filesystem().exists(self.path))

    def is_file(self) -> bool:
        """Say whether there is a file."""
        return (self.listed is not None or self.exists()) and bool((self.listed or self._status()).isFile())

    def is_folder(self) -> bool:
        """Say whether there is a folder."""
        return (self.listed is not None or self.exists()) and bool((self.listed or self._status()).isDirectory())

    def is_link(self) -> bool:
        """Return False: Hadoop's filesystems follow links or have no links."""
        return False

    def resolved(self) -> HadoopLocation:
        """Return this location: Hadoop's filesystems follow links or have no links."""
        return self

    def is_root(self) -> bool:
        """Say whether this is the root of the filesystem or bucket."""
        return self.path.getParent() is None

    def occupant(self) -> str | None:
        """Return None: the current folder and the home folder are on the local filesystem."""
        return None

    def children(self) -> list[Location]:
        """Return the files and folders in this folder, sorted by name."""
        if not self.is_folder():
            return []
        statuses = self._filesystem().listStatus(self.path)
        paths = ((status, status.getPath()) for status in statuses)
        entries = (HadoopLocation(self.spark, path, status, str(path.toString())) for status, path in paths)
        return sorted(entries, key=str)

    def holds(self, pattern: str) -> bool:
        """Say whether a name in this folder matches a pattern."""
        try:
            return len(self._filesystem().listStatus(self.path, hadoop(self.spark)[0].GlobFilter(pattern))) > 0
        except JAVA_ERRORS as error:
            if isinstance(_as_os_error(error), FileNotFoundError):
                return False
            raise

    def size(self) -> int:
        """Return the size of this file in bytes."""
        return int((self.listed or self._status()).getLen())

    def age(self) -> float:
        """Return the seconds since the last write of this file: our clock minus the filesystem's time."""
        return time.time() - int(self._status().getModificationTime()) / 1000

    def make_folder(self) -> None:
        """Create this folder and its parents."""
        self._filesystem().mkdirs(self.path)

    def head(self, most: int) -> bytes:
        """Return the first bytes of this file."""
        try:
            stream = self._filesystem().open(self.path)
            try:
                return bytes(stream.readNBytes(most))
            finally:
                stream.close()
        except JAVA_ERRORS as error:
            raise _as_os_error(error) from error

    def create(self, text: str) -> bool:
        """Write this file if it does not exist; on HDFS this is one atomic step."""
        try:
            self._write(text, overwrite=False)
        except JAVA_ERRORS:
            if self.exists():
                return False
            raise
        return True

    def replace(self, text: str) -> None:
        """Write this file by a rename over the old one; by a plain write on object stores."""
        if self._in_object_store():
            self._write(text, overwrite=True)
            return
        draft = self.parent().child(f".{self.name}-{uuid.uuid4().hex[:8]}.draft")
        draft._write(text, overwrite=True)  # noqa: SLF001 - of this class
        try:
            draft._rename_over(self)  # noqa: SLF001 - as above
        except BaseException:
            draft.discard()
            raise

    def exchange(self, other: Location) -> bool:  # noqa: ARG002 - see the docstring
        """Return False: Hadoop cannot exchange two folders."""
        return False

    def discard(self) -> None:
        """Remove this file, or this folder with its contents."""
        try:
            self._filesystem().delete(self.path, True)  # noqa: FBT003 - Java has no keywords
        except (Py4JError, PySparkException, OSError) as error:
            self._left_behind(self, error)

    def remove_at_exit(self, *, wanted: bool) -> None:
        """Ask the JVM to remove this file when the JVM ends, or cancel that."""
        files = self._filesystem()
        (files.deleteOnExit if wanted else files.cancelDeleteOnExit)(self.path)

    def address(self) -> tuple[str, ...]:
        """Return filesystem, host and the parts of the path, with the mounts of viewfs resolved."""
        try:
            uri, missing = self._mounted()
        except JAVA_ERRORS:  # no answer: use the name; the job fails when it reads or writes there
            uri, missing = self.path.toUri(), []
        scheme, parts = str(uri.getScheme()), (*parts_of(str(uri.getPath())), *missing)
        if scheme == "file":
            return ("file", "", *parts_of(os.path.realpath(Path(*parts))))
        return (_ONE_STORE.get(scheme, scheme), str(uri.getAuthority()), *parts)

    def _mounted(self) -> tuple[Any, list[str]]:
        """Return the URI of this path or its innermost existing parent, mounts resolved, and the names below that."""
        place, missing = self, list[str]()
        while not place.is_root() and not place.exists():
            missing.insert(0, place.name)
            place = place.parent()
        return (place._filesystem().resolvePath(place.path) if place.exists() else place.path).toUri(), missing  # noqa: SLF001

    def _move(self, to: Location) -> bool:
        # If the new name were an existing folder, Hadoop would move this one into it.
        return not to.exists() and bool(self._filesystem().rename(self.path, hadoop(self.spark)[0].Path(str(to))))

    def _rename_over(self, to: HadoopLocation) -> None:
        fs, configuration = hadoop(self.spark)
        overwrite = fs.Options.Rename.OVERWRITE
        options = jvm(self.spark).java.lang.reflect.Array.newInstance(overwrite.getClass(), 1)
        options[0] = overwrite
        fs.FileContext.getFileContext(to.path.toUri(), configuration).rename(self.path, to.path, options)

    def _write(self, text: str, *, overwrite: bool) -> None:
        """Write this file; if that fails, remove the partial file, except in a store, which still has the old one."""
        stream = self._filesystem().create(self.path, overwrite)
        try:
            try:
                stream.write(bytearray(text.encode()))
            finally:
                stream.close()
        except BaseException:
            if not self._in_object_store():
                self.discard()
            raise

    def _in_object_store(self) -> bool:
        return str(self.path.toUri().getScheme()) in _OBJECT_STORES

    def _status(self) -> Any:  # noqa: ANN401 - a Java object
        try:
            return self._filesystem().getFileStatus(self.path)
        except JAVA_ERRORS as error:
            raise _as_os_error(error) from error

    def _filesystem(self) -> Any:  # noqa: ANN401 - a Java object
        return self.path.getFileSystem(hadoop(self.spark)[1])


def qualified_path(spark: SparkSession, path: str) -> Any:  # noqa: ANN401 - a Java object
    """Return a path as an absolute Hadoop Path with its filesystem.

    Raises:
        Py4JJavaError: Spark has no filesystem for it.
    """
    fs, configuration = hadoop(spark)
    raw = fs.Path(path)
    return raw.getFileSystem(configuration).makeQualified(raw)


def glob(spark: SparkSession, path: str) -> list[Any]:
    """Return the existing Hadoop Paths that match a path, which may contain * patterns."""
    pattern = qualified_path(spark, path)
    return [status.getPath() for status in pattern.getFileSystem(hadoop(spark)[1]).globStatus(pattern) or []]


def _as_os_error(error: Exception) -> OSError:
    text = next(complaints(error), str(error))
    return (FileNotFoundError if "FileNotFoundException" in text else OSError)(text)
