"""How many rows a search reads, and to what accuracy EM runs on them.

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
# On a plateau SQUAREM underestimates the remaining gain ten times: on a sample, where a pass is cheap, tol is smaller.
_SURER, _LEAST_TOL = 0.03, 1e-9


def rows_to_search(family: Family, k: int, d: int) -> int:
    """Return how many rows the first search needs."""
    return max(_LEAST_ROWS, _ROWS_PER_PARAMETER * families.free_parameters(family, k, d))


def rows_to_tol(family: Family, k: int, d: int, tol: float) -> float:
    """Return the number of random rows whose optimum is tol below that of all rows; 0 where tol is 0."""
    return families.free_parameters(family, k, d) / (2 * tol) if tol > 0 else 0.0


def sample_rows(family: Family, k: int, d: int, tol: float, rows: float = math.inf, limits: Limits = LIMITS) -> int:
    """Return the size of the sample: enough rows for an error of tol, if one process can hold them.

    If it can't, or if tol is 0, the sample is about as large as the first search needs.
    """
    most = limits.sample_bytes // (8 * d)
    least = min(rows_to_search(family, k, d), most)
    enough = max(least, min(rows_to_tol(family, k, d, tol), rows))
    return int(enough if enough <= most else min(most, max(least, limits.short_sample_bytes // (8 * d))))


def accuracy(family: Family, k: int, d: int, rows: float) -> float:
    """Return the tol of EM on n random rows, in nats per unit of weight: a tenth of their own error."""
    return _OWN_ACCURACY * families.sample_error(family, k, d, rows)


def sample_tol(family: Family, k: int, tol: float, sample: Sample, rows: int) -> float:
    """Return the tol of fits to a sample: its own accuracy, or a small part of tol if that is more.

    Args:
        family: of the mixtures.
        k: their number of components.
        tol: of the fit to all rows.
        sample: the sample.
        rows: the number of all rows.
    """
    d, n = sample.z.shape
    sample_accuracy = accuracy(family, k, d, sample.effective_rows) if n < rows else 0.0
    return max(_SURER * tol, sample_accuracy, _LEAST_TOL)
