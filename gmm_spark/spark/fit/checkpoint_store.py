"""Checkpoints of a fit through Spark's reader and writer: any filesystem that Spark reaches, classic or Connect.

Checkpoints are written to two folders in turn, `checkpoint-a` and `checkpoint-b`: the previous one stays whole while
the next one is written, and no folder is listed or removed meanwhile, because Spark Connect can do neither.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
from py4j.protocol import Py4JError, Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import AnalysisException, PySparkException

from gmm_spark.em.checkpoint import Identity, damaged, decode_state, encode_state, most_bytes
from gmm_spark.errors import CheckpointError
from gmm_spark.options import CheckpointOptions
from gmm_spark.spark.complaints import reason
from gmm_spark.spark.session import hadoop, is_connect, job_description
from gmm_spark.version import __version__

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader, SparkSession

    from gmm_spark.em import State
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.options import Options
    from gmm_spark.spark.table.prepare import Table

_log = logging.getLogger("gmm_spark")
_SLOTS = ("checkpoint-a", "checkpoint-b")
_FILES = "part-*.txt"  # no other names: Spark would unpack a file named .gz to any size
_READABLE = 64 << 20  # bytes: a checkpoint up to this size is always read, so that the error can name what differs


class Checkpoints(CheckpointOptions):
    """Where and how often a fit writes checkpoints, and whether it resumes from them."""

    def open(self, spark: SparkSession, identity: Identity) -> CheckpointStore:
        """Return the store of the fit with this identity, with the state of its latest checkpoint if there is one.

        Raises:
            CheckpointError: resume is "require" and there is no checkpoint to resume from.
        """
        store = CheckpointStore(self, spark, identity)
        if self.resume != "never":
            with job_description(spark, "gmm fit, looking for a checkpoint"):
                store.load_latest()
        return store

    def clear(self, spark: SparkSession) -> None:
        """Remove the checkpoints; a failure is logged and not raised."""
        try:
            (_empty if is_connect(spark) else _delete)(spark, self.path)
        except (PySparkException, Py4JError) as error:
            _log.warning("the checkpoint in %s was not removed: %s", self.path, error)


@dataclass
class CheckpointStore:
    """The checkpoints of one fit; mutable: which folder is next, and when the last checkpoint was written.

    Args:
        settings: where and how often to write.
        spark: the session.
        identity: of the fit.
        state: where to resume; None: start from the beginning.
        next_slot: the folder of the next checkpoint.
        written: the monotonic time of the last one, in seconds.
    """

    settings: Checkpoints
    spark: SparkSession
    identity: Identity
    state: State | None = None
    next_slot: int = 0
    written: float = field(default_factory=time.monotonic)

    def load_latest(self) -> None:
        """Read the latest usable checkpoint of this fit."""
        usable: list[tuple[int, int, State]] = []
        refused: list[CheckpointError] = []
        for slot, size in _sizes(self.spark, self.settings.path).items():
            state = self._read(slot, size)
            if isinstance(state, CheckpointError):
                refused.append(state)
            else:
                usable.append((len(state.trace.history), _SLOTS.index(slot), state))
        if usable:
            passes, slot_number, self.state = max(usable, key=lambda checkpoint: checkpoint[0])
            self.next_slot = 1 - slot_number
            _log.info("resuming from the checkpoint of pass %d in %s", passes, self.settings.path)
        elif self.settings.resume == "require":
            raise refused[0] if refused else _missing(self.settings.path)
        for error in refused:
            _log.warning(
                "%s a checkpoint that can't be used: %s", "skipped" if usable else "starting again;", error.sentences
            )

    def save(self, state: State) -> None:
        """Write a checkpoint of this state unless the last one is recent; a failure is logged and the fit continues."""
        is_unneeded = state.outcome is not None and not self.settings.keep
        if is_unneeded or time.monotonic() - self.written < self.settings.seconds:
            return
        start = time.perf_counter()
        try:
            with job_description(self.spark, f"gmm fit, checkpoint of pass {len(state.trace.history)}"):
                _write(self.spark, f"{self.settings.path}/{_SLOTS[self.next_slot]}", encode_state(state, self.identity))
        except (PySparkException, Py4JJavaError) as error:
            _log.warning("no checkpoint of pass %d: %s", len(state.trace.history), reason(error))
        else:
            self.next_slot = 1 - self.next_slot
            _log.debug("checkpoint of pass %d: %.2f s", len(state.trace.history), time.perf_counter() - start)
        self.written = time.monotonic()

    def remove_at_end(self) -> None:
        """Remove the checkpoints of a finished fit, unless the caller asked to keep them."""
        if not self.settings.keep:
            self.settings.clear(self.spark)

    def _read(self, slot: str, size: int) -> State | CheckpointError:
        where = f"{self.settings.path}/{slot}"
        most = max(_READABLE, most_bytes(self.identity["k"], self.identity["d"], self.identity["max_iter"]))
        if size > most:
            return damaged(where, f"{size} bytes, where this fit needs at most {most}")
        try:
            return decode_state(
                [row[0] for row in _reader(self.spark, "text").load(where).collect()], self.identity, where
            )
        except CheckpointError as error:
            return error
        except (PySparkException, Py4JJavaError) as error:  # a wrong Hadoop checksum, or a missing file
            return damaged(where, reason(error))


def identity_of(
    table: Table, frame: Coordinates, options: Options, weight_col: str | None, initial: Parameters | None
) -> Identity:
    """Return what identifies a fit: its options, and the survey of its data, exact to the bit.

    The coordinates are part of it, because the parameters in a checkpoint are in these coordinates.
    """
    surveyed = table.surveyed
    return {
        "gmm_spark": __version__,
        **asdict(options),
        "d": len(table.names),
        "features": list(table.names),
        "weight column": weight_col,
        "initial model": _digest(*initial.arrays) if initial else None,
        "partitions": surveyed.partitions,
        "rows": surveyed.rows,
        "unusable rows": surveyed.invalid,
        "total weight": surveyed.weight,
        "means": surveyed.mean.tolist(),
        "scatter": _digest(surveyed.scatter),
        "coordinates": _digest(*frame.arrays),
    }


def _digest(*arrays: FloatArray) -> str:
    return hashlib.sha256(b"".join(array.astype("<f8").tobytes() for array in arrays)).hexdigest()[:32]


def _write(spark: SparkSession, folder: str, lines: list[str]) -> None:
    # From an Arrow table: for a list of tuples Spark starts Python workers and takes 0.8 s instead of 0.15 s.
    table = pa.table({"value": pa.array(lines, pa.string())})
    _overwrite(folder, spark.createDataFrame(table).coalesce(1))


def _overwrite(folder: str, lines: DataFrame) -> None:
    lines.write.mode("overwrite").text(folder, compression="none")


def _sizes(spark: SparkSession, path: str) -> dict[str, int]:
    """Return the size in bytes of each folder that is not empty, without reading its files."""
    folders = [folder for slot in _SLOTS if _exists(spark, folder := f"{path}/{slot}")]
    if not folders:
        return {}
    files = _reader(spark, "binaryFile").load(folders).select("path", "length").collect()
    sizes = {slot: sum(row["length"] for row in files if f"/{slot}/" in row["path"]) for slot in _SLOTS}
    return {slot: size for slot, size in sizes.items() if size}


def _exists(spark: SparkSession, folder: str) -> bool:
    """Return whether a folder exists. Not by a pattern: Hadoop refuses patterns in a path with a colon."""
    try:
        # The same path twice, because Spark logs a long stack trace where a single path does not exist.
        _reader(spark, "binaryFile").load([folder, folder]).schema  # noqa: B018 - Connect resolves the path here
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return False
    return True


def _reader(spark: SparkSession, source: str) -> DataFrameReader:
    return spark.read.format(source).option("pathGlobFilter", _FILES)


def _delete(spark: SparkSession, path: str) -> None:
    """Delete the folders, and their parent folder if it is empty then."""
    fs, configuration = hadoop(spark)
    folder = fs.Path(path)
    files = folder.getFileSystem(configuration)
    for slot in _SLOTS:
        files.delete(fs.Path(folder, slot), True)  # noqa: FBT003 - Java has no keywords
    if files.exists(folder) and not files.listStatus(folder):
        files.delete(folder, False)  # noqa: FBT003


def _empty(spark: SparkSession, path: str) -> None:
    """Overwrite the folders by empty files: Spark Connect can't delete them."""
    for slot in _sizes(spark, path):
        _overwrite(f"{path}/{slot}", spark.range(0, numPartitions=1).selectExpr("'' AS value"))


def _missing(path: str) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {path}",
        got="none",
        expected="one to resume from, as resuming is required",
        do="Check the path, or allow the fit to start again.",
        options=("resume",),
    )
