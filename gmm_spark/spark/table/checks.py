"""Checks before a fit: tables with unusable rows, or with too few distinct rows, are refused."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as f

from gmm_spark.errors import DataError, quoted
from gmm_spark.statistics import doubts
from gmm_spark.statistics.doubts import Refused
from gmm_spark.statistics.survey import LEAST_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.mixture.parameters import FloatArray
    from gmm_spark.statistics.survey import Survey

_log = logging.getLogger("gmm_spark")


def check_rows(surveyed: Survey, most_invalid: float | None, names: Sequence[str]) -> None:
    """Refuse a table with too many unusable rows, or without usable rows of a positive weight.

    Args:
        surveyed: the table.
        most_invalid: the largest share of unusable rows to accept; None: no unusable row.
        names: the columns that are checked.

    Raises:
        DataError: too many unusable rows (its `got` is a `Refused`), or too small a total weight.
    """
    refused = Refused(surveyed.invalid, surveyed.rows)
    if refused.fraction > (most_invalid or 0):
        raise DataError(
            f"rows of {quoted(names)}",
            got=refused,
            expected="finite features (at most 1e150) of one length and finite weights of at least 0 in every row"
            if most_invalid is None
            else f"at most {100 * most_invalid:g} % of them",
            do="Correct them, or leave them out." if most_invalid is None else "Correct them, or accept more of them.",
            options=("handle_invalid" if most_invalid is None else "max_invalid_fraction",),
        )
    if surveyed.weight <= 0:
        raise DataError(
            "input",
            got="no rows" if not surveyed.counts.any() else f"no usable row with a weight above 0 ({surveyed.invalid})",
            expected="at least one",
            do="Check the input's path, its filter and the weight column.",
        )
    if surveyed.weight < LEAST_WEIGHT:
        raise DataError(
            "weights",
            got=f"a total of {surveyed.weight:.3g}",
            expected=f"at least {LEAST_WEIGHT:g}: their squares are summed",
            do="Multiply all weights by one number: the model does not depend on their unit.",
        )


def log_warnings(warnings: Sequence[str]) -> None:
    """Log each warning."""
    for warning in warnings:
        _log.warning("%s", warning, extra={"fields": {"event": "preflight"}})


def check_distinct_rows(z: FloatArray, rows: DataFrame, k: int) -> None:
    """Refuse a table with fewer distinct rows than components; z is a sample of it, (d, m)."""
    doubts.check_distinct(z, k, lambda most: distinct_rows(rows, len(z), most))


def distinct_rows(rows: DataFrame, d: int, most: int) -> int:
    """Return the number of distinct usable rows of d features, counted up to a number."""
    return _usable(rows, d).distinct().limit(most).count()


def _usable(rows: DataFrame, d: int) -> DataFrame:
    counted = rows.where("weight > 0 and weight < double('inf')") if "weight" in rows.columns else rows
    if "x" in rows.columns:
        return counted.where(f.size("x") == d).select(*(f.col("x")[i].alias(f"x{i}") for i in range(d))).dropna()
    return counted.drop("weight").dropna()
