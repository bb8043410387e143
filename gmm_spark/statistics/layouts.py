"""Layouts: the features whose sums over rows are the sufficient statistics of a family.

A layout is a list of F features phi(z) of a row, such that every component's log-density is linear in them,

    log(pi_k N(z; mu_k, S_k)) = Theta_k . phi(z) + (a term common to all components),

and the M-step needs only sum_n w r_nk phi(z_n). A pass with fewer features is cheaper:

    quadratic   [1, z_i, z_i z_j (i <= j)]   F = 1 + d + d(d+1)/2   any family
    diagonal    [1, z_i, z_i^2]              F = 1 + 2d             diag, spherical, tied-*; scaled z
    linear      [1, z_i]                     F = 1 + d              tied: z' P z is common to all, and
                                                                    its sum over rows never changes

Sums over all rows, without responsibilities, contain only the squares in the diagonal layout, else all products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.mixture.parameters import ALIGNED, Family
from gmm_spark.mixture.spread import Variances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gmm_spark.mixture.coordinates import Layout
    from gmm_spark.mixture.parameters import FloatArray, Parameters


# log 0 for a component of weight 0: finite, because -inf times 0 is NaN in a product.
_LOG_ZERO = -1e300


def feature_count(d: int, layout: Layout = "quadratic") -> int:
    """Return F, the number of features of d coordinates."""
    return 1 + d + {"quadratic": d * (d + 1) // 2, "diagonal": d, "linear": 0}[layout]


def total_layout(layout: Layout) -> Layout:
    """Return the layout of the sums over all rows, which are computed beside those of each component."""
    return "diagonal" if layout == "diagonal" else "quadratic"


def layout_for(candidates: Sequence[Parameters]) -> Layout:
    """Return the smallest layout that is enough for all candidates in one pass.

    A mixture stores its covariances as variances only if they are diagonal in these coordinates; only then are the
    diagonal sums enough for its M-step.
    """
    if all(_is_linear(candidate) for candidate in candidates):
        return "linear"
    if all(isinstance(candidate.spread, Variances) for candidate in candidates):
        return "diagonal"
    return "quadratic"


def _is_linear(parameters: Parameters) -> bool:
    """Return whether z'Pz is common to all components, which a noise component excludes."""
    values = parameters.spread.values
    return parameters.family == "tied" and parameters.noise is None and bool((values == values[0]).all())


def natural_parameters(parameters: Parameters, layout: Layout = "quadratic") -> FloatArray:
    """Return Theta, (k, F); the linear layout leaves out the term -z'Pz/2, which is common to all components.

    A noise adds one more row, with a constant density.
    """
    theta = _of_components(parameters, layout)
    if parameters.noise is None:
        return theta
    noise = np.zeros((1, theta.shape[1]))
    noise[0, 0] = parameters.noise.log_joint
    return np.concatenate([theta, noise])


def _of_components(parameters: Parameters, layout: Layout) -> FloatArray:
    d = parameters.d
    precisions, log_determinants = parameters.spread.inverted()
    linear = precisions.products(parameters.means)
    theta = np.empty((parameters.k, feature_count(d, layout)))
    theta[:, 0] = log_weights(parameters) - 0.5 * (
        d * np.log(2 * np.pi) + log_determinants + (linear * parameters.means).sum(axis=1)
    )
    theta[:, 1 : d + 1] = linear
    if layout == "diagonal":
        theta[:, d + 1 :] = -0.5 * precisions.variances
    elif layout == "quadratic":
        i, j = np.triu_indices(d)
        theta[:, d + 1 :] = np.where(i == j, -0.5, -1.0) * precisions.matrices[:, i, j]
    return theta


def common_term(parameters: Parameters, total: FloatArray, layout: Layout) -> float:
    """Return the sum over rows of the common term that `natural_parameters` leaves out.

    Args:
        parameters: the mixture.
        total: (F,) the weighted sums of the quadratic features over all rows.
        layout: of the natural parameters.
    """
    if layout != "linear":
        return 0.0
    precision = parameters.spread[:1].inverted()[0].matrices[0]
    return -0.5 * float((precision * symmetric(total[None, parameters.d + 1 :], parameters.d)[0]).sum())


def symmetric(upper: FloatArray, d: int) -> FloatArray:
    """Return (k, d, d) symmetric matrices from their upper triangles (k, d(d+1)/2), row by row."""
    matrices = np.empty((len(upper), d, d))
    i, j = np.triu_indices(d)
    matrices[:, i, j] = upper
    matrices[:, j, i] = upper
    return matrices


def sum_features(z: FloatArray, weights: FloatArray | None, layout: Layout) -> FloatArray:
    """Return the (F,) sums of w times the features of the layout (quadratic or diagonal) over (d, n) rows."""
    d, n = z.shape
    z = np.asarray(z, dtype=np.float64)
    weighted = z if weights is None else z * weights
    weight = float(n) if weights is None else weights.sum()
    squares = np.einsum("dn,dn->d", weighted, z) if layout == "diagonal" else (weighted @ z.T)[np.triu_indices(d)]
    return np.concatenate([[weight], weighted.sum(axis=1), squares])


def convert_total(total: FloatArray | None, d: int, layout: Layout) -> FloatArray | None:
    """Return sums over rows converted to the quadratic or the diagonal layout, or None if they lack its products."""
    if total is None or len(total) == feature_count(d, layout):
        return total
    squares = d + 1 + squares_in(d, "quadratic")
    return np.concatenate([total[: d + 1], total[squares]]) if layout == "diagonal" else None


def squares_in(d: int, layout: Layout) -> NDArray[np.intp]:
    """Return the indices of the d squares among the products of the quadratic or the diagonal layout."""
    places = np.arange(d)
    return places if layout == "diagonal" else places * d - places * (places - 1) // 2


def log_weights(parameters: Parameters) -> FloatArray:
    """Return (k,) log pi_k, a large negative number if pi_k is 0."""
    logs = np.full(parameters.k, _LOG_ZERO)
    np.log(parameters.weights, out=logs, where=parameters.weights > 0)
    return logs


def statistics_bytes(k: int, d: int, family: Family) -> int:
    """Return the size in bytes of a candidate's statistics, which each partition returns."""
    kind: Layout = "diagonal" if family in ALIGNED else "linear" if family == "tied" else "quadratic"
    return 8 * k * feature_count(d, kind)
