"""The covariance families: the M-step's constraint, the floor, and the count of free parameters.

With S_k the second central moments of component k and N_k its mass, N = sum_k N_k, the maximum-likelihood estimates,
with the names of mclust and of Celeux and Govaert (Gaussian parsimonious clustering models, Pattern Recognition 28(5),
1995), who derive all of them:

    full            VVV    S_k
    tied            EEE    sum_k N_k S_k / N
    diag            VVI    diag(S_k)
    spherical       VII    tr(S_k) / d
    tied-diag       EEI    diag(sum_k N_k S_k / N)
    tied-spherical  EII    sum_k N_k tr(S_k) / (N d)

Constraints hold in the user's coordinates; those of full and tied are the same in all coordinates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.mixture.arrays import positive_definite
from gmm_spark.mixture.parameters import ALIGNED, SHARED
from gmm_spark.mixture.spread import Matrices, Spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, FloatArray

    Constraint = Callable[[Spread, FloatArray, Coordinates, float], tuple[Spread, int]]


# Times the trace: smaller variances are rounding, for example in a component that has one row at 1e6 deviations.
_ROUNDING = 64 * float(np.finfo(np.float64).eps)
_NOISE = 2  # free parameters


def free_parameters(family: Family, k: int, d: int, *, noise: bool = False) -> int:
    """Return the number of free parameters of a k-component mixture in d dimensions.

    A noise component has two, as in mclust: its weight and its volume, which the range of the data determines.
    """
    covariance = {
        "full": k * d * (d + 1) // 2,
        "tied": d * (d + 1) // 2,
        "diag": k * d,
        "spherical": k,
        "tied-diag": d,
        "tied-spherical": 1,
    }[family]
    return k - 1 + k * d + covariance + (_NOISE if noise else 0)


def sample_error(family: Family, k: int, d: int, rows: float) -> float:
    """Return p / (2n): the nats per row, over all rows, that the optimum of a sample of n rows loses."""
    return free_parameters(family, k, d) / (2 * rows)


def constrain(
    family: Family, spread: Spread, mass: FloatArray, coordinates: Coordinates, floor: float
) -> tuple[Spread, int]:
    """Return the family's maximum-likelihood covariances, raised to the floor, and the number of those raised.

    Args:
        family: the constraint.
        spread: k unconstrained second central moments in coordinates z.
        mass: (k,) N_k.
        coordinates: from the user's units to z.
        floor: the least variance, relative to the variance of the data; 0 switches it off.
    """
    return _CONSTRAINTS[family](spread, mass, coordinates, floor)


def at_floor(
    family: Family, spread: Spread, mass: FloatArray, coordinates: Coordinates, floor: float
) -> NDArray[np.bool_]:
    """Return (k,) which components `constrain` raises to the floor in every direction; the same arguments."""
    if floor <= 0:
        return np.zeros(len(mass), dtype=np.bool_)
    spread = _pooled(spread, mass) if family in SHARED else spread
    if family not in ALIGNED:
        return np.asarray(np.linalg.eigvalsh(spread.matrices)[:, -1] <= floor)
    variances, least = coordinates.user_variances(spread), floor * coordinates.data_variances
    if family in _SPHERICAL:
        return np.asarray(variances.mean(axis=1) <= least.max())
    return np.asarray((variances <= least).all(axis=1))


def _full(spread: Spread, _: FloatArray, __: Coordinates, floor: float) -> tuple[Spread, int]:
    return _clip_eigenvalues(spread, floor)


def _diag(spread: Spread, _: FloatArray, to: Coordinates, floor: float) -> tuple[Spread, int]:
    return _floored(to.user_variances(spread), floor * to.data_variances, to)


def _spherical(spread: Spread, _: FloatArray, to: Coordinates, floor: float) -> tuple[Spread, int]:
    variances = to.user_variances(spread)
    common = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
    return _floored(common, np.full(variances.shape[1], floor * to.data_variances.max()), to)


def _shared(constraint: Constraint) -> Constraint:
    """Return the constraint that gives all components one covariance: it constrains their weighted mean, once."""

    def constrained(spread: Spread, mass: FloatArray, to: Coordinates, floor: float) -> tuple[Spread, int]:
        common, hits = constraint(_pooled(spread, mass)[:1], mass, to, floor)
        return common[np.zeros(len(mass), dtype=np.intp)], hits

    return constrained


_CONSTRAINTS: dict[Family, Constraint] = {
    "full": _full,
    "tied": _shared(_full),
    "diag": _diag,
    "spherical": _spherical,
    "tied-diag": _shared(_diag),
    "tied-spherical": _shared(_spherical),
}
_SPHERICAL = frozenset({"spherical", "tied-spherical"})


def _pooled(spread: Spread, mass: FloatArray) -> Spread:
    """Return the mean of all covariances, weighted by mass, once per component."""
    pooled = np.tensordot(mass / mass.sum(), spread.values, axes=1)[None]
    return type(spread)(np.repeat(pooled, len(mass), axis=0))


def _floored(variances: FloatArray, least: FloatArray, to: Coordinates) -> tuple[Spread, int]:
    hits = int((variances < least).any(axis=1).sum())
    return to.of_user_variances(np.maximum(variances, least)), hits


def _clip_eigenvalues(spread: Spread, floor: float) -> tuple[Spread, int]:
    if floor <= 0:
        return spread, 0
    covariances = spread.matrices
    least = np.maximum(floor, _ROUNDING * np.einsum("kii->k", covariances))
    # A Cholesky factor of S - floor exists for most components and costs a tenth of the eigenvalues.
    low = ~positive_definite(covariances - least[:, None, None] * np.eye(covariances.shape[-1]))
    values, vectors = np.linalg.eigh(covariances[low])
    raised = covariances.copy()
    least = least[low][:, None]
    raised[low] = np.einsum("kie,ke,kfe->kif", vectors, np.maximum(values, least), vectors, optimize=True)
    return Matrices(raised), int(low.sum())
