"""The files of an input: what they were when a run looked first, and whether they still are before it publishes.

Spark lists the files of a table once, when it analyses a query, and reads them by name later: a file that is replaced
in between is read in its new state, beside old ones, without an error. So the list is taken again before a run
publishes, by Spark's own listing (in parallel where there are many folders), and compared: name, size, modification
time and, where the store has one, the entity tag. Local files are compared by the nanosecond, others by what Hadoop
knows, which is the millisecond on HDFS and the second on some stores.

A file that was added is not read, and is reported only. Tables with a log (Delta, Iceberg) are another matter: their
plans take the newest version each time they are run, so that any other version, by its files or its name, is refused.
What is not made of files (JDBC, a cached table) cannot be
compared; a fit of it still checks that the rows it packs are those that it surveyed.

Not seen: a file that was rewritten with its size and modification time as before, such as by `cp -p` or `rsync -t`.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException

from gmm_spark.errors import GmmSparkError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pyspark.sql import DataFrame

_LOG = logging.getLogger(__name__)
_OF_SPARK = "org.apache.spark.sql.execution."  # that of Delta is org.apache.spark.sql.delta
_ETAG = "org.apache.hadoop.fs.EtagSource"


class FileState(NamedTuple):
    """What one file is, as far as its filesystem reports it.

    Args:
        size: bytes.
        modified: milliseconds since 1970.
        mark: nanoseconds of the modification time of a local file, the entity tag in a store; None elsewhere.
    """

    size: int
    modified: int
    mark: str | None = None


Files = dict[str, FileState]


@dataclass(frozen=True)
class Snapshot:
    """The files that a DataFrame reads.

    Args:
        files: each by its path.
        text: the listing as Java prints it. It is compared and never parsed: an equal text is an equal listing, and
            spares 10,000 files the 3 s that their numbers take to come over one by one.
        pinned: whether the plan keeps its list, as those of Spark's own sources do.
    """

    files: Mapping[str, FileState]
    text: str = field(repr=False)
    pinned: bool = True


@dataclass(frozen=True)
class Changes:
    """How two lists of files differ."""

    removed: tuple[str, ...]
    changed: tuple[str, ...]
    added: tuple[str, ...]

    @staticmethod
    def between(before: Mapping[str, FileState], after: Mapping[str, FileState]) -> Changes:
        """Return what became of the files before."""
        return Changes(
            tuple(sorted(before.keys() - after.keys())),
            tuple(sorted(path for path in before.keys() & after.keys() if before[path] != after[path])),
            tuple(sorted(after.keys() - before.keys())),
        )

    @property
    def harm(self) -> bool:
        """Whether a file that was read is not what it was."""
        return bool(self.removed or self.changed)

    def __str__(self) -> str:
        first = next(iter((*self.changed, *self.removed, *self.added)), "none")
        counts = f"{len(self.changed)} changed, {len(self.removed)} removed, {len(self.added)} added"
        return f"files that are not what they were: {counts}; such as {first}"


def taken(rows: DataFrame) -> Snapshot | None:
    """Return the files that a DataFrame reads, as its plan has listed them; None where it reads no files.

    A condition on partition columns leaves the files of the others out.
    """
    listings = _listings(rows)
    if not listings:
        return None
    files = {path: state for listing in listings for path, state in _files(rows, listing)}
    return Snapshot(_with_nanoseconds(files), _text(listings), _is_pinned(rows))


def check(before: Snapshot, reread: Callable[[], DataFrame]) -> Changes:
    """Compare the files of an input with those now, and refuse what has changed under a run.

    Args:
        before: the files when they were listed first.
        reread: returns the rows of the same path or table from a new listing.

    Returns:
        The changes that do no harm: files that were added.

    Raises:
        InputError: a file was removed or changed, or added to a table whose plan would read it.
    """
    changes = _changes(before, reread)
    if changes.harm or (changes.added and not before.pinned):
        raise InputError(
            "the input",
            got=str(changes),
            expected="files that stay as they are while the job runs",
            do="Run again once the input is complete; nothing was published.",
        )
    if changes.added:
        fields = {"event": "input_grew", "added": len(changes.added)}
        message = "%d files were added to the input during the run and are not in the result, such as %s"
        _LOG.warning(message, len(changes.added), changes.added[0], extra={"fields": fields})
    return changes


def version(rows: DataFrame) -> str | None:
    """Return what version Spark knows of a table's snapshot; None where it has none."""
    leaf: Any = rows._jdf.queryExecution().analyzed().collectLeaves().head()  # noqa: SLF001 - no public way knows it
    try:
        return cast("str | None", leaf.table().version())
    except Py4JError:  # a table without snapshots
        return None


