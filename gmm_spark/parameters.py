"""The parameters of a Gaussian mixture: weights, means, covariances and their family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmm_spark.errors import ParametersError

FloatArray: TypeAlias = NDArray[np.float64]
Family = Literal["full", "tied", "diag", "spherical"]
FAMILIES: tuple[Family, ...] = get_args(Family)

_WEIGHT_SUM_TOLERANCE = 1e-6
_SYMMETRY_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Parameters:
    """A mixture sum_k weights[k] N(x; means[k], covariances[k]); immutable, valid by construction.

    Args:
        weights: (k,) mixing weights, non-negative, summing to 1 (within 1e-6; normalised exactly).
        means: (k, d), in the units of the data.
        covariances: (k, d, d), symmetric positive definite, in squared units, whatever the family.
        family: the constraint the covariances obey: full, tied, diag or spherical.

    Raises:
        ParametersError: shapes that do not agree, values that are not finite, weights that are no
            distribution, or a covariance that is not symmetric positive definite.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    family: Family = "full"

    def __post_init__(self) -> None:
        weights, means, covariances = _shaped(self.weights, self.means, self.covariances)
        _check_family(self.family)
        _check_weights(weights)
        _check_covariances(covariances)
        object.__setattr__(self, "weights", _frozen(_normalised(weights)))
        object.__setattr__(self, "means", _frozen(means))
        object.__setattr__(self, "covariances", _frozen(covariances / 2 + covariances.transpose(0, 2, 1) / 2))

    @property
    def k(self) -> int:
        """The number of components."""
        return int(self.means.shape[0])

    @property
    def d(self) -> int:
        """The number of features."""
        return int(self.means.shape[1])

    @property
    def order(self) -> NDArray[np.intp]:
        """(k,) the components by falling weight, ties by mean."""
        return np.lexsort((*self.means.T[::-1], -self.weights))

    def ordered(self) -> Parameters:
        """Return the same mixture with its components by falling weight, ties by mean."""
        order = self.order
        return Parameters(self.weights[order], self.means[order], self.covariances[order], self.family)


def _shaped(weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    w, m, c = (_numbers(name, a) for name, a in zip(_NAMES, (weights, means, covariances), strict=True))
    shapes = f"{w.shape}, {m.shape}, {c.shape}"
    k, d = m.shape if m.ndim == 2 else (0, 0)  # noqa: PLR2004 - a matrix
    if not (k and d and w.shape == (k,) and c.shape == (k, d, d)):
        raise ParametersError(
            "shapes of weights, means, covariances",
            got=shapes,
            expected="(k,), (k, d), (k, d, d) with k and d at least 1",
            do="Give one weight, one mean and one full d x d covariance a component, whatever the family.",
        )
    return w, m, c


_NAMES = ("weights", "means", "covariances")


def _numbers(name: str, values: ArrayLike) -> FloatArray:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParametersError(
            name, got=str(error), expected="a rectangular array of numbers", do="Check the array's rows."
        ) from error
    if not np.isfinite(array).all():
        raise ParametersError(
            name,
            got=f"{np.count_nonzero(~np.isfinite(array))} values that are NaN or infinite",
            expected="finite numbers",
            do="The model is damaged or its fit diverged: fit it again.",
        )
    return array


def _check_family(family: str) -> None:
    if family not in FAMILIES:
        raise ParametersError(
            "covariance family", got=repr(family), expected=f"one of {', '.join(FAMILIES)}", do="Name one."
        )


def _check_weights(weights: FloatArray) -> None:
    with np.errstate(over="ignore"):
        total = weights.sum()
    if weights.min() < 0 or abs(total - 1) > _WEIGHT_SUM_TOLERANCE:
        raise ParametersError(
            "mixing weights",
            got=f"minimum {weights.min():.6g}, sum {total:.6g}",
            expected="none negative and a sum of 1",
            do="Divide them by their sum.",
        )


def _normalised(weights: FloatArray) -> FloatArray:
    """Return weights that sum to 1; the same bits where they do already, so that a stored model reads back exactly."""
    total = weights.sum()
    return weights if abs(total - 1) <= len(weights) * np.finfo(np.float64).eps else weights / total


def _check_covariances(covariances: FloatArray) -> None:
    scale = np.sqrt(np.abs(np.einsum("kii->ki", covariances)))
    with np.errstate(over="ignore"):  # of opposite numbers near the largest there are; then it is asymmetric
        skew = np.abs(covariances - covariances.transpose(0, 2, 1))
    asymmetric = (skew > _SYMMETRY_TOLERANCE * scale[:, :, None] * scale[:, None, :]).any(axis=(1, 2))
    bad = np.flatnonzero(asymmetric | ~positive_definite(covariances))
    if bad.size:
        raise ParametersError(
            f"covariances of components {bad.tolist()}",
            got="matrices that are not symmetric positive definite",
            expected="symmetric positive definite ones",
            do="Fewer components, a larger covarianceFloor, or no constant and duplicate columns.",
        )


def positive_definite(covariances: FloatArray) -> NDArray[np.bool_]:
    """Tell for each of the (k, d, d) matrices whether it has a Cholesky factor."""
    if _has_cholesky(covariances):  # one call for all, where all have one
        return np.ones(len(covariances), dtype=np.bool_)
    return np.array([_has_cholesky(covariance) for covariance in covariances], dtype=np.bool_)


def _has_cholesky(covariance: FloatArray) -> bool:
    try:
        return bool(np.isfinite(np.linalg.cholesky(covariance)).all())
    except np.linalg.LinAlgError:
        return False


def _frozen(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array
