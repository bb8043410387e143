"""The array type of the mathematics, the test for positive definite matrices, and restoring immutable objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

FloatArray: TypeAlias = NDArray[np.float64]


def positive_definite(covariances: FloatArray) -> NDArray[np.bool_]:
    """Return (k,) whether each of the (k, d, d) matrices has a Cholesky factor."""
    if _has_cholesky(covariances):  # one call is enough if all have one
        return np.ones(len(covariances), dtype=np.bool_)
    return np.array([_has_cholesky(covariance) for covariance in covariances], dtype=np.bool_)


def _has_cholesky(covariance: FloatArray) -> bool:
    try:
        return bool(np.isfinite(np.linalg.cholesky(covariance)).all())
    except np.linalg.LinAlgError:
        return False


def restore(instance: object, state: Mapping[str, Any]) -> None:
    """Set the fields of an immutable object from the state of pickle or copy, and make its arrays read-only again."""
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
        object.__setattr__(instance, name, value)
