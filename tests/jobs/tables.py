"""The small tables of the job tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

ROWS, UNUSABLE, DAYS = 3000, 30, 3


def days(folder: Path) -> Path:
    """Write two clusters, 11 standard deviations apart, by day; every hundredth x is null."""
    random = np.random.default_rng(0)
    rows = np.arange(ROWS)
    far = rows % 2 * 8.0
    x, y = random.normal(size=ROWS) + far, random.normal(size=ROWS) - far
    table = pa.table(
        {
            "id": rows,
            "x": pa.array(x, mask=rows % 100 == 0),
            "y": y,
            "a b.c": y,
            "both": pa.array(np.stack([x, y], axis=1).tolist()),
            "ragged": pa.array([[1.0] * (1 + row % 2) for row in rows]),
            "debt": pa.array(-rows.astype(float)),
            "name": pa.array(["n"] * ROWS),
            "day": pa.array(rows % DAYS, pa.int32()),
        }
    )
    by_day = ds.partitioning(pa.schema([("day", pa.int32())]), flavor="hive")
    ds.write_dataset(table, folder, format="parquet", partitioning=by_day)
    return folder


def read(folder: Path) -> pa.Table:
    """Read a table with its partition columns from the folder names."""
    return pq.read_table(folder, partitioning="hive")
