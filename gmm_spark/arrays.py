"""The arrays of the mathematics, and whether matrices are covariances."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]


def positive_definite(covariances: FloatArray) -> NDArray[np.bool_]:
    """Return for each of the (k, d, d) matrices whether it has a Cholesky factor."""
    if _has_cholesky(covariances):  # one call for all, where all have one
        return np.ones(len(covariances), dtype=np.bool_)
    return np.array([_has_cholesky(covariance) for covariance in covariances], dtype=np.bool_)


def _has_cholesky(covariance: FloatArray) -> bool:
    try:
        return bool(np.isfinite(np.linalg.cholesky(covariance)).all())
    except np.linalg.LinAlgError:
        return False
