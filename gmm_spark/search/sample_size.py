"""How many rows a search reads, and to what accuracy it is worth running EM on them.

The optimum of n random rows is about p / (2n) nats per row below that of all rows, for p free parameters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gmm_spark.limits import LIMITS, Limits
from gmm_spark.mixture import families

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import Family
    from gmm_spark.search.sample import Sample

GROWTH = 4  # each part of a sample, and of the rows, is larger than the one before by this factor
_ROWS_PER_PARAMETER, _LEAST_ROWS = 50, 20_000
_OWN_ACCURACY = 0.1  # times p / (2n)
# On a plateau SQUAREM takes what is left for a tenth of it: where a pass is cheap, it is asked for more.
_SURER, _LEAST_TOL = 0.03, 1e-9


def rows_to_search(family: Family, k: int, d: int) -> int:
    """Return how many rows decide where to look."""
    return max(_LEAST_ROWS, _ROWS_PER_PARAMETER * families.free_parameters(family, k, d))


def rows_to_tol(family: Family, k: int, d: int, tol: float) -> float:
    """Return the number of random rows whose optimum is tol below that of all rows; 0 where tol is 0."""
    return families.free_parameters(family, k, d) / (2 * tol) if tol > 0 else 0.0


def sample_rows(family: Family, k: int, d: int, tol: float, rows: float = math.inf, limits: Limits = LIMITS) -> int:
    """Return how many of the rows to sample: enough that their own error is tol, if one process can hold them.

    Where it can't, as many as decide where to look, and not many more; so too where tol is 0.
    """
    most = limits.sample_bytes // (8 * d)
    least = min(rows_to_search(family, k, d), most)
    enough = max(least, min(rows_to_tol(family, k, d, tol), rows))
    return int(enough if enough <= most else min(most, max(least, limits.short_sample_bytes // (8 * d))))


def accuracy(family: Family, k: int, d: int, rows: float) -> float:
    """Return to how many nats per unit of weight it is worth running EM on a random part of n rows."""
    return _OWN_ACCURACY * families.sample_error(family, k, d, rows)


def sample_tol(family: Family, k: int, tol: float, sample: Sample, rows: int) -> float:
    """Return the tol of fits to a sample: its own accuracy, or what spares all rows the steps if that is more.

    Args:
        family: of the mixtures.
        k: their number of components.
        tol: of the fit to all rows.
        sample: the sample.
        rows: how many rows there are in all.
    """
    d, n = sample.z.shape
    worth = accuracy(family, k, d, sample.effective_rows) if n < rows else 0.0
    return max(_SURER * tol, worth, _LEAST_TOL)
