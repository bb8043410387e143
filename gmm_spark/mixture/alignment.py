"""Today's components under yesterday's numbers: the cheapest one-to-one matching of two mixtures.

A fit has no order of components of its own. A table that was written with yesterday's model says
"component 3", and after a refit that should still be the same group of rows.
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


def aligned(parameters: Parameters, reference: Parameters) -> Parameters:
    """Return the mixture with its components in the order of those of the reference that they resemble.

    Of all one-to-one matchings it is the one with the least sum of `distances`; weights do not count, for
    a group may grow. Components that the reference has no match for follow by falling weight.

    Args:
        parameters: the mixture to put in order.
        reference: the mixture whose numbers are kept, of the same features and of any family.

    Raises:
        ModelError: other features, or fewer components than the reference has: a number would be left over.
    """
    if parameters.d != reference.d or parameters.k < reference.k:
        raise ModelError(
            "the model to align to",
            got=f"{reference.k} components of {reference.d} features",
            expected=f"at most {parameters.k} components of {parameters.d} features",
            do="Fit at least as many components on the same features, or do without the alignment.",
        )
    matched = assignment(distances(reference, parameters))
    others = np.setdiff1d(np.arange(parameters.k), matched)
    order = np.concatenate([matched, others[np.argsort(-parameters.weights[others], kind="stable")]])
    return parameters.taken(order)


def distances(one: Parameters, other: Parameters) -> FloatArray:
    """Return (k, k') Bhattacharyya distances between the components of two mixtures, in nats.

    With S the mean of the two covariances and e the difference of the means,

        e' S^-1 e / 8 + (log|S| - (log|S_1| + log|S_2|) / 2) / 2

    (Bhattacharyya, Bull. Calcutta Math. Soc. 35, 1943). No affine map of the features changes it, and
    a covariance that shrinks raises it by its logarithm only, where Kullback-Leibler's grows as its inverse.
    """
    diagonal = isinstance(one.spread, Variances) and isinstance(other.spread, Variances)
    offsets = one.means[:, None] - other.means[None]
    rows = [_from(one.spread[k : k + 1], other.spread, own, diagonal=diagonal) for k, own in enumerate(offsets)]
    return np.stack(rows)


def _from(one: Spread, others: Spread, offsets: FloatArray, *, diagonal: bool) -> FloatArray:
    """Return (k,) distances from a single component, to whose mean the others' are at (k, d) offsets."""
    form = Variances if diagonal else Matrices
    mine, theirs = (one, others) if diagonal else (Matrices(one.matrices), Matrices(others.matrices))
    pooled = form((mine.values + theirs.values) / 2)
    between = pooled.inverse_forms(offsets) / 8
    return between + (pooled.log_determinants - (mine.log_determinants + theirs.log_determinants) / 2) / 2


def assignment(costs: FloatArray) -> NDArray[np.intp]:
    """Return for each of n rows its column in the cheapest one-to-one assignment.

    The Hungarian method by shortest augmenting paths, O(n^2 m): Kuhn, Naval Res. Logist. Quart. 2, 1955;
    Jonker and Volgenant, Computing 38, 1987.

    Args:
        costs: (n, m) finite costs, n at most m.
    """
    n, m = costs.shape
    row_prices, column_prices = np.zeros(n), np.zeros(m + 1)
    holder = np.full(m + 1, -1, dtype=np.intp)  # which row has a column; column m is where each search begins
    for row in range(n):
        holder[m] = row
        column, previous = _augmenting_path(costs, row_prices, column_prices, holder)
        while column != m:
            holder[column] = holder[previous[column]]
            column = int(previous[column])
    columns = np.empty(n, dtype=np.intp)
    taken = np.flatnonzero(holder[:m] >= 0)
    columns[holder[taken]] = taken
    return columns


def _augmenting_path(
    costs: FloatArray, row_prices: FloatArray, column_prices: FloatArray, holder: NDArray[np.intp]
) -> tuple[int, NDArray[np.intp]]:
    """Return a free column and the way back from it; raise the prices along the way, in place."""
    m = costs.shape[1]
    slack = np.full(m, np.inf)
    previous = np.full(m + 1, m, dtype=np.intp)
    seen = np.zeros(m + 1, dtype=np.bool_)
    column = m
    while holder[column] >= 0:
        seen[column] = True
        row = holder[column]
        reduced = costs[row] - row_prices[row] - column_prices[:m]
        closer = ~seen[:m] & (reduced < slack)
        slack[closer], previous[:m][closer] = reduced[closer], column
        nearest = int(np.where(seen[:m], np.inf, slack).argmin())
        step = slack[nearest]
        row_prices[holder[seen]] += step
        column_prices[seen] -= step
        slack[~seen[:m]] -= step
        column = nearest
    return column, previous
