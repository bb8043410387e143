"""Columns that a covariance cannot do with: constant ones, and those that follow from the columns before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark.errors import DataError, quoted

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray

    Mask = np.ndarray[Any, np.dtype[np.bool_]]

# A correlation matrix whose smallest eigenvalue is below this for each column has linearly dependent columns: the
# survey's own rounding error is of this size.
DEPENDENT = 1e-13
# A column takes part in a dependence if its coefficient, in standard deviations, is above this.
_INVOLVED = 1e-3


@dataclass(frozen=True)
class Redundant:
    """What to leave out of the features, for an error's `got`; its text is shortened, the lists are whole.

    Args:
        constant: columns of one value.
        dependent: columns that are linear combinations of those before them that stay.
        example: the columns that the first of the dependent ones follows from.
        independent: all others, which can be fitted together.
    """

    constant: tuple[str, ...]
    dependent: tuple[str, ...]
    example: tuple[str, ...]
    independent: tuple[str, ...]

    @property
    def leave_out(self) -> tuple[str, ...]:
        """All that is to be left out."""
        return (*self.constant, *self.dependent)

    def __str__(self) -> str:
        constant = f"{quoted(self.constant, 10)} with the same value in every row" if self.constant else ""
        if not self.dependent:
            return constant
        follows = f" ({self.dependent[0]!r} from {quoted(self.example, 5)})" if self.example else ""
        sentence = f"{quoted(self.dependent, 10)} linearly dependent on the columns before{follows}"
        return f"{sentence}, and {constant}" if constant else sentence


def refused(covariance: FloatArray, constant: Mask, names: tuple[str, ...], *, mixed: bool) -> DataError:
    """Return the error that names all columns to leave out, so that the others can be fitted.

    Args:
        covariance: (d, d) covariance of the data.
        constant: (d,) which columns are constant.
        names: d feature names.
        mixed: whether linear dependence matters too.
    """
    stays, example = ~constant, np.zeros(len(names), dtype=np.bool_)
    if mixed and stays.any():
        places = np.flatnonzero(stays)
        scale = np.sqrt(np.diagonal(covariance)[places])
        correlation = covariance[np.ix_(places, places)] / scale[:, None] / scale
        own = independent(correlation)
        stays[places] = own
        if not own.all():
            example[places] = _partners(correlation, own, int(np.flatnonzero(~own)[0]))
    dependent = ~constant & ~stays
    found = Redundant(*(_chosen(names, mask) for mask in (constant, dependent, example, stays)))
    out = _chosen(names, ~stays)
    return DataError(
        f"features {quoted(out, 10)}",
        got=found,
        expected="columns that vary, none of which follows from the others",
        do=f"Leave {'it' if len(out) == 1 else f'these {len(out)}'} out{_OTHERWISE if found.dependent else ''}.",
    )


_OTHERWISE = " (of a one-hot group one column), give more distinct rows than features, or use the diag family"


def independent(correlation: FloatArray) -> Mask:
    """Return which columns of a (d, d) correlation are kept so that none follows from the others.

    By elimination in the order of the columns: one that leaves no variance of its own is dropped. What rounding lets
    through is dropped by the direction of least variance, until there is none too small.
    """
    d = len(correlation)
    factor, kept = np.zeros((d, d)), np.zeros(d, dtype=np.bool_)
    for j in range(d):
        m = int(kept.sum())
        own = correlation[j, j:] - factor[:m, j] @ factor[:m, j:]
        if own[0] >= DEPENDENT * d:
            kept[j], factor[m, j:] = True, own / np.sqrt(own[0])
    while kept.sum() > 1:
        places = np.flatnonzero(kept)
        values, vectors = np.linalg.eigh(correlation[np.ix_(places, places)])
        if values[0] >= DEPENDENT * d:
            break
        kept[places[::-1][np.abs(vectors[::-1, 0]).round(6).argmax()]] = False
    return kept


def _partners(correlation: FloatArray, kept: Mask, column: int) -> Mask:
    """Return which of the kept columns before it a dropped column follows from."""
    before = np.flatnonzero(kept[:column])
    coefficients = np.linalg.lstsq(correlation[np.ix_(before, before)], correlation[before, column], rcond=None)[0]
    involved = np.zeros(len(kept), dtype=np.bool_)
    involved[before] = np.abs(coefficients) > _INVOLVED
    return involved


def _chosen(names: tuple[str, ...], mask: Mask) -> tuple[str, ...]:
    return tuple(name for name, chosen in zip(names, mask, strict=True) if chosen)
