"""A table before a fit: surveyed, and refused where it can't be fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as f

from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.noise import Noise
from gmm_spark.spark.table import checks, columns
from gmm_spark.spark.table.names import Names
from gmm_spark.spark.table.rows import Layout
from gmm_spark.spark.table.survey_pass import needs_products, survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, Parameters
    from gmm_spark.options import Options
    from gmm_spark.statistics.survey import Survey


_STARTING_WEIGHT = 0.05


@dataclass(frozen=True, eq=False)
class Table:
    """A table that has been surveyed.

    Args:
        rows: its features and weights, as `rows.decode` reads them.
        layout: what its columns mean.
        surveyed: what its rows are.
        names: d feature names.
        warnings: what is doubtful about fitting it.
    """

    rows: DataFrame
    layout: Layout
    surveyed: Survey
    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def frame(self, family: Family) -> Coordinates:
        """Return the coordinates EM runs in for this family: by the scale of most rows, where few far ones inflate it.

        Raises:
            DataError: constant or dependent columns, or values whose squares overflow.
        """
        all_rows, most = self.surveyed, self.surveyed.reference
        try:
            return coordinates.coordinates_for(family, most.mean, most.covariance, self.names)
        except DataError:
            if most is all_rows:
                raise
            return coordinates.coordinates_for(family, all_rows.mean, all_rows.covariance, self.names)

    def noise(self, frame: Coordinates) -> Noise:
        """Return a noise over the box that holds all rows, in these coordinates; its weight is only a start."""
        return Noise(_STARTING_WEIGHT, self.surveyed.range).rescaled(frame.log_determinant)


def prepare(
    df: DataFrame,
    features: columns.Features,
    weight_col: str | None,
    options: Options,
    initial: Parameters | None = None,
    families: Sequence[Family] = (),
) -> Table:
    """Survey a table and refuse one that can't be fitted; the arguments and errors are those of `train`.

    Families are those of a grid; then the options' own k and family count for nothing, and warnings are of the table.
    """
    weights = [columns.weight_column(Names.of(df), weight_col)] if weight_col else []
    rows = df.select(*features.select(), *weights)
    d = len(features.columns) if features.kind == "columns" else _dimension(rows, features, options)
    _check_initial(initial, d, options)
    layout = Layout(d, array=features.kind != "columns", weighted=bool(weights))
    surveyed = survey(rows, layout, products=needs_products(families or (options.family,), d))
    most_invalid = options.max_invalid_fraction if options.skip_invalid else None
    checks.check_rows(surveyed, most_invalid, (*features.columns, *([weight_col] if weight_col else ())))
    names = features.names(d)
    doubts = () if families else checks.of_mixture(surveyed, options.k, options.family, noise=options.noise)
    warnings = (*doubts, *checks.of_table(surveyed, names))
    checks.report(warnings)
    return Table(rows, layout, surveyed, names, warnings)


def _dimension(rows: DataFrame, features: columns.Features, options: Options) -> int:
    """Return the length of any array; where rows may be skipped the commonest, for the first may be one of them."""
    sizes = rows.where("size(x) > 0").select(f.size("x").alias("d"))
    found = (sizes.select(f.mode("d", deterministic=True)) if options.skip_invalid else sizes).first()
    if found is None or found[0] is None:
        raise DataError(
            f"column {features.columns[0]!r}",
            got="no row that has a value",
            expected="at least one row with features",
            do="Check the input's path and its filter.",
        )
    return int(found[0])


def _check_initial(initial: Parameters | None, d: int, options: Options) -> None:
    if initial is None:
        return
    given = initial.k, initial.d, initial.family, initial.noise is not None
    asked = options.k, d, options.family, options.noise
    if given != asked:
        raise ConfigurationError(
            "initial model",
            got=_shape(*given),
            expected=_shape(*asked),
            do="Set k, covarianceType and noise to the model's, and give it the features that it was fitted on.",
        )


def _shape(k: int, d: int, family: Family, noise: bool) -> str:  # noqa: FBT001 - the parts of a sentence
    return f"{k} components of {d} features, {family}{', with a noise' if noise else ''}"
