"""The random sample of rows that was drawn while packing, collected on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.search.row_sample import order_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark.mixture.parameters import FloatArray


def collect_sample(blocks: DataFrame, d: int) -> tuple[FloatArray, FloatArray]:
    """Return the sampled rows (d, m) in coordinates z and their weights (m,), in random order.

    This first read of the blocks also packs and stores them.
    """
    table = blocks.select("sample_key", "sample_z", "sample_weights").toArrow()
    keys, z, weights = (
        np.frombuffer(b"".join(column.to_pylist()), dtype=dtype)
        for column, dtype in zip(table.columns, ("<u8", "<f8", "<f8"), strict=True)
    )
    rows = z.reshape(-1, d)
    order = order_of(keys, rows, weights)
    return np.ascontiguousarray(rows[order].T), weights[order]
