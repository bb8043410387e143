"""The engines that compute log-densities and sums of tiles of rows, and the choice of one for a stack of candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np

from gmm_spark.statistics import layouts
from gmm_spark.statistics.factors import DifferenceEngine, FactorEngine
from gmm_spark.statistics.products import ProductEngine
from gmm_spark.statistics.sparse import LEAST_FEATURES, SparseSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.mixture.coordinates import Layout
    from gmm_spark.mixture.parameters import FloatArray, Parameters

Precision: TypeAlias = Literal["float64", "float32"]

# Above this kappa cancellation leaves the quadratic form fewer than seven digits: use differences to the mean.
_CAREFUL = 1e9
_FAR = 1e6  # squared distance from the origin; its mean over all rows is d
# Up to this kappa float32 products compute log-densities with an error of at most 1e-3: 20 * 6e-8 * kappa.
_SINGLE = 1e-3 / (20 * 6e-8)
# By factor from d = 32 on for up to d/8 components. Ratio of seconds, product / factor, one BLAS thread: d = 32: 1.3
# (k = 2), 0.9 (4), 0.6 (8); d = 64: 1.7 (4), 1.1 (8), 0.9 (12); d = 128: 1.3 (8), 1.0 (16), 0.9 (24); d = 256: 1.4 (8).
_WIDE, _WIDE_PER_COMPONENT = 32, 8


class Engine(Protocol):
    """Computes joint log-densities and sums of tiles of rows, in its own scratch memory."""

    @property
    def width(self) -> int:
        """The largest number of rows in a tile."""

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The type of log-densities and responsibilities."""

    @property
    def sums(self) -> FloatArray:
        """(k, F) the sums over all tiles so far."""

    def joint(self, z: FloatArray) -> FloatArray:
        """Return the joint log-densities (k, n) of a tile (d, n)."""

    def add(self, shares: FloatArray, z: FloatArray) -> None:
        """Add the sums of the tile of the last call of `joint`; shares (k, n) may be overwritten."""


@dataclass(frozen=True)
class Method:
    """How the statistics of a stack of candidates are computed.

    Args:
        path: by two products over all components, by one factor per component, or by differences to each mean.
        layout: the features that are summed.
        precision: of the products; sums over tiles are float64.
    """

    path: Literal["product", "factor", "difference"]
    layout: Layout
    precision: Precision = "float64"

    def engine(self, candidates: Sequence[Parameters]) -> Engine:
        """Return the engine for these candidates."""
        dtype = np.dtype(self.precision)
        if self.path == "difference":
            return DifferenceEngine(candidates, self.layout)
        if self.path == "factor":
            return FactorEngine(candidates, dtype)
        theta = np.concatenate([layouts.natural_parameters(candidate, self.layout) for candidate in candidates])
        return ProductEngine(theta, candidates[0].d, self.layout, dtype)

    def sparse(self, k: int, d: int, width: int) -> SparseSums | None:
        """Return the sums for tiles with few responsibilities that count; None if they would not be faster."""
        if self.path == "difference" or self.layout != "quadratic" or d < LEAST_FEATURES:
            return None
        return SparseSums(k, d, width, np.dtype(self.precision))


def choose(candidates: Sequence[Parameters], precision: Precision = "float64", *, densities: bool = False) -> Method:
    """Choose how to compute a stack: the safe path if it is necessary, else the fastest.

    Args:
        candidates: the stack.
        precision: of the products; float64 is used if the error bound requires it.
        densities: whether the density of each row is needed, which excludes the linear layout.
    """
    kappa = max(float(condition(candidate).max()) for candidate in candidates)
    layout, d = layouts.layout_for(candidates), candidates[0].d
    if densities and layout == "linear":
        layout = "quadratic"
    if not kappa <= _CAREFUL or any(_cancels(candidate) for candidate in candidates):
        return Method("difference", layouts.total_layout(layout))
    few = d >= _WIDE and _WIDE_PER_COMPONENT * sum(candidate.k_with_noise for candidate in candidates) <= d
    path: Literal["factor", "product"] = "factor" if few and layout == "quadratic" else "product"
    return Method(path, layout, precision if kappa <= _SINGLE else "float64")


def _cancels(parameters: Parameters) -> bool:
    """Return whether a component far from the origin (where only a few far rows can be) is thin in some direction.

    Kappa does not show this if the component is long towards the origin: the terms of mu' S^-1 mu then cancel.
    """
    squares = (parameters.means**2).sum(axis=1)
    far = squares > _FAR
    if not far.any():
        return False
    precisions, _ = parameters.spread[far].inverted()
    return bool((squares[far] * precisions.variances.sum(axis=1) > _CAREFUL).any())


def condition(parameters: Parameters) -> FloatArray:
    """Return (k,) kappa_k = d + mu' S^-1 mu: two products give log-densities with an error of about 20 u kappa_k."""
    precisions, _ = parameters.spread.inverted()
    return parameters.d + precisions.quadratic_forms(parameters.means)
