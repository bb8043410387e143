"""Packs rows as blocks, once per fit: whitened, feature-major, in files or as one binary value per block."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as f

from gmm_spark.limits import LIMITS, Limits
from gmm_spark.search.row_sample import inclusion, row_keys
from gmm_spark.spark.arrow_types import one_row, spark_schema
from gmm_spark.spark.blocks import block_files
from gmm_spark.spark.table.rows import RowLayout, decode
from gmm_spark.spark.worker import speed_up_worker, task_partition
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.hashing import NO_FOLD, Folds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

    from gmm_spark.mixture.coordinates import Coordinates, Layout
    from gmm_spark.mixture.parameters import FloatArray
    from gmm_spark.spark.session import TaskValue
    from gmm_spark.statistics.engines import Precision

_SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("rows", pa.int32()),
        ("features", pa.int32()),
        ("z", pa.binary()),
        ("weights", pa.binary()),
        ("total", pa.binary()),
        ("fold", pa.int32()),
        ("sample_key", pa.binary()),
        ("sample_z", pa.binary()),
        ("sample_weights", pa.binary()),
    ]
)
_TYPE = spark_schema(_SCHEMA)


@dataclass(frozen=True)
class Packing:
    """How rows become blocks.

    Args:
        layout: what the columns mean.
        coordinates: from rows to z.
        seed: of the sample.
        sample_share: the share of the rows to sample, by a hash of their values; 1 or more: all.
        folds: the folds of held-out rows; each block has rows of one fold.
        file_owner: the fit that owns the executors' block files; None: no files, Spark stores the blocks.
        precision: of the stored coordinates: float32 halves the bytes that a pass reads.
        only: the partitions to pack; None: all.
        square: the mean of |z|^2; None: d, because the coordinates have unit scale over all rows.
        limits: of the size of a block and the free space of a disk.
    """

    layout: RowLayout
    coordinates: Coordinates
    seed: int
    sample_share: float
    folds: Folds | None = None
    file_owner: str | None = None
    precision: Precision = "float64"
    only: frozenset[int] | None = None
    square: float | None = None
    limits: Limits = LIMITS


def pack(rows: DataFrame, packing: TaskValue[Packing]) -> DataFrame:
    """Return the blocks of the usable rows with a weight above 0, one per output row, in the order of the rows."""
    return rows.mapInArrow(partial(_pack_partition, packing), _TYPE)


def block_sums(blocks: DataFrame, partitions: Collection[int]) -> list[tuple[int, bytes]]:
    """Return the partition and the sums of each block of some partitions, in order; equal rows give equal sums."""
    table = blocks.select("partition", "total").where(f.col("partition").isin(list(partitions))).toArrow()
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))


def read_blocks(batch: pa.RecordBatch) -> Iterator[tuple[int, int, Block | None]]:
    """Yield the partition, the fold and the block of each row, without copying; None where its file is missing.

    Args:
        batch: rows of the columns `READ`.
    """
    reader = block_files.BlockReader()
    partitions, folds, names, offsets, counts, features, z, weights, totals = (batch.column(name) for name in READ)
    for i in range(batch.num_rows):
        if names[i].is_valid:
            block = reader.block(names[i].as_py(), offsets[i].as_py())
        else:
            weight = np.frombuffer(weights[i].as_buffer(), dtype="<f8") if weights[i].is_valid else None
            total = np.frombuffer(totals[i].as_buffer(), dtype="<f8")
            shape = features[i].as_py(), counts[i].as_py()
            block = Block(block_files.coordinates_of(z[i].as_buffer(), *shape), weight, total)
        yield partitions[i].as_py(), folds[i].as_py(), block


def _pack_partition(task_value: TaskValue[Packing], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    speed_up_worker()
    packing = task_value.value
    if packing.only is not None and task_partition() not in packing.only:
        return
    with closing(block_files.FileWriter(packing.file_owner, packing.limits.free_disk)) as writer:
        for block in _fill_blocks(packing, batches):
            yield block.close(writer)


def _fill_blocks(packing: Packing, batches: Iterable[pa.RecordBatch]) -> Iterator[_OpenBlock]:
    open_blocks: dict[int, _OpenBlock] = {}
    for number, batch in enumerate(batches):
        rows = decode(batch.columns, packing.layout).valid().with_weight()
        keys = row_keys(rows.x, packing.seed, number, task_partition())
        z = packing.coordinates.rows(rows.x.T)
        for fold, members in _by_fold(rows.x, packing.folds):
            weights = None if rows.weights is None else rows.weights[members]
            yield from _add_rows(open_blocks, fold, packing, (z[:, members], weights, keys[members]))
    for _, last in sorted(open_blocks.items()):
        if last.rows:
            yield last


def _by_fold(x: FloatArray, folds: Folds | None) -> Iterator[tuple[int, slice | NDArray[np.intp]]]:
    """Yield each fold among the (d, n) rows, and the indices of its rows."""
    if folds is None:
        yield NO_FOLD, slice(None)
        return
    numbers = folds.assign(x)
    for fold in np.unique(numbers).tolist():
        yield fold, np.flatnonzero(numbers == fold)


def _add_rows(
    open_blocks: dict[int, _OpenBlock],
    fold: int,
    packing: Packing,
    rows: tuple[FloatArray, FloatArray | None, NDArray[np.uint64]],
) -> Iterator[_OpenBlock]:
    """Add rows to the open block of their fold; yield each full block, which is overwritten at the next step."""
    z, weights, keys = rows
    block = open_blocks.get(fold) or _OpenBlock.empty(packing, fold)
    open_blocks[fold] = block
    # Rows held out of every fit are not sampled: starts must not depend on them.
    share = 0.0 if packing.folds and packing.folds.count == 1 and fold != NO_FOLD else packing.sample_share
    for low in range(0, z.shape[1], block.capacity):
        part = slice(low, low + block.capacity)
        if block.rows + z[:, part].shape[1] > block.capacity:
            yield block
            block.clear()
        block.add(z[:, part], None if weights is None else weights[part], keys[part], share, packing.square)


@dataclass
class _OpenBlock:
    """A block being filled; private to its task."""

    z: FloatArray
    weights: FloatArray | None
    fold: int
    totals: Layout
    rows: int = 0
    sample: list[tuple[NDArray[np.uint64], FloatArray, FloatArray]] = field(default_factory=list)

    @staticmethod
    def empty(packing: Packing, fold: int) -> _OpenBlock:
        d, kind = packing.layout.d, np.dtype(packing.precision)
        capacity = max(64, packing.limits.block_bytes // (kind.itemsize * d))
        weights = np.empty(capacity) if packing.layout.weighted else None
        return _OpenBlock(np.empty((d, capacity), kind), weights, fold, packing.coordinates.totals)

    @property
    def capacity(self) -> int:
        return int(self.z.shape[1])

    def add(
        self,
        z: FloatArray,
        weights: FloatArray | None,
        keys: NDArray[np.uint64],
        share: float,
        square: float | None = None,
    ) -> None:
        low, self.rows = self.rows, self.rows + z.shape[1]
        self.z[:, low : self.rows] = z
        if self.weights is not None and weights is not None:
            self.weights[low : self.rows] = weights
        row_weights = np.ones(z.shape[1]) if weights is None else weights
        chance = inclusion(z, share, square)
        chosen = (keys >> np.uint64(11)) * 2.0**-53 < chance
        self.sample.append((keys[chosen], z[:, chosen].T, row_weights[chosen] * (min(share, 1.0) / chance[chosen])))

    def clear(self) -> None:
        """Empty the block and reuse its memory: fresh pages cost more than writing to them."""
        self.rows = 0
        self.sample.clear()

    def close(self, writer: block_files.FileWriter) -> pa.RecordBatch:
        keys, z, sample_weights = (np.concatenate(parts).tobytes() for parts in zip(*self.sample, strict=True))
        rows = np.ascontiguousarray(self.z[:, : self.rows])
        weights = None if self.weights is None else self.weights[: self.rows]
        packed = Block(rows, weights, Block(rows, weights).total_in(self.totals))
        values: dict[str, Any] = {"partition": task_partition(), "fold": self.fold, "rows": self.rows}
        values |= {"features": len(rows), "sample_key": keys, "sample_z": z, "sample_weights": sample_weights}
        values |= {"total": packed.total.tobytes(), **(_in_file(packed, writer) or _in_row(packed))}
        return one_row(_SCHEMA, values)


def _in_file(block: Block, writer: block_files.FileWriter) -> dict[str, Any]:
    """Write a block and return its place in the file; empty if it was not written."""
    offset = writer.add(block)
    return {} if offset is None else {"file": writer.name, "offset": offset}


def _in_row(block: Block) -> dict[str, Any]:
    weights = None if block.weights is None else block.weights.tobytes()
    return {"z": block.z.tobytes(), "weights": weights}


# The columns that a pass reads: a block is in a file, or its z and weights are in the columns below.
READ = ("partition", "fold", "file", "offset", "rows", "features", "z", "weights", "total")
