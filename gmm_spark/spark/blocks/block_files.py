"""Blocks in files on the executors' local disks: a pass maps them into memory instead of copying them.

Copying blocks from the JVM to Python costs as much as the arithmetic on them, and copying them to the JVM once costs
more than all passes of a fit, because it allocates fresh memory. A file that was just written is in the page cache, and
mapping it costs almost nothing. Where a disk is full, Spark stores the block itself. Spark also stores the place of
each block, and packs it again if its executor is lost. If a task runs on a machine without the file, the engine packs
the rows of the missing partitions again, and Spark stores these blocks.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import uuid
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from gmm_spark.limits import LIMITS
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    import pyarrow as pa

    from gmm_spark.mixture.parameters import FloatArray

_HEADER = 5  # int64 numbers before each block: features, rows, length of total, 1 if it has weights, bytes of z


def folders(fit: str) -> list[Path]:
    """Return this executor's folders for the blocks of a fit: in Spark's scratch space, removed with the executor."""
    roots = os.environ.get("SPARK_LOCAL_DIRS", "")
    return [Path(root) / f"gmm_spark-{fit}" for root in roots.split(",") if root]


def remove(fit: str) -> None:
    """Remove this executor's files of a fit."""
    for folder in folders(fit):
        shutil.rmtree(folder, ignore_errors=True)


class FileWriter:
    """Writes the blocks of one task to one file; after a write error it stops, and keeps the blocks written before.

    Args:
        fit: the fit whose blocks these are; None writes nothing.
        free: the share of the disk that stays free.
    """

    def __init__(self, fit: str | None, free: float = LIMITS.free_disk) -> None:
        self._free = free
        self.name: str | None = None
        self._file: IO[bytes] | None = None
        choices = folders(fit) if fit else []
        if choices:
            # A new name for each attempt of a task: the rows that Spark stores name the file of their attempt.
            name = uuid.uuid4().hex
            folder = choices[int(name[:8], 16) % len(choices)]
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = (folder / name).open("xb", buffering=0)
                self.name = f"{folder.name}/{name}"
            except OSError:
                self._stop()

    def add(self, block: Block) -> int | None:
        """Write a block; return its offset, or None if it was not written."""
        if self._file is None:
            return None
        numbers = [*block.z.shape, len(block.total), block.weights is not None, block.z.nbytes]
        header = np.array(numbers, dtype="<i8")
        parts = [header, block.total, *([] if block.weights is None else [block.weights]), block.z]
        try:
            self._check_space()
            offset = self._file.tell()
            for part in parts:
                _write_whole(self._file, np.ascontiguousarray(part).view(np.uint8).data.cast("B"))
        except OSError:
            self._stop()
            return None
        return offset

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _check_space(self) -> None:
        space = os.fstatvfs(self._file.fileno()) if self._file else None
        if space and space.f_bavail < self._free * space.f_blocks:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _stop(self) -> None:
        if self._file is not None:
            if not self._file.tell():
                Path(self._file.name).unlink(missing_ok=True)
            self._file.close()
        self._file = None


def _write_whole(file: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


class BlockReader:
    """Reads blocks from files; the file of the last block stays mapped."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._file: mmap.mmap | None = None

    def block(self, name: str, offset: int) -> Block | None:
        """Return the block at an offset of a file; None where this machine does not have it."""
        if name != self._name:
            self._name, self._file = name, _map_file(name)
        return None if self._file is None else _read_block(self._file, offset)


def _map_file(name: str) -> mmap.mmap | None:
    roots = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")
    path = next((path for root in roots if (path := Path(root) / name).is_file()), Path(os.devnull))
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # ValueError: an empty file can't be mapped
        return None


def _read_block(mapped: mmap.mmap, offset: int) -> Block | None:
    if offset + 8 * _HEADER > len(mapped):
        return None
    d, n, features, weighted, size = np.frombuffer(mapped, dtype="<i8", count=_HEADER, offset=offset).tolist()
    places = np.cumsum([offset + 8 * _HEADER, 8 * features, 8 * n * weighted, size]).tolist()
    if places[-1] > len(mapped):
        return None
    total = np.frombuffer(mapped, dtype="<f8", count=features, offset=places[0])
    weights = np.frombuffer(mapped, dtype="<f8", count=n, offset=places[1]) if weighted else None
    z = coordinates_of(memoryview(mapped)[places[2] : places[3]], d, n)
    return Block(z, weights, total)


def coordinates_of(data: memoryview | pa.Buffer, d: int, n: int) -> FloatArray:
    """Return the (d, n) coordinates of a block from its bytes; their number shows if they are float64 or float32."""
    single = memoryview(data).nbytes < 8 * d * n
    return np.frombuffer(data, dtype="<f4" if single else "<f8").reshape(d, n)
