"""What a survey shows before a fit: what refuses it, and what is doubtful about it, with the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import DataError
from gmm_spark.mixture import families
from gmm_spark.statistics.layouts import statistics_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.statistics.survey import Survey

# A covariance estimated from fewer rows than this for each free number is mostly noise.
_ROWS_PER_PARAMETER = 10
# Above this the statistics of one candidate alone take a second to send, and the driver holds several of them.
_MOST_STATISTICS = 64 << 20
_SAME, _MOST_PAIRS, _MOST_NAMED = 1e-12, 5, 5
_UNEQUAL = 0.99  # below this share of effective rows the weights are worth a word


@dataclass(frozen=True)
class Refused:
    """The rows that cannot be used, for an error's `got`.

    Args:
        counts: rows by reason, zero counts too.
        usable: the other rows.
    """

    counts: Mapping[str, int]
    usable: int

    @property
    def fraction(self) -> float:
        """The share of all rows that cannot be used; 0 where there is none."""
        bad = sum(self.counts.values())
        return bad / max(bad + self.usable, 1)

    def __str__(self) -> str:
        bad = sum(self.counts.values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.counts.items() if count)
        return f"{bad} of {bad + self.usable} rows ({100 * self.fraction:.3g} %) that cannot be used: {reasons}"


def of_mixture(surveyed: Survey, k: int, family: Family, *, noise: bool = False) -> tuple[str, ...]:
    """Return what is doubtful about fitting k components of a family to a table."""
    return tuple(_mixture_doubts(surveyed, k, family, noise=noise))


def of_table(surveyed: Survey, names: Sequence[str]) -> tuple[str, ...]:
    """Return what is doubtful about a table, whatever is fitted to it."""
    return tuple(_table_doubts(surveyed, names))


def _mixture_doubts(surveyed: Survey, k: int, family: Family, *, noise: bool) -> Iterator[str]:
    d = len(surveyed.mean)
    free = families.free_parameters(family, k, d, noise=noise)
    n = surveyed.effective_rows
    if n < _ROWS_PER_PARAMETER * free:
        counted = f"{surveyed.rows} rows" + (
            f", by their weights as good as {n:.3g}," if n < _UNEQUAL * surveyed.rows else ""
        )
        yield (
            f"{counted} for {free} free parameters, {n / free:.3g} each: below "
            f"{_ROWS_PER_PARAMETER} they are mostly noise; use fewer components or a smaller family"
        )
    size = statistics_bytes(k, d, family)
    if size > _MOST_STATISTICS:
        yield (
            f"the statistics take {size / 1e6:.0f} MB a partition, {size * surveyed.partitions / 1e6:.0f} MB a pass: "
            "give the driver several times the first, and read fewer partitions"
        )


def _table_doubts(surveyed: Survey, names: Sequence[str]) -> Iterator[str]:
    yield from _far(surveyed, names)
    pairs = _duplicates(surveyed)
    for one, other in pairs[:_MOST_PAIRS]:
        yield f"columns {names[one]!r} and {names[other]!r} hold the same values up to scale: they count twice"
    if len(pairs) > _MOST_PAIRS:
        yield f"{len(pairs) - _MOST_PAIRS} more pairs of columns hold the same values up to scale"
    if bad := sum(surveyed.invalid.values()):
        yield f"{Refused(surveyed.invalid, surveyed.rows)}; {bad} left out"


def of_far_rows(error: DataError, surveyed: Survey, names: Sequence[str]) -> DataError:
    """Return the error of a search that found nothing; where there are rows too far for float64, that these are why."""
    far = list(_far_values(surveyed, names))
    if not far:
        return error
    return DataError(
        "features",
        got=f"{', '.join(far)} (without these: {error.sentences})",
        expected="rows within about 1e9 standard deviations",
        do="Filter the rows with such values, or rescale these features, by a logarithm for example.",
    )


def _far(surveyed: Survey, names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence about the features in which a few far rows have nearly all of the variance, if there are any."""
    far = list(_far_values(surveyed, names))
    if far and surveyed.within is not None:
        yield (
            f"far values: {', '.join(far)}; {surveyed.rows - surveyed.within.rows} of {surveyed.rows} rows are far, "
            "and the coordinates and the covariance floor go by the scale of the others; filter these rows if such "
            "values are errors or stand for missing ones, else give them components of their own (a larger k)"
        )


def _far_values(surveyed: Survey, names: Sequence[str]) -> Iterator[str]:
    bounds = surveyed.bounds
    if bounds is None or surveyed.within is None:
        return
    inflated = np.flatnonzero(np.isfinite(bounds.unit)).tolist()
    for i in inflated[:_MOST_NAMED]:
        ends = surveyed.range[:, i]
        value = float(ends[np.abs(ends - bounds.middle[i]).argmax()])
        deviations = abs(value - bounds.middle[i]) / bounds.unit[i]
        yield f"{names[i]} = {value:.9g} ({deviations:.2g} standard deviations of the middle 90 % of the rows)"
    if len(inflated) > _MOST_NAMED:
        yield f"and such in {len(inflated) - _MOST_NAMED} more features"


def _duplicates(surveyed: Survey) -> list[tuple[int, int]]:
    """Return the pairs of columns that are perfectly correlated, where the survey knows; full and tied refuse them."""
    if surveyed.scatter.ndim == 1:
        return []
    covariance = surveyed.reference.covariance
    scale = np.sqrt(np.diagonal(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = covariance / scale / scale[:, None]
    return [(int(one), int(other)) for one, other in np.argwhere(np.triu(np.abs(correlation) >= 1 - _SAME, 1))]


def check_distinct(z: FloatArray, k: int, count: Callable[[int], int]) -> None:
    """Refuse a table with fewer distinct rows than components.

    Args:
        z: (d, m) a sample of it.
        k: the number of components.
        count: counts the distinct rows of all the table, up to a number; called where the sample has too few.

    Raises:
        DataError: there are fewer than k.
    """
    if len(np.unique(z.T[: 1000 * k], axis=0)) >= k or len(np.unique(z.T, axis=0)) >= k:
        return
    distinct = count(k)
    if distinct < k:
        raise DataError(
            f"{k} components",
            got=f"{distinct} distinct rows",
            expected="at least as many distinct rows as components",
            do=f"Fit at most {distinct}.",
            options=("k",),
        )
