"""How many starts of a search lead to the same partition of the rows: few do if the mixture fits by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.statistics import kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray, Parameters

_ROWS = 4000
# Two partitions with at least this adjusted Rand index count as the same.
_SAME = 0.9


def stability(led: Sequence[Parameters], best: Parameters, z: FloatArray) -> float:
    """Return the share of the starts that led to the partition of the best mixture; NaN without starts.

    Args:
        led: the mixture of each start after its short run.
        best: the mixture that the search found.
        z: (d, n) rows, of which the first are compared.
    """
    rows = np.ascontiguousarray(z[:, :_ROWS].T)
    partition = _partition(best, rows)
    same = [adjusted_rand_index(_partition(each, rows), partition) >= _SAME for each in led]
    return float(np.mean(same)) if same else float("nan")


def adjusted_rand_index(one: NDArray[np.intp], other: NDArray[np.intp]) -> float:
    """Return how well two partitions of n rows agree: 1 if they are the same, about 0 by chance.

    Hubert and Arabie, Comparing partitions, J. Classification 2, 1985.
    """
    _, a = np.unique(one, return_inverse=True)
    _, b = np.unique(other, return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    both, rows, columns = (_pairs(each) for each in (table, table.sum(axis=1), table.sum(axis=0)))
    chance = rows * columns / _pairs(np.array(len(one))) if len(one) > 1 else 0.0
    most = (rows + columns) / 2
    return 1.0 if most == chance else float((both - chance) / (most - chance))


def _pairs(counts: FloatArray) -> float:
    return float((counts * (counts - 1) / 2).sum())


def _partition(parameters: Parameters, rows: FloatArray) -> NDArray[np.intp]:
    return kernel.most_probable(kernel.posteriors(rows, parameters)[0], parameters)
