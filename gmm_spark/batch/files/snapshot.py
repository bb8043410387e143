"""The files of an input: their state at the start of a run, and whether it is the same before the run publishes.

Spark lists the files of a table once, when it analyses a query, and reads them by name later: a file that is replaced
in between is read in its new state, beside old ones, without an error. So a run lists the files again before it
publishes, with Spark's own listing (in parallel if there are many folders), and compares name, size, modification
time and, if the store has one, the entity tag. Times of local files are compared in nanoseconds, others in the
resolution that Hadoop reports: milliseconds on HDFS, seconds on some stores.

A file that was added is not read, and is only reported. Plans of tables with a log (Delta, Iceberg) read the newest
version each time they run, so a table whose files or version differ from those at the start is refused.
An input without files (JDBC, a cached table) cannot be compared; a fit still checks that the packed rows are those
that it surveyed.

Not detected: a file that was rewritten with its old size and modification time, as by `cp -p` or `rsync -t`.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from gmm_spark.batch.files.relations import answer, leaves, version
from gmm_spark.errors import GmmSparkError, InputError
from gmm_spark.spark.session import jvm, query_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pyspark.sql import DataFrame

_LOG = logging.getLogger(__name__)
_OF_SPARK = "org.apache.spark.sql.execution."  # the package of Delta is org.apache.spark.sql.delta
_ETAG = "org.apache.hadoop.fs.EtagSource"


class FileState(NamedTuple):
    """The state of one file as its filesystem reports it.

    Args:
        size: bytes.
        modified: milliseconds since 1970.
        mark: the modification time of a local file in nanoseconds; the entity tag in a store; None elsewhere.
    """

    size: int
    modified: int
    mark: str | None = None


Files = dict[str, FileState]


@dataclass(frozen=True)
class Snapshot:
    """The files that a DataFrame reads.

    Args:
        files: the state of each file, by path.
        is_pinned: whether the plan keeps its list of files, as the plans of Spark's own sources do.
    """

    files: Mapping[str, FileState]
    is_pinned: bool = True


@dataclass(frozen=True)
class Changes:
    """How two lists of files differ, by path."""

    removed: tuple[str, ...]
    changed: tuple[str, ...]
    added: tuple[str, ...]

    @staticmethod
    def between(before: Mapping[str, FileState], after: Mapping[str, FileState]) -> Changes:
        """Compare the files before and after."""
        return Changes(
            tuple(sorted(before.keys() - after.keys())),
            tuple(sorted(path for path in before.keys() & after.keys() if before[path] != after[path])),
            tuple(sorted(after.keys() - before.keys())),
        )

    @property
    def is_harmful(self) -> bool:
        """Whether a file that the run has read was removed or changed."""
        return bool(self.removed or self.changed)

    def __str__(self) -> str:
        first = next(iter((*self.changed, *self.removed, *self.added)), "none")
        counts = f"{len(self.changed)} changed, {len(self.removed)} removed, {len(self.added)} added"
        return f"files that differ from those at the start: {counts}; such as {first}"


def take_snapshot(rows: DataFrame) -> Snapshot | None:
    """Return the files that a DataFrame reads, as its plan has listed them; None if it reads no files.

    A condition on partition columns excludes the files of the other partitions.
    """
    files = _listed_files(rows)
    return None if files is None else Snapshot(_with_nanoseconds(files), _is_pinned(rows))


def check_unchanged(before: Snapshot, reread: Callable[[], DataFrame]) -> Changes:
    """Refuse an input whose files have changed since the start of the run.

    Args:
        before: the files at the start.
        reread: returns the rows of the same path or table from a new listing.

    Returns:
        The changes that do no harm: files that were added.

    Raises:
        InputError: a file was removed or changed, or added to a table whose plan would read it.
    """
    try:
        after = _listed_files(reread()) or {}
    except (PySparkException, Py4JJavaError, GmmSparkError) as error:
        _LOG.debug("the input cannot be listed again: %s", error)
        after = {}
    # In nanoseconds: Hadoop's times do not show a second write within one millisecond.
    changes = Changes.between(before.files, _with_nanoseconds(after))
    if changes.is_harmful or (changes.added and not before.is_pinned):
        raise InputError(
            "the input",
            got=str(changes),
            expected="files that do not change while the job runs",
            do="Run again once the input is complete; nothing was published.",
        )
    if changes.added:
        fields = {"event": "input_grew", "added": len(changes.added)}
        message = "%d files were added to the input during the run and are not in the result, such as %s"
        _LOG.warning(message, len(changes.added), changes.added[0], extra={"fields": fields})
    return changes


def check_version(before: str, reread: Callable[[], DataFrame]) -> None:
    """Refuse a table whose version differs from that at the start of the run; arguments as in `check_unchanged`.

    Raises:
        InputError: the versions differ.
    """
    try:
        after = version(reread())
    except (PySparkException, Py4JJavaError, GmmSparkError) as error:
        _LOG.debug("the input cannot be read again: %s", error)
        after = None
    if after != before:
        raise InputError(
            "the input",
            got=f"version {after} of the table",
            expected=f"version {before}, as when the job started",
            do="Run again once nothing writes to it, or name the version in input.options; nothing was published.",
        )


def _is_pinned(rows: DataFrame) -> bool:
    """Say whether all lists of files in a plan belong to Spark's own sources, which keep them."""
    names = (answer(partial(_index_of, leaf)) for leaf in leaves(query_of(rows).analyzed()))
    return all(name is None or name.startswith(_OF_SPARK) for name in names)


