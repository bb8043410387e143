"""Rows to packed blocks, once: whitened, feature-major, one binary value a block, kept by Spark."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gmm_spark.kernel import Block
from gmm_spark.spark.rows import Layout, decode
from gmm_spark.spark.survey import task_partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

    from gmm_spark.coordinates import Coordinates
    from gmm_spark.parameters import FloatArray
    from gmm_spark.spark.session import Shipped

# Blocks of 1 to 4 MB cost the same to move; a cached columnar batch closes at 4 MiB.
BLOCK_BYTES = 2 << 20
_SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("rows", pa.int32()),
        ("z", pa.binary()),
        ("weights", pa.binary()),
        ("total", pa.binary()),
        ("sample_key", pa.binary()),
        ("sample_z", pa.binary()),
        ("sample_weights", pa.binary()),
    ]
)
_DDL = (
    "partition int, rows int, z binary, weights binary, total binary, "
    "sample_key binary, sample_z binary, sample_weights binary"
)


@dataclass(frozen=True)
class Packing:
    """How rows become blocks.

    Args:
        layout: what the columns mean.
        coordinates: from rows to z.
        seed: of the sample.
        sampled: the share of the rows to sample, by a hash of their values.
    """

    layout: Layout
    coordinates: Coordinates
    seed: int
    sampled: float


def pack(rows: DataFrame, packing: Shipped[Packing]) -> DataFrame:
    """Return the blocks of the usable rows, one row a block, in the order of the rows."""
    return rows.mapInArrow(partial(_pack_partition, packing), _DDL)


def collect_sample(blocks: DataFrame, d: int) -> tuple[FloatArray, FloatArray]:
    """Return the sampled rows (d, m) in coordinates z and their weights (m,), in random order.

    The order comes from the rows' hashes, so that it does not depend on the partitions. Reading this
    column of the kept blocks also fills whatever keeps them.
    """
    table = blocks.select("sample_key", "sample_z", "sample_weights").toArrow()
    keys, z, weights = (
        np.frombuffer(b"".join(column.to_pylist()), dtype=dtype)
        for column, dtype in zip(table.columns, ("<u8", "<f8", "<f8"), strict=True)
    )
    rows = z.reshape(-1, d)
    order = np.lexsort((*rows.T, keys))
    return np.ascontiguousarray(rows[order].T), weights[order]


def read_blocks(batch: pa.RecordBatch) -> Iterator[tuple[int, Block]]:
    """Yield the partition number and the block of each row of a batch, without copying."""
    partitions, counts, z, weights, totals = batch.columns[:5]
    for i in range(batch.num_rows):
        n = counts[i].as_py()
        values = np.frombuffer(z[i].as_buffer(), dtype="<f8").reshape(-1, n)
        own = np.frombuffer(weights[i].as_buffer(), dtype="<f8") if weights[i].is_valid else None
        total = np.frombuffer(totals[i].as_buffer(), dtype="<f8")
        yield partitions[i].as_py(), Block(values, own, total)


def _pack_partition(shipped: Shipped[Packing], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    packing = shipped.value
    open_block = _OpenBlock.empty(packing.layout)
    for number, batch in enumerate(batches):
        rows = decode(batch.columns, packing.layout).valid()
        keys = row_keys(rows.x, packing.seed, number)
        z = packing.coordinates.rows(rows.x.T)
        for low in range(0, z.shape[1], open_block.capacity):
            part = slice(low, low + open_block.capacity)
            if open_block.rows + z[:, part].shape[1] > open_block.capacity:
                yield open_block.close()
                open_block = _OpenBlock.empty(packing.layout)
            weights = None if rows.weights is None else rows.weights[part]
            open_block.add(z[:, part], weights, keys[part], packing.sampled)
    if open_block.rows:
        yield open_block.close()


@dataclass
class _OpenBlock:
    """A block being filled; private to its task."""

    z: FloatArray
    weights: FloatArray | None
    rows: int = 0
    sample: list[tuple[NDArray[np.uint64], FloatArray, FloatArray]] = field(default_factory=list)

    @staticmethod
    def empty(layout: Layout) -> _OpenBlock:
        capacity = max(64, BLOCK_BYTES // (8 * layout.d))
        return _OpenBlock(np.empty((layout.d, capacity)), np.empty(capacity) if layout.weighted else None)

    @property
    def capacity(self) -> int:
        return int(self.z.shape[1])

    def add(self, z: FloatArray, weights: FloatArray | None, keys: NDArray[np.uint64], sampled: float) -> None:
        low, self.rows = self.rows, self.rows + z.shape[1]
        self.z[:, low : self.rows] = z
        chosen = keys <= np.uint64(min(sampled, 1.0) * 0xFFFFFFFFFFFFF800)
        if self.weights is not None and weights is not None:
            self.weights[low : self.rows] = weights
        own = np.ones(z.shape[1]) if weights is None else weights
        self.sample.append((keys[chosen], z[:, chosen].T, own[chosen]))

    def close(self) -> pa.RecordBatch:
        keys, z, weights = (np.concatenate(parts).tobytes() for parts in zip(*self.sample, strict=True))
        packed = Block(
            np.ascontiguousarray(self.z[:, : self.rows]), None if self.weights is None else self.weights[: self.rows]
        )
        own = None if packed.weights is None else packed.weights.tobytes()
        values = [task_partition(), self.rows, packed.z.tobytes(), own, packed.total.tobytes(), keys, z, weights]
        arrays = [pa.array([value], each.type) for value, each in zip(values, _SCHEMA, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def row_keys(x: FloatArray, seed: int, batch: int) -> NDArray[np.uint64]:
    """Return a pseudo-random 64-bit key for each of the (d, n) rows: a hash of the row, not its place.

    So the sample depends on the seed and the rows only. Copies of a row within a batch get keys of
    their own (from the batch's number and their rank), or a repeated row would be sampled with all its
    copies or with none.
    """
    bits = np.ascontiguousarray(x + 0.0).view(np.uint64)
    multipliers = np.random.default_rng([seed, len(bits)]).integers(0, 2**64, len(bits), dtype=np.uint64) | np.uint64(1)
    keys = np.zeros(x.shape[1], dtype=np.uint64)
    for values, multiplier in zip(bits, multipliers, strict=True):
        keys += (values ^ (values >> np.uint64(32))) * multiplier
    keys = _mixed(keys)
    order = np.argsort(keys, kind="stable")
    new = np.concatenate([[True], keys[order][1:] != keys[order][:-1]]) if len(keys) else np.zeros(0, dtype=np.bool_)
    if not new.all():
        place = np.arange(len(keys))
        rank = (place - np.maximum.accumulate(np.where(new, place, 0))).astype(np.uint64)
        salt = _mixed(rank + (np.uint64(batch) << np.uint64(20)) + (np.uint64(task_partition()) << np.uint64(40)))
        keys[order] = np.where(new, keys[order], _mixed(keys[order] ^ salt))
    return keys


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's finaliser of the keys (Steele, Lea and Flood, OOPSLA 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
