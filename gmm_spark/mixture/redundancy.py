"""Columns that make a covariance singular: constant columns, and linear combinations of earlier columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark.errors import DataError, quoted

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray

    Mask = np.ndarray[Any, np.dtype[np.bool_]]

# A (d, d) correlation matrix has linearly dependent columns if its smallest eigenvalue is below this times d: the
# rounding error of the survey is of this size.
DEPENDENT = 1e-13
# A column is part of a dependence if its coefficient, in standard deviations, is above this.
_INVOLVED = 1e-3


@dataclass(frozen=True)
class RedundantColumns:
    """The columns to leave out, as the `got` of an error; the text is shortened, the lists are complete.

    Args:
        constant: columns with a single value.
        dependent: columns that are linear combinations of earlier independent columns.
        example: the columns from which the first dependent column follows.
        independent: all other columns; they can be fitted together.
    """

    constant: tuple[str, ...]
    dependent: tuple[str, ...]
    example: tuple[str, ...]
    independent: tuple[str, ...]

    @property
    def leave_out(self) -> tuple[str, ...]:
        """All columns to leave out."""
        return (*self.constant, *self.dependent)

    def __str__(self) -> str:
        constant = f"{quoted(self.constant, 10)} with the same value in every row" if self.constant else ""
        if not self.dependent:
            return constant
        follows = f" ({self.dependent[0]!r} from {quoted(self.example, 5)})" if self.example else ""
        sentence = f"{quoted(self.dependent, 10)} linearly dependent on the columns before{follows}"
        return f"{sentence}, and {constant}" if constant else sentence


def redundancy_error(covariance: FloatArray, constant: Mask, names: tuple[str, ...], *, mixed: bool) -> DataError:
    """Return the error that names all columns to leave out, so that the others can be fitted.

    Args:
        covariance: (d, d) covariance of the data.
        constant: (d,) which columns are constant.
        names: d feature names.
        mixed: whether linearly dependent columns must be left out too.
    """
    independent, example = ~constant, np.zeros(len(names), dtype=np.bool_)
    if mixed and independent.any():
        places = np.flatnonzero(independent)
        scale = np.sqrt(np.diagonal(covariance)[places])
        correlation = covariance[np.ix_(places, places)] / scale[:, None] / scale
        varying = independent_columns(correlation)
        independent[places] = varying
        if not varying.all():
            example[places] = _partners(correlation, varying, int(np.flatnonzero(~varying)[0]))
    dependent = ~constant & ~independent
    columns = RedundantColumns(*(_names_of(names, mask) for mask in (constant, dependent, example, independent)))
    out = _names_of(names, ~independent)
    return DataError(
        f"features {quoted(out, 10)}",
        got=columns,
        expected="columns that vary and do not follow from each other",
        do=f"Leave {'it' if len(out) == 1 else f'these {len(out)}'} out{_REMEDY if columns.dependent else ''}.",
    )


_REMEDY = " (one column per one-hot group), give more distinct rows than features, or use the diag family"


def independent_columns(correlation: FloatArray) -> Mask:
    """Return (d,) a mask of columns of a (d, d) correlation of which none follows from the others.

    Elimination in the order of the columns drops a column without variance of its own. Dependences that rounding hides
    from it are removed by the direction of least variance, one column at a time.
    """
    d = len(correlation)
    factor, independent = np.zeros((d, d)), np.zeros(d, dtype=np.bool_)
    for j in range(d):
        m = int(independent.sum())
        rest = correlation[j, j:] - factor[:m, j] @ factor[:m, j:]
        if rest[0] >= DEPENDENT * d:
            independent[j], factor[m, j:] = True, rest / np.sqrt(rest[0])
    while independent.sum() > 1:
        places = np.flatnonzero(independent)
        values, vectors = np.linalg.eigh(correlation[np.ix_(places, places)])
        if values[0] >= DEPENDENT * d:
            break
        independent[places[::-1][np.abs(vectors[::-1, 0]).round(6).argmax()]] = False
    return independent


def _partners(correlation: FloatArray, independent: Mask, column: int) -> Mask:
    """Return (d,) the independent columns before a dependent column from which it follows."""
    before = np.flatnonzero(independent[:column])
    coefficients = np.linalg.lstsq(correlation[np.ix_(before, before)], correlation[before, column], rcond=None)[0]
    involved = np.zeros(len(independent), dtype=np.bool_)
    involved[before] = np.abs(coefficients) > _INVOLVED
    return involved


def _names_of(names: tuple[str, ...], mask: Mask) -> tuple[str, ...]:
    return tuple(name for name, is_in in zip(names, mask, strict=True) if is_in)
