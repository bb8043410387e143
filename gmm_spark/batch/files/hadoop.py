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

# There a file appears when it is closed, whole, and takes the place of an old one; a rename would copy it.
_OBJECT_STORES = frozenset({"s3", "s3a", "s3n", "gs", "abfs", "abfss", "wasb", "wasbs", "oss", "cosn", "obs", "oci"})
# Names of one store: what is written by one of them is read by the other.
_ONE_STORE = {"s3": "s3a", "s3n": "s3a", "abfss": "abfs", "wasbs": "wasb"}


@dataclass(frozen=True)
class HadoopLocation(Location):
    """A file or folder behind a Hadoop FileSystem.

    Args:
        spark: the session that knows the filesystems.
        path: its fully qualified Hadoop Path.
        listed: its FileStatus where a listing has returned it: a table has thousands of files, each a question else.
        text: the path as text, where it is known already, for the same reason.
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
        # Hadoop would take the first part of a relative name with a colon for a scheme.
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
        """Return False: Hadoop's filesystems follow links, or have none."""
        return False

    def resolved(self) -> HadoopLocation:
        """Return this location, as above."""
        return self

    def is_root(self) -> bool:
        """Say whether this is the root of the filesystem or bucket."""
        return self.path.getParent() is None

    def occupant(self) -> str | None:
        """Return None: this process lives on the local filesystem."""
        return None

    def children(self) -> list[Location]:
        """Return what is in this folder, by name."""
        if not self.is_folder():
            return []
        found = self._filesystem().listStatus(self.path)
        paths = ((each, each.getPath()) for each in found)
        return sorted((HadoopLocation(self.spark, path, each, str(path.toString())) for each, path in paths), key=str)

    def holds(self, pattern: str) -> bool:
        """Say whether a name in this folder fits a pattern."""
        try:
            return len(self._filesystem().listStatus(self.path, hadoop(self.spark)[0].GlobFilter(pattern))) > 0
        except JAVA_ERRORS as error:
            if isinstance(_as_os_error(error), FileNotFoundError):
                return False
            raise

    def size(self) -> int:
        """Return the bytes of this file."""
        return int((self.listed or self._status()).getLen())

    def age(self) -> float:
        """Return the seconds since this file was written last, by the filesystem's clock and ours."""
        return time.time() - int(self._status().getModificationTime()) / 1000

    def make_folder(self) -> None:
        """Make this folder and those around it."""
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
        """Write this file if there is none; on HDFS the name is taken in one step."""
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

    def exchange(self, other: Location) -> bool:  # noqa: ARG002 - Hadoop has no such step
        """Return False: Hadoop has no such step."""
        return False

    def discard(self) -> None:
        """Remove the file or the folder with all that it holds."""
        try:
            self._filesystem().delete(self.path, True)  # noqa: FBT003 - Java has no keywords
        except (Py4JError, PySparkException, OSError) as error:
            self._left_behind(self, error)

    def remove_at_exit(self, *, wanted: bool) -> None:
        """Have the JVM remove this file when it ends, or no longer."""
        files = self._filesystem()
        (files.deleteOnExit if wanted else files.cancelDeleteOnExit)(self.path)

    def address(self) -> tuple[str, ...]:
        """Return filesystem, host and the parts of the path, mounts of viewfs followed."""
        try:
            uri, missing = self._mounted()
        except JAVA_ERRORS:  # what cannot be looked at has its name alone: reading or writing there reports why
            uri, missing = self.path.toUri(), []
        scheme, parts = str(uri.getScheme()), (*parts_of(str(uri.getPath())), *missing)
        if scheme == "file":
            return ("file", "", *parts_of(os.path.realpath(Path(*parts))))
        return (_ONE_STORE.get(scheme, scheme), str(uri.getAuthority()), *parts)

    def _mounted(self) -> tuple[Any, list[str]]:
        """Return the URI of the innermost place around this one that exists, mounts followed, and the names below."""
        place, missing = self, list[str]()
        while not place.is_root() and not place.exists():
            missing.insert(0, place.name)
            place = place.parent()
        return (place._filesystem().resolvePath(place.path) if place.exists() else place.path).toUri(), missing  # noqa: SLF001

    def _move(self, to: Location) -> bool:
        # Hadoop would move a folder into one that is there.
        return not to.exists() and bool(self._filesystem().rename(self.path, hadoop(self.spark)[0].Path(str(to))))

    def _rename_over(self, to: HadoopLocation) -> None:
        fs, configuration = hadoop(self.spark)
        overwrite = fs.Options.Rename.OVERWRITE
        options = jvm(self.spark).java.lang.reflect.Array.newInstance(overwrite.getClass(), 1)
        options[0] = overwrite
        fs.FileContext.getFileContext(to.path.toUri(), configuration).rename(self.path, to.path, options)

    def _write(self, text: str, *, overwrite: bool) -> None:
        """Write this file; what could not be written to its end is removed, unless a store still has the old file."""
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


def qualified(spark: SparkSession, path: str) -> Any:  # noqa: ANN401 - a Java object
    """Return the Hadoop Path of a text, with its filesystem and from its root.

    Raises:
        Py4JJavaError: Spark knows no filesystem for it.
    """
    fs, configuration = hadoop(spark)
    raw = fs.Path(path)
    return raw.getFileSystem(configuration).makeQualified(raw)


def matching(spark: SparkSession, path: str) -> list[Any]:
    """Return the Hadoop Paths that exist under a name, which may hold * patterns."""
    pattern = qualified(spark, path)
    return [found.getPath() for found in pattern.getFileSystem(hadoop(spark)[1]).globStatus(pattern) or []]


def _as_os_error(error: Exception) -> OSError:
    text = next(complaints(error), str(error))
    return (FileNotFoundError if "FileNotFoundException" in text else OSError)(text)
