"""Prepares a table for a fit: the survey, and the checks that refuse a table which can't be fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as f

from gmm_spark.errors import DataError
from gmm_spark.limits import LIMITS, Limits
from gmm_spark.spark.table import checks, columns
from gmm_spark.spark.table.names import Names
from gmm_spark.spark.table.rows import RowLayout
from gmm_spark.spark.table.survey_pass import survey
from gmm_spark.statistics import doubts
from gmm_spark.statistics.survey import needs_products

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, Parameters
    from gmm_spark.options import Options
    from gmm_spark.statistics.survey import Survey


@dataclass(frozen=True, eq=False)
class Table:
    """A table that has been surveyed.

    Args:
        rows: its features and weights, with the columns that `rows.decode` reads.
        layout: the meaning of these columns.
        surveyed: the survey of its rows.
        names: d feature names.
        warnings: doubts about a fit to it.
        limits: of memory and disk.
    """

    rows: DataFrame
    layout: RowLayout
    surveyed: Survey
    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    limits: Limits = LIMITS

    def frame(self, family: Family) -> Coordinates:
        """Return the coordinates of EM for a family; where few far rows inflate the scale, by the other rows.

        Raises:
            DataError: constant or dependent columns, or values whose squares overflow.
        """
        return self.surveyed.frame(family, self.names)


def prepare(
    df: DataFrame,
    features: columns.Features,
    weight_col: str | None,
    options: Options,
    initial: Parameters | None = None,
    families: Sequence[Family] = (),
    limits: Limits = LIMITS,
) -> Table:
    """Survey a table, and refuse it if it can't be fitted; the arguments and errors are those of `train`.

    With the families of a grid, the k and family of the options are ignored, and warnings are about the table alone.
    """
    weights = [columns.weight_column(Names.of(df), weight_col)] if weight_col else []
    rows = df.select(*features.select(), *weights)
    d = len(features.columns) if features.kind == "columns" else _dimension(rows, features, options)
    options.check_initial(initial, d)
    layout = RowLayout(d, array=features.kind != "columns", weighted=bool(weights))
    products = needs_products(families or (options.family,), d)
    surveyed = survey(rows, layout, products=products, limits=limits)
    most_invalid = options.max_invalid_fraction if options.handle_invalid == "skip" else None
    checks.check_rows(surveyed, most_invalid, (*features.columns, *([weight_col] if weight_col else ())))
    names = features.names(d)
    of_mixture = () if families else doubts.of_mixture(surveyed, options.k, options.family, noise=options.noise)
    warnings = (*of_mixture, *doubts.of_table(surveyed, names))
    checks.log_warnings(warnings)
    return Table(rows, layout, surveyed, names, warnings, limits)


def _dimension(rows: DataFrame, features: columns.Features, options: Options) -> int:
    """Return the length of the first array; the most common length where invalid rows may be skipped."""
    sizes = rows.where("size(x) > 0").select(f.size("x").alias("d"))
    size = (sizes.select(f.mode("d", deterministic=True)) if options.handle_invalid == "skip" else sizes).first()
    if size is None or size[0] is None:
        raise DataError(
            f"column {features.columns[0]!r}",
            got="no row that has a value",
            expected="at least one row with features",
            do="Check the input's path and its filter.",
        )
    return int(size[0])
