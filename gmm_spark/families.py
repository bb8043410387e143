"""The covariance families: the M-step's constraint, the floor, and the count of free parameters.

Families as in scikit-learn and mclust: full (VVV), tied (EEE), diag (VVI), spherical (VII). Their
maximum-likelihood estimates: Celeux and Govaert, Gaussian parsimonious clustering models, Pattern
Recognition 28(5), 1995. Constraints hold in the user's coordinates; full and tied look the same in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.parameters import positive_definite

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gmm_spark.coordinates import Coordinates
    from gmm_spark.parameters import Family, FloatArray

    Constraint = Callable[[FloatArray, FloatArray, Coordinates, float], tuple[FloatArray, int]]


def free_parameters(family: Family, k: int, d: int) -> int:
    """Return the number of free parameters of a k-component mixture in d dimensions."""
    covariance = {
        "full": k * d * (d + 1) // 2,
        "tied": d * (d + 1) // 2,
        "diag": k * d,
        "spherical": k,
    }[family]
    return k - 1 + k * d + covariance


def sample_error(family: Family, k: int, d: int, rows: float) -> float:
    """Return by how many nats a row the optimum of so many random rows lies below that of all rows: p / (2n)."""
    return free_parameters(family, k, d) / (2 * rows)


def constrain(
    family: Family, covariances: FloatArray, mass: FloatArray, coordinates: Coordinates, floor: float
) -> tuple[FloatArray, int]:
    """Return the family's maximum-likelihood covariances, floored, and how many were floored.

    Args:
        family: the constraint.
        covariances: (k, d, d) unconstrained second central moments in coordinates z.
        mass: (k,) N_k.
        coordinates: from the user's units to z.
        floor: the least variance, in units of the data's own variance; 0 switches it off.
    """
    return _CONSTRAINTS[family](covariances, mass, coordinates, floor)


def at_floor(
    family: Family, covariances: FloatArray, mass: FloatArray, coordinates: Coordinates, floor: float
) -> NDArray[np.bool_]:
    """Tell which of the (k,) components `constrain` raises to the floor in every direction; the same arguments."""
    if floor <= 0:
        return np.zeros(len(mass), dtype=np.bool_)
    if family == "tied":
        covariances = np.repeat(np.tensordot(mass / mass.sum(), covariances, axes=1)[None], len(mass), axis=0)
    if family in ("full", "tied"):
        return np.asarray(np.linalg.eigvalsh(covariances)[:, -1] <= floor)
    variances, least = _user_variances(covariances, coordinates), floor * _data_variances(coordinates)
    if family == "spherical":
        return np.asarray(variances.mean(axis=1) <= least.max())
    return np.asarray((variances <= least).all(axis=1))


def _full(covariances: FloatArray, _: FloatArray, __: Coordinates, floor: float) -> tuple[FloatArray, int]:
    return _clip_eigenvalues(covariances, floor)


def _tied(covariances: FloatArray, mass: FloatArray, _: Coordinates, floor: float) -> tuple[FloatArray, int]:
    pooled = np.tensordot(mass / mass.sum(), covariances, axes=1)[None]
    clipped, hits = _clip_eigenvalues(pooled, floor)
    return np.repeat(clipped, len(mass), axis=0), hits


def _diag(covariances: FloatArray, _: FloatArray, to: Coordinates, floor: float) -> tuple[FloatArray, int]:
    variances = _user_variances(covariances, to)
    return _from_variances(variances, floor * _data_variances(to), to)


def _spherical(covariances: FloatArray, _: FloatArray, to: Coordinates, floor: float) -> tuple[FloatArray, int]:
    variances = _user_variances(covariances, to)
    common = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
    return _from_variances(common, np.full(variances.shape[1], floor * _data_variances(to).max()), to)


_CONSTRAINTS: dict[Family, Constraint] = {"full": _full, "tied": _tied, "diag": _diag, "spherical": _spherical}


def _user_variances(covariances: FloatArray, to: Coordinates) -> FloatArray:
    return np.asarray(np.einsum("ie,kef,if->ki", to.factor, covariances, to.factor, optimize=True))


def _data_variances(to: Coordinates) -> FloatArray:
    return np.asarray((to.factor**2).sum(axis=1))


def _from_variances(variances: FloatArray, least: FloatArray, to: Coordinates) -> tuple[FloatArray, int]:
    hits = int((variances < least).any(axis=1).sum())
    raised = np.maximum(variances, least)
    return np.einsum("ie,ke,fe->kif", to.inverse, raised, to.inverse, optimize=True), hits


def _clip_eigenvalues(covariances: FloatArray, floor: float) -> tuple[FloatArray, int]:
    if floor <= 0:
        return covariances, 0
    # A Cholesky factor of what is above the floor costs a tenth of the eigenvalues, and mostly there is one.
    low = ~positive_definite(covariances - floor * np.eye(covariances.shape[-1]))
    values, vectors = np.linalg.eigh(covariances[low])
    raised = covariances.copy()
    raised[low] = np.einsum("kie,ke,kfe->kif", vectors, np.maximum(values, floor), vectors, optimize=True)
    return raised, int(low.sum())
