"""Numbers the components of a new fit like those of an earlier model, by the cheapest one-to-one matching.

The order of the components of a fit is arbitrary. If a table written with yesterday's model says
"component 3", that number should mean the same group of rows after a refit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import ModelError
from gmm_spark.mixture.spread import Matrices, Variances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.mixture.spread import Spread


def align(parameters: Parameters, reference: Parameters) -> Parameters:
    """Return the mixture with its components in the order of the most similar components of the reference.

    The one-to-one matching has the least sum of `distances`. Weights do not count, because a group may
    grow. Components without a match in the reference follow by falling weight.

    Args:
        parameters: the mixture to reorder.
        reference: the mixture whose component numbers are used; the same features, any family.

    Raises:
        ModelError: other features, or fewer components than the reference, which leaves a number unused.
    """
    if parameters.d != reference.d or parameters.k < reference.k:
        raise ModelError(
            "the model to align to",
            got=f"{reference.k} components of {reference.d} features",
            expected=f"at most {parameters.k} components of {parameters.d} features",
            do="Fit at least as many components on the same features, or turn the alignment off.",
        )
    matched = assignment(distances(reference, parameters))
    others = np.setdiff1d(np.arange(parameters.k), matched)
    order = np.concatenate([matched, others[np.argsort(-parameters.weights[others], kind="stable")]])
    return parameters.reordered(order)


def distances(one: Parameters, other: Parameters) -> FloatArray:
    """Return (k, k') Bhattacharyya distances between the components of two mixtures, in nats.

    With S the mean of the two covariances and e the difference of the means,

        e' S^-1 e / 8 + (log|S| - (log|S_1| + log|S_2|) / 2) / 2

    (Bhattacharyya, Bull. Calcutta Math. Soc. 35, 1943). Affine maps of the features do not change it. If a
    covariance shrinks, they grow with its logarithm; the Kullback-Leibler divergence grows with its inverse.
    """
    diagonal = isinstance(one.spread, Variances) and isinstance(other.spread, Variances)
    offsets = one.means[:, None] - other.means[None]
    rows = [_distances_from(one.spread[k : k + 1], other.spread, to, diagonal=diagonal) for k, to in enumerate(offsets)]
    return np.stack(rows)


def _distances_from(one: Spread, others: Spread, offsets: FloatArray, *, diagonal: bool) -> FloatArray:
    """Return (k,) distances of one component to k others; offsets: (k, d), its mean minus theirs."""
    form = Variances if diagonal else Matrices
    mine, theirs = (one, others) if diagonal else (Matrices(one.matrices), Matrices(others.matrices))
    pooled = form((mine.values + theirs.values) / 2)
    between = pooled.inverse_forms(offsets) / 8
    return between + (pooled.log_determinants - (mine.log_determinants + theirs.log_determinants) / 2) / 2


def assignment(costs: FloatArray) -> NDArray[np.intp]:
    """Return the column of each of n rows in the cheapest one-to-one assignment.

    The Hungarian method by shortest augmenting paths, O(n^2 m): Kuhn, Naval Res. Logist. Quart. 2, 1955;
    Jonker and Volgenant, Computing 38, 1987.

    Args:
        costs: (n, m) finite costs, n at most m.
    """
    n, m = costs.shape
    row_prices, column_prices = np.zeros(n), np.zeros(m + 1)
    holder = np.full(m + 1, -1, dtype=np.intp)  # the row assigned to each column; every search starts from column m
    for row in range(n):
        holder[m] = row
        column, previous = _augmenting_path(costs, row_prices, column_prices, holder)
        while column != m:
            holder[column] = holder[previous[column]]
            column = int(previous[column])
    columns = np.empty(n, dtype=np.intp)
    assigned = np.flatnonzero(holder[:m] >= 0)
    columns[holder[assigned]] = assigned
    return columns


def _augmenting_path(
    costs: FloatArray, row_prices: FloatArray, column_prices: FloatArray, holder: NDArray[np.intp]
) -> tuple[int, NDArray[np.intp]]:
    """Return a free column and each column's predecessor on the path to it; update the prices in place."""
    m = costs.shape[1]
    slack = np.full(m, np.inf)
    previous = np.full(m + 1, m, dtype=np.intp)
    visited = np.zeros(m + 1, dtype=np.bool_)
    column = m
    while holder[column] >= 0:
        visited[column] = True
        row = holder[column]
        reduced = costs[row] - row_prices[row] - column_prices[:m]
        closer = ~visited[:m] & (reduced < slack)
        slack[closer], previous[:m][closer] = reduced[closer], column
        nearest = int(np.where(visited[:m], np.inf, slack).argmin())
        step = slack[nearest]
        row_prices[holder[visited]] += step
        column_prices[visited] -= step
        slack[~visited[:m]] -= step
        column = nearest
    return column, previous
