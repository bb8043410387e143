"""The parameters of a Gaussian mixture: weights, means, covariances and their family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from gmm_spark.errors import ParametersError
from gmm_spark.mixture.arrays import FloatArray, positive_definite, restore
from gmm_spark.mixture.spread import Matrices, Spread, Variances

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from gmm_spark.mixture.noise import Noise

__all__ = ["ALIGNED", "FAMILIES", "SHARED", "Family", "FloatArray", "Parameters", "positive_definite"]

Family = Literal["full", "tied", "diag", "spherical", "tied-diag", "tied-spherical"]
FAMILIES: tuple[Family, ...] = get_args(Family)
# Families whose covariances are diagonal in the user's coordinates, and stored as variances.
ALIGNED: frozenset[Family] = frozenset({"diag", "spherical", "tied-diag", "tied-spherical"})
# Families whose components share one covariance.
SHARED: frozenset[Family] = frozenset({"tied", "tied-diag", "tied-spherical"})

_WEIGHT_SUM_TOLERANCE = 1e-6
_SYMMETRY_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False, init=False)
class Parameters:
    """A mixture sum_k weights[k] N(x; means[k], covariances[k]); immutable, valid by construction.

    Args:
        weights: (k,) mixing weights, non-negative, with sum 1 - noise.weight (within 1e-6; normalised exactly).
        means: (k, d), in the units of the data.
        spread: the covariances in squared units: (k, d, d) symmetric positive definite matrices for any family, or
            (k, d) variances for a family in `ALIGNED`. Diagonal matrices of such a family are stored as variances.
        family: the constraint on the covariances, see `families`.
        noise: a uniform component with the rest of the weight, or None.

    Raises:
        ParametersError: shapes that do not agree, values that are not finite, weights that are negative or
            do not add up, or a covariance that is not symmetric positive definite.
    """

    weights: FloatArray
    means: FloatArray
    spread: Spread
    family: Family = "full"
    noise: Noise | None = None

    def __init__(
        self,
        weights: ArrayLike,
        means: ArrayLike,
        spread: ArrayLike | Spread,
        family: Family = "full",
        noise: Noise | None = None,
    ) -> None:
        _check_family(family)
        weight_array, mean_array, covariances = _shaped(weights, means, _values(spread, family), family)
        total = 1.0 if noise is None else 1.0 - noise.weight
        _check_weights(weight_array, total)
        _check_noise(noise, mean_array.shape[1])
        stored = diagonal_form(covariances) if family in ALIGNED else Matrices(covariances)
        object.__setattr__(self, "weights", _frozen(_normalised(weight_array, total)))
        object.__setattr__(self, "means", _frozen(mean_array))
        object.__setattr__(self, "spread", _checked(stored))
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "noise", noise)

    def replaced(
        self,
        weights: FloatArray | None = None,
        means: FloatArray | None = None,
        spread: Spread | None = None,
    ) -> Parameters:
        """Return the mixture with other arrays, the same family and the same noise.

        Args:
            weights: (k',) in any unit; they are scaled to the sum 1 - noise.weight.
            means: (k', d).
            spread: the covariances.

        Raises:
            ParametersError: as for the class.
        """
        if weights is not None:
            total = 1.0 if self.noise is None else 1.0 - self.noise.weight
            weights = weights / (weights.sum() / total)
        return Parameters(
            self.weights if weights is None else weights,
            self.means if means is None else means,
            self.spread if spread is None else spread,
            self.family,
            self.noise,
        )

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        """All arrays that define the mixture."""
        arrays, noise = (self.weights, self.means, self.spread.values), self.noise
        return arrays if noise is None else (*arrays, np.array([noise.weight, noise.shift]), noise.box)

    @property
    def k_with_noise(self) -> int:
        """The number of components, counting the noise: the length of a posterior."""
        return self.k + (self.noise is not None)

    @property
    def covariances(self) -> FloatArray:
        """(k, d, d) the covariances of any family; computed on demand if variances are stored."""
        return _frozen(self.spread.matrices)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

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
        """(k,) the indices of the components by falling weight, ties by mean."""
        return np.lexsort((*self.means.T[::-1], -self.weights))

    def ordered(self) -> Parameters:
        """Return the same mixture with its components by falling weight, ties by mean."""
        return self.reordered(self.order)

    def reordered(self, order: NDArray[np.integer[Any]]) -> Parameters:
        """Return the same mixture with its components in this order."""
        return Parameters(self.weights[order], self.means[order], self.spread[order], self.family, self.noise)

    def with_noise(self, noise: Noise | None) -> Parameters:
        """Return the mixture with a noise component; all other weights shrink by the same factor."""
        if noise is None:
            return self
        return Parameters(
            self.weights / self.weights.sum() * (1 - noise.weight), self.means, self.spread, self.family, noise
        )


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
            do="Give one weight, one mean and one full d x d covariance per component, for any family.",
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


def _check_weights(weights: FloatArray, expected: float) -> None:
    with np.errstate(over="ignore"):
        total = weights.sum()
    if weights.min() < 0 or abs(total - expected) > _WEIGHT_SUM_TOLERANCE:
        raise ParametersError(
            "mixing weights",
            got=f"minimum {weights.min():.6g}, sum {total:.6g}",
            expected=f"none negative and a sum of {expected:.6g}",
            do="Divide them by their sum" + ("." if expected == 1 else ", and multiply by 1 minus the noise's weight."),
        )


def _check_noise(noise: Noise | None, d: int) -> None:
    if noise is not None and noise.box.shape[1] != d:
        raise ParametersError(
            "box of the noise component",
            got=f"{noise.box.shape[1]} features",
            expected=f"{d}, like the means",
            do="Give the least and the largest value of each feature.",
        )


def _normalised(weights: FloatArray, expected: float) -> FloatArray:
    """Return weights with this sum; unchanged if the sum is right, so that a stored model reads back bit for bit."""
    total = weights.sum()
    exact = abs(total - expected) <= len(weights) * np.finfo(np.float64).eps
    return weights if exact else weights * (expected / total) if expected != 1 else weights / total


def diagonal_form(covariances: FloatArray) -> Spread:
    """Return (k, d) variances, or (k, d, d) matrices as `Variances` if all are diagonal, else as `Matrices`."""
    if covariances.ndim == 2:  # noqa: PLR2004 - one variance per component and feature
        return Variances(covariances)
    diagonals = Matrices(covariances).variances.copy()  # a view would keep the matrices in memory
    is_diagonal = np.count_nonzero(covariances) == np.count_nonzero(diagonals)
    return Variances(diagonals) if is_diagonal else Matrices(covariances)


def _skewed(spread: Spread) -> NDArray[np.bool_]:
    """Return (k,) which covariances are not symmetric, beyond rounding errors."""
    if not isinstance(spread, Matrices):
        return np.zeros(len(spread.values), dtype=np.bool_)
    scale = np.sqrt(np.abs(spread.variances))
    with np.errstate(over="ignore"):  # the difference of two huge opposite numbers is infinite: asymmetric
        skew = np.abs(spread.values - spread.values.transpose(0, 2, 1))
    return np.asarray((skew > _SYMMETRY_TOLERANCE * scale[:, :, None] * scale[:, None, :]).any(axis=(1, 2)))


def _checked(spread: Spread) -> Spread:
    """Return the covariances made exactly symmetric, with their Cholesky factors cached, or refuse them."""
    symmetric = type(spread)(_frozen(_symmetric(spread.values)))
    bad = np.flatnonzero(_skewed(spread) | symmetric.faulty())
    if bad.size:
        raise ParametersError(
            f"covariances of components {bad.tolist()}",
            got="matrices that are not symmetric positive definite",
            expected="symmetric positive definite ones",
            do="In a fit, use fewer components or a larger covariance floor, or drop constant and duplicate columns.",
        )
    return symmetric


def _symmetric(values: FloatArray) -> FloatArray:
    """Return matrices made symmetric, to remove rounding errors; variances unchanged."""
    return values if values.ndim == 2 else values / 2 + values.transpose(0, 2, 1) / 2  # noqa: PLR2004


def _frozen(array: FloatArray) -> FloatArray:
    array.setflags(write=False)
    return array
