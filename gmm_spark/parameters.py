"""The parameters of a Gaussian mixture: weights, means, covariances and their family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from gmm_spark.arrays import FloatArray, positive_definite
from gmm_spark.errors import ParametersError
from gmm_spark.spread import Matrices, Spread, diagonal_form

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ALIGNED", "FAMILIES", "SHARED", "Family", "FloatArray", "Parameters", "positive_definite"]

Family = Literal["full", "tied", "diag", "spherical", "tied-diag", "tied-spherical"]
FAMILIES: tuple[Family, ...] = get_args(Family)
# Families whose covariances are diagonal in the user's coordinates: they are stored as variances.
ALIGNED: frozenset[Family] = frozenset({"diag", "spherical", "tied-diag", "tied-spherical"})
# Families whose components have one covariance together.
SHARED: frozenset[Family] = frozenset({"tied", "tied-diag", "tied-spherical"})

_WEIGHT_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, init=False)
class Parameters:
    """A mixture sum_k weights[k] N(x; means[k], covariances[k]); immutable, valid by construction.

    Args:
        weights: (k,) mixing weights, non-negative, summing to 1 (within 1e-6; normalised exactly).
        means: (k, d), in the units of the data.
        spread: the covariances in squared units: (k, d, d) symmetric positive definite matrices, whatever the family;
            of the families in `ALIGNED` also (k, d) variances, which is what is stored of them where they are diagonal.
        family: the constraint the covariances obey, see `families`.

    Raises:
        ParametersError: shapes that do not agree, values that are not finite, weights that are no
            distribution, or a covariance that is not symmetric positive definite.
    """

    weights: FloatArray
    means: FloatArray
    spread: Spread
    family: Family = "full"

    def __init__(
        self, weights: ArrayLike, means: ArrayLike, spread: ArrayLike | Spread, family: Family = "full"
    ) -> None:
        _check_family(family)
        own_weights, own_means, covariances = _shaped(weights, means, _values(spread, family), family)
        _check_weights(own_weights)
        own = diagonal_form(covariances) if family in ALIGNED else Matrices(covariances)
        _check_covariances(own)
        object.__setattr__(self, "weights", _frozen(_normalised(own_weights)))
        object.__setattr__(self, "means", _frozen(own_means))
        object.__setattr__(self, "spread", type(own)(_frozen(_symmetric(own.values))))
        object.__setattr__(self, "family", family)

    @property
    def covariances(self) -> FloatArray:
        """(k, d, d) the covariances, whatever the family; made on demand where variances are stored."""
        return _frozen(self.spread.matrices)

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
        return Parameters(self.weights[order], self.means[order], self.spread[order], self.family)


def _values(spread: ArrayLike | Spread, family: Family) -> ArrayLike:
    if not isinstance(spread, Spread):
        return spread
    return spread.values if family in ALIGNED else spread.matrices


def _shaped(
    weights: ArrayLike, means: ArrayLike, covariances: ArrayLike, family: Family
) -> tuple[FloatArray, FloatArray, FloatArray]:
    w, m, c = (_numbers(name, a) for name, a in zip(_NAMES, (weights, means, covariances), strict=True))
    shapes = f"{w.shape}, {m.shape}, {c.shape}"
    k, d = m.shape if m.ndim == 2 else (0, 0)  # noqa: PLR2004 - a matrix
    allowed = {(k, d, d), (k, d)} if family in ALIGNED else {(k, d, d)}
    if not (k and d and w.shape == (k,) and c.shape in allowed):
        raise ParametersError(
            "shapes of weights, means, covariances",
            got=shapes,
            expected="(k,), (k, d), (k, d, d) with k and d at least 1"
            + (f", or of {family} (k, d) variances" if family in ALIGNED else ""),
            do="Give one weight, one mean and one full d x d covariance per component, whatever the family.",
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


def _check_covariances(spread: Spread) -> None:
    bad = np.flatnonzero(spread.faulty())
    if bad.size:
        raise ParametersError(
            f"covariances of components {bad.tolist()}",
            got="matrices that are not symmetric positive definite",
            expected="symmetric positive definite ones",
            do="Fewer components, a larger covarianceFloor, or no constant and duplicate columns.",
        )


def _symmetric(values: FloatArray) -> FloatArray:
    """Return matrices without what rounding left of asymmetry; variances as they are."""
    return values if values.ndim == 2 else values / 2 + values.transpose(0, 2, 1) / 2  # noqa: PLR2004


def _frozen(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array
