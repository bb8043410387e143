"""Scratch memory of the hot code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray

_LINE = 64  # bytes of a cache line; numpy's own large arrays start 16 into one, which costs 2 to 4 % of a pass


def scratch(count: int, dtype: np.dtype[np.floating]) -> FloatArray:
    """Return (count,) numbers of any value that start on a cache line."""
    memory = np.empty(count * dtype.itemsize + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + count * dtype.itemsize].view(dtype)
