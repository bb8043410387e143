"""What computes log-densities and sums of tiles of rows, and which engine suits a stack of candidates."""

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

# Above this kappa the quadratic form cancels to fewer than seven digits: differences to the mean instead.
_CAREFUL = 1e9
_FAR = 1e6  # squared distance from the origin: all rows together have d
# Up to this kappa a log-density by float32 products errs by at most 1e-3: 20 * 6e-8 * kappa.
_SINGLE = 1e-3 / (20 * 6e-8)
# By factor from d = 32 on for up to d/8 components, product / factor seconds on one core and BLAS thread: d = 32: 1.3
# (k = 2), 0.9 (4), 0.6 (8); d = 64: 1.7 (4), 1.1 (8), 0.9 (12); d = 128: 1.3 (8), 1.0 (16), 0.9 (24); d = 256: 1.4 (8).
_WIDE, _WIDE_PER_COMPONENT = 32, 8


class Engine(Protocol):
    """Joint log-densities and sums of tiles of rows, in scratch of its own."""

    @property
    def width(self) -> int:
        """The most rows of a tile."""

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Of log-densities and responsibilities."""

    @property
    def sums(self) -> FloatArray:
        """(k, F) the sums over all tiles so far."""

    def joint(self, z: FloatArray) -> FloatArray:
        """Return the joint log-densities (k, n) of a tile (d, n)."""

    def add(self, shares: FloatArray, z: FloatArray) -> None:
        """Add the sums of the tile that `joint` was last called for; shares (k, n) may be overwritten."""


@dataclass(frozen=True)
class Choice:
    """How a stack of candidates is computed.

    Args:
        path: by two products over all components, by a factor a component, or by differences to each mean.
        layout: which features are summed.
        precision: of the products; sums over tiles are float64.
    """

    path: Literal["product", "factor", "difference"]
    layout: Layout
    precision: Precision = "float64"

    def engine(self, candidates: Sequence[Parameters]) -> Engine:
        """Return what computes these candidates."""
        dtype = np.dtype(self.precision)
        if self.path == "difference":
            return DifferenceEngine(candidates, self.layout)
        if self.path == "factor":
            return FactorEngine(candidates, dtype)
        theta = np.concatenate([layouts.natural_parameters(each, self.layout) for each in candidates])
        return ProductEngine(theta, candidates[0].d, self.layout, dtype)

    def sparse(self, k: int, d: int, width: int) -> SparseSums | None:
        """Return what sums tiles in which few responsibilities count; None where that is not the faster."""
        if self.path == "difference" or self.layout != "quadratic" or d < LEAST_FEATURES:
            return None
        return SparseSums(k, d, width, np.dtype(self.precision))


def choose(candidates: Sequence[Parameters], precision: Precision = "float64") -> Choice:
    """Choose how to compute a stack: safe first, then fast."""
    kappa = max(float(condition(each).max()) for each in candidates)
    layout, d = layouts.layout_for(candidates), candidates[0].d
    if not kappa <= _CAREFUL or any(_cancels(each) for each in candidates):
        return Choice("difference", layouts.total_layout(layout))
    few = d >= _WIDE and _WIDE_PER_COMPONENT * sum(each.k_with_noise for each in candidates) <= d
    path: Literal["factor", "product"] = "factor" if few and layout == "quadratic" else "product"
    return Choice(path, layout, precision if kappa <= _SINGLE else "float64")


def _cancels(parameters: Parameters) -> bool:
    """Return whether a component so far away that only a few far rows can be there is thin in some direction.

    Kappa does not show it where the component is long towards the origin: there the terms of mu' S^-1 mu cancel.
    """
    squares = (parameters.means**2).sum(axis=1)
    far = squares > _FAR
    if not far.any():
        return False
    precisions, _ = parameters.spread[far].inverted()
    return bool((squares[far] * precisions.variances.sum(axis=1) > _CAREFUL).any())


def condition(parameters: Parameters) -> FloatArray:
    """Return (k,) kappa_k = d + mu' S^-1 mu: a log-density by two products errs by about 20 u kappa_k."""
    precisions, _ = parameters.spread.inverted()
    return parameters.d + precisions.quadratic_forms(parameters.means)