def check_version(before: str, reread: Callable[[], DataFrame]) -> None:
    """Refuse a table that has another version than before; arguments as `check`.

    Raises:
        InputError: it has.
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
    """Say whether all lists of files in a plan are those of Spark's own sources, which keep them."""
    names = [_result(partial(_index_of, leaf)) for leaf in _plan_leaves(rows)]
    return all(name is None or str(name).startswith(_OF_SPARK) for name in names)


def _index_of(leaf: Any) -> str:  # noqa: ANN401 - a Java object
    return str(leaf.relation().location().getClass().getName())


def _changes(before: Snapshot, reread: Callable[[], DataFrame]) -> Changes:
    try:
        rows = reread()
        listings = _listings(rows)
    except (PySparkException, Py4JJavaError, GmmSparkError) as error:
        _LOG.debug("the input cannot be listed again: %s", error)
        return Changes(tuple(sorted(before.files)), (), ())
    if _text(listings) == before.text:
        # Hadoop's times are too coarse for a file that is written twice within a millisecond.
        return Changes.between(before.files, _with_nanoseconds(dict(before.files)))
    after = {path: state for listing in listings for path, state in _files(rows, listing)}
    return Changes.between(before.files, _with_nanoseconds(after))


def _text(listings: list[Any]) -> str:
    return "\n".join(str(listing.mkString("\n")) for listing in listings)


def _listings(rows: DataFrame) -> list[Any]:
    """Return the list of files of each scan in a plan: Scala's Seq of PartitionDirectory."""
    # No public way knows them. The scan knows the condition; a condition that never holds leaves no scan to ask.
    query: Any = rows._jdf.queryExecution()  # noqa: SLF001
    nothing = _jvm(rows).scala.collection.immutable.Nil
    found = [_listed(leaf, nothing) for leaf in _leaves(rows, query.sparkPlan())]
    if not any(each is not None for each in found):
        found = [_listed(leaf, nothing) for leaf in _plan_leaves(rows)]
    return [each for each in found if each is not None]


def _listed(leaf: Any, nothing: Any) -> Any | None:  # noqa: ANN401 - Java objects
    """Return the files of a leaf of a plan; None where it reads none."""
    # A scan of Spark's own sources, of those under spark.sql.sources.useV1SourceList="", and a leaf of a logical plan.
    ways: tuple[Callable[[], Any], ...] = (
        lambda: leaf.relation().location().listFiles(leaf.partitionFilters(), leaf.dataFilters()),
        lambda: leaf.scan().fileIndex().listFiles(leaf.scan().partitionFilters(), leaf.scan().dataFilters()),
        lambda: leaf.relation().location().listFiles(nothing, nothing),
    )
    return next((found for way in ways if (found := _result(way)) is not None), None)


def _result(way: Callable[[], Any]) -> Any | None:  # noqa: ANN401 - a Java object
    try:
        return way()
    except Py4JError as error:  # a plan of another kind
        _LOG.debug("no list of files: %s", error)
        return None


def _plan_leaves(rows: DataFrame) -> list[Any]:
    return _leaves(rows, rows._jdf.queryExecution().analyzed())  # noqa: SLF001 - no public way


def _leaves(rows: DataFrame, plan: Any) -> list[Any]:  # noqa: ANN401 - Java objects
    return list(_jvm(rows).scala.jdk.javaapi.CollectionConverters.asJava(plan.collectLeaves()))


def _jvm(rows: DataFrame) -> Any:  # noqa: ANN401 - a Java gateway
    return rows.sparkSession._jvm  # noqa: SLF001 - the only door to it


def _files(rows: DataFrame, listing: Any) -> Iterator[tuple[str, FileState]]:  # noqa: ANN401 - a Java object
    """Yield each file of a list of PartitionDirectory."""
    java = _jvm(rows).scala.jdk.javaapi.CollectionConverters
    tagged: bool | None = None
    for directory in java.asJava(listing):
        for file in java.asJava(directory.files()):
            if tagged is None:  # all of one filesystem
                kind = _jvm(rows).java.lang.Class.forName(_ETAG)
                tagged = bool(kind.isInstance(file.fileStatus()))
            tag = file.fileStatus().getEtag() if tagged else None
            state = FileState(int(file.getLen()), int(file.getModificationTime()), tag)
            yield str(file.getPath().toString()), state


def _with_nanoseconds(files: Files) -> Files:
    return {path: _precise(path, state) for path, state in files.items()}


def _precise(path: str, state: FileState) -> FileState:
    """Return the state of a file by the operating system, if it is one of this machine."""
    if not path.startswith("file:"):
        return state
    try:
        now = os.stat(path.removeprefix("file:"))  # noqa: PTH116 - there may be 10,000 of them
    except OSError:  # gone
        return state._replace(mark="gone")
    if (now.st_size, now.st_mtime_ns // 1_000_000) != (state.size, state.modified):
        return state._replace(mark="changed")  # since the list was taken
    return state._replace(mark=str(now.st_mtime_ns))
