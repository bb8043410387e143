"""Checkpoints of a fit through Spark's own reader and writer: any filesystem that Spark reaches, classic or Connect.

Two folders take turns, `checkpoint-a` and `checkpoint-b`, so that the last but one is whole while the last is
being written, and nothing needs to be listed or removed meanwhile: Spark Connect has no call for either.
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

from gmm_spark.em.checkpoint import Identity, damage_error, decode_state, encode_state, most_bytes
from gmm_spark.errors import CheckpointError
from gmm_spark.options import CheckpointOptions
from gmm_spark.spark.complaints import reason
from gmm_spark.spark.session import described, hadoop, is_connect
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
_FILES = "part-*.txt"  # no others: Spark would unpack a file named .gz to any size
_READABLE = 64 << 20  # bytes that are read in any case, so that the error can name what differs


class Checkpoints(CheckpointOptions):
    """Where a fit keeps its progress, how often, and whether it goes on from there."""

    def open(self, spark: SparkSession, identity: Identity) -> Progress:
        """Return the progress of the fit with this identity, as far as it has been kept.

        Raises:
            CheckpointError: resume is "require" and there is nothing to go on from.
        """
        progress = Progress(self, spark, identity)
        if self.resume != "never":
            with described(spark, "gmm fit, looking for a checkpoint"):
                progress.find()
        return progress

    def clear(self, spark: SparkSession) -> None:
        """Remove what is there; where that fails, say so and go on."""
        try:
            (_empty if is_connect(spark) else _delete)(spark, self.path)
        except (PySparkException, Py4JError) as error:
            _log.warning("the checkpoint in %s is left behind: %s", self.path, error)


@dataclass
class Progress:
    """The kept progress of one fit; mutable, for it knows which folder is next and when it was written.

    Args:
        settings: where and how often.
        spark: the session.
        identity: of the fit.
        state: where to go on; None to begin.
    """

    settings: Checkpoints
    spark: SparkSession
    identity: Identity
    state: State | None = None
    next_slot: int = 0
    written: float = field(default_factory=time.monotonic)

    def find(self) -> None:
        """Look for the latest checkpoint of this fit."""
        found: list[tuple[int, int, State]] = []
        refused: list[CheckpointError] = []
        for slot, size in _sizes(self.spark, self.settings.path).items():
            state = self._read(slot, size)
            if isinstance(state, CheckpointError):
                refused.append(state)
            else:
                found.append((len(state.trace.history), _SLOTS.index(slot), state))
        if found:
            passes, slot_number, self.state = max(found, key=lambda each: each[0])
            self.next_slot = 1 - slot_number
            _log.info("going on from the checkpoint of pass %d in %s", passes, self.settings.path)
        elif self.settings.resume == "require":
            raise refused[0] if refused else _missing(self.settings.path)
        for error in refused:
            _log.warning(
                "%s a checkpoint that can't be used: %s", "left out" if found else "starting again;", error.sentences
            )

    def save(self, state: State) -> None:
        """Keep this state, unless one has been kept a short while ago; a failure is logged and the fit goes on."""
        over = state.outcome is not None and not self.settings.keep
        if over or time.monotonic() - self.written < self.settings.seconds:
            return
        began = time.perf_counter()
        try:
            with described(self.spark, f"gmm fit, checkpoint of pass {len(state.trace.history)}"):
                _write(self.spark, f"{self.settings.path}/{_SLOTS[self.next_slot]}", encode_state(state, self.identity))
        except (PySparkException, Py4JJavaError) as error:
            _log.warning("no checkpoint of pass %d: %s", len(state.trace.history), reason(error))
        else:
            self.next_slot = 1 - self.next_slot
            _log.debug("checkpoint of pass %d: %.2f s", len(state.trace.history), time.perf_counter() - began)
        self.written = time.monotonic()

    def ended(self) -> None:
        """Remove the checkpoint of a fit that has ended, unless the caller wants it."""
        if not self.settings.keep:
            self.settings.clear(self.spark)

    def _read(self, slot: str, size: int) -> State | CheckpointError:
        where = f"{self.settings.path}/{slot}"
        most = max(_READABLE, most_bytes(self.identity["k"], self.identity["d"], self.identity["max_iter"]))
        if size > most:
            return damage_error(where, f"{size} bytes, where this fit needs at most {most}")
        try:
            return decode_state(
                [row[0] for row in _reader(self.spark, "text").load(where).collect()], self.identity, where
            )
        except CheckpointError as error:
            return error
        except (PySparkException, Py4JJavaError) as error:  # Hadoop's checksum of a file is wrong, or it is gone
            return damage_error(where, reason(error))


def identity_of(
    table: Table, frame: Coordinates, options: Options, weight_col: str | None, initial: Parameters | None
) -> Identity:
    """Return what makes a fit this one: its options, and the data as the survey has seen it, to the bit.

    The coordinates count as data: what is kept is in them.
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
    # From an Arrow table: from a list of tuples Spark starts Python workers, and takes 0.8 s instead of 0.15 s.
    table = pa.table({"value": pa.array(lines, pa.string())})
    _overwrite(folder, spark.createDataFrame(table).coalesce(1))


def _overwrite(folder: str, lines: DataFrame) -> None:
    lines.write.mode("overwrite").text(folder, compression="none")


def _sizes(spark: SparkSession, path: str) -> dict[str, int]:
    """Return the bytes in each folder that has any, without reading them."""
    folders = [folder for slot in _SLOTS if _exists(spark, folder := f"{path}/{slot}")]
    if not folders:
        return {}
    files = _reader(spark, "binaryFile").load(folders).select("path", "length").collect()
    sizes = {slot: sum(row["length"] for row in files if f"/{slot}/" in row["path"]) for slot in _SLOTS}
    return {slot: size for slot, size in sizes.items() if size}


def _exists(spark: SparkSession, folder: str) -> bool:
    """Return whether there is a folder. Not by a pattern: in a path with a colon, Hadoop takes none."""
    try:
        # Twice the same path, for Spark logs a long stack trace where a single one is not there.
        _reader(spark, "binaryFile").load([folder, folder]).schema  # noqa: B018 - Connect resolves it only now
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return False
    return True


def _reader(spark: SparkSession, source: str) -> DataFrameReader:
    return spark.read.format(source).option("pathGlobFilter", _FILES)


def _delete(spark: SparkSession, path: str) -> None:
    """Delete the folders, and the one around them if nothing else is in it."""
    fs, configuration = hadoop(spark)
    folder = fs.Path(path)
    files = folder.getFileSystem(configuration)
    for slot in _SLOTS:
        files.delete(fs.Path(folder, slot), True)  # noqa: FBT003 - Java has no keywords
    if files.exists(folder) and not files.listStatus(folder):
        files.delete(folder, False)  # noqa: FBT003


def _empty(spark: SparkSession, path: str) -> None:
    """Overwrite the folders that hold anything by nothing: Spark Connect can't delete them."""
    for slot in _sizes(spark, path):
        _overwrite(f"{path}/{slot}", spark.range(0, numPartitions=1).selectExpr("'' AS value"))


def _missing(path: str) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {path}",
        got="none",
        expected="one to go on from, as resuming is required",
        do="Check the path, or allow to start again.",
        options=("resume",),
    )
