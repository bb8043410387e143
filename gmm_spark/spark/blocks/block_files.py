"""Blocks in files on the executors' own disks: a pass maps them instead of moving them.

To move blocks from the JVM to Python costs as much as the arithmetic on them, and to give them to the JVM once costs
more than all passes of a fit: it keeps them in fresh memory. A file that was just written is in the page cache, and
mapping it costs nothing. Where a disk is full, Spark keeps the block. Spark keeps where each block is, too, and makes
it again where an executor is lost; where a task runs on a machine that doesn't have the file, the engine has all rows
packed again, for Spark to keep.
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

_HEADER = 5  # int64 numbers before each block: features, rows, length of total, whether it has weights, bytes of z


def folders(fit: str) -> list[Path]:
    """Return this executor's folders for the blocks of a fit: in Spark's scratch space, which ends with it."""
    roots = os.environ.get("SPARK_LOCAL_DIRS", "")
    return [Path(root) / f"gmm_spark-{fit}" for root in roots.split(",") if root]


def remove(fit: str) -> None:
    """Remove this executor's files of a fit."""
    for folder in folders(fit):
        shutil.rmtree(folder, ignore_errors=True)


class FileWriter:
    """Writes the blocks of one task to one file; where the disk gives up, what it has stays.

    Args:
        fit: the fit whose blocks these are; None writes nothing.
        free: the share of the disk that stays free.
    """

    def __init__(self, fit: str | None, free: float = LIMITS.free_disk) -> None:
        self._free = free
        self.name: str | None = None
        self._file: IO[bytes] | None = None
        own = folders(fit) if fit else []
        if own:
            # A name of its own for each attempt: what Spark keeps of an attempt names the file of that attempt.
            name = uuid.uuid4().hex
            folder = own[int(name[:8], 16) % len(own)]
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = (folder / name).open("xb", buffering=0)
                self.name = f"{folder.name}/{name}"
            except OSError:
                self._give_up()

    def add(self, block: Block) -> int | None:
        """Write a block; return where it begins, or None where the disk gave up."""
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
            self._give_up()
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

    def _give_up(self) -> None:
        if self._file is not None:
            if not self._file.tell():
                Path(self._file.name).unlink(missing_ok=True)
            self._file.close()
        self._file = None


def _write_whole(file: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


class Mapped:
    """Reads blocks; keeps the file of the last one mapped."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._file: mmap.mmap | None = None

    def block(self, name: str, offset: int) -> Block | None:
        """Return the block that begins there in the file of that name; None where this machine doesn't have it."""
        if name != self._name:
            self._name, self._file = name, _mapped(name)
        return None if self._file is None else _block(self._file, offset)


def _mapped(name: str) -> mmap.mmap | None:
    roots = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")
    path = next((path for root in roots if (path := Path(root) / name).is_file()), Path(os.devnull))
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # nothing can't be mapped
        return None


def _block(mapped: mmap.mmap, offset: int) -> Block | None:
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
    """Return the (d, n) coordinates of a block in its bytes, float64 or float32 as their number says."""
    single = memoryview(data).nbytes < 8 * d * n
    return np.frombuffer(data, dtype="<f4" if single else "<f8").reshape(d, n)