def _index_of(leaf: Any) -> str:  # noqa: ANN401 - a Java object
    return str(leaf.relation().location().getClass().getName())


def _listed_files(rows: DataFrame) -> Files | None:
    """Return the files that a plan has listed; None if it reads no files."""
    # The physical plan applies the condition; if the condition can never be true, it has no scan.
    java, query = jvm(rows.sparkSession), query_of(rows)
    for plan in (query.sparkPlan, query.analyzed):
        listings = [listing for leaf in leaves(plan()) if (listing := _listing(java, leaf)) is not None]
        if listings:
            return {path: state for listing in listings for path, state in _states(java, listing)}
    return None


def _listing(java: Any, leaf: Any) -> Any | None:  # noqa: ANN401 - Java objects
    """Return the files of a leaf of a plan, a Scala Seq of PartitionDirectory; None if it reads no files."""
    nothing = java.scala.collection.immutable.Nil
    # A scan of Spark's V1 sources, of its V2 sources (spark.sql.sources.useV1SourceList=""), a leaf of a logical plan.
    ways: tuple[Callable[[], Any], ...] = (
        lambda: leaf.relation().location().listFiles(leaf.partitionFilters(), leaf.dataFilters()),
        lambda: leaf.scan().fileIndex().listFiles(leaf.scan().partitionFilters(), leaf.scan().dataFilters()),
        lambda: leaf.relation().location().listFiles(nothing, nothing),
    )
    return next((listing for way in ways if (listing := answer(way)) is not None), None)


def _states(java: Any, listing: Any) -> Iterator[tuple[str, FileState]]:  # noqa: ANN401 - Java objects
    """Yield path and state of each file in a Seq of PartitionDirectory."""
    as_java, files = java.scala.jdk.javaapi.CollectionConverters.asJava, java.java.util.ArrayList()
    for directory in as_java(listing):
        files.addAll(as_java(directory.files()))
    if files.isEmpty():
        return
    sizes, times = (map(int, _values(java, files, name)) for name in ("getLen", "getModificationTime"))
    tagged = java.java.lang.Class.forName(_ETAG).isInstance(files[0].fileStatus())  # all files are on one filesystem
    marks = [file.fileStatus().getEtag() for file in files] if tagged else repeat(None, len(files))
    yield from zip(_values(java, files, "getPath"), map(FileState, sizes, times, marks), strict=True)


def _values(java: Any, objects: Any, getter: str) -> list[str]:  # noqa: ANN401 - Java objects
    """Return the value of a getter for each Java object in a list, as text.

    The loop runs in Java: one call from Python takes 0.1 ms, and a table may have 10,000 files with three values each.
    """
    collections = java.org.apache.commons.collections4
    transformer = collections.functors.InvokerTransformer.invokerTransformer(getter)
    values = collections.CollectionUtils.collect(objects, transformer)
    return str(java.org.apache.commons.lang3.StringUtils.join(values, "\0")).split("\0")


def _with_nanoseconds(files: Files) -> Files:
    return {path: _precise(path, state) for path, state in files.items()}


def _precise(path: str, state: FileState) -> FileState:
    """Return the state of a local file with the operating system's nanoseconds; any other state as it is."""
    if not path.startswith("file:"):
        return state
    try:
        now = os.stat(path.removeprefix("file:"))  # noqa: PTH116 - there may be 10,000 of them
    except OSError:
        return state._replace(mark="gone")
    if (now.st_size, now.st_mtime_ns // 1_000_000) != (state.size, state.modified):
        return state._replace(mark="changed")  # since Spark's listing
    return state._replace(mark=str(now.st_mtime_ns))
