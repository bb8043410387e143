"""A grid of mixtures from Python: models of all candidates, their table, and the best one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gmm_spark.options import errors_name_params
from gmm_spark.selection.evaluation import gains
from gmm_spark.spark.ml.estimator import model_of, request_of
from gmm_spark.spark.selection import fit_grid
from gmm_spark.spark.selection.choice import Choice
from gmm_spark.spark.session import workers_explained
from gmm_spark.spark.table.frames import at_rest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import Family
    from gmm_spark.selection.evaluation import Candidate, Criterion, Evaluation
    from gmm_spark.spark.ml.estimator import GaussianMixture
    from gmm_spark.spark.ml.model import GaussianMixtureModel
    from gmm_spark.spark.selection.choice import Shelf

_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()
# The columns of the table: types by name, for a column may hold nothing that shows its type.
TABLE = pa.schema(
    [
        ("name", _TEXT),
        ("k", _WHOLE),
        ("family", _TEXT),
        ("start", _WHOLE),
        ("chosen", pa.bool_()),
        ("outcome", _TEXT),
        ("parameters", _WHOLE),
        ("log_likelihood", _REAL),
        ("mean_log_likelihood", _REAL),
        ("heldout_mean_log_likelihood", _REAL),
        ("gain_per_component", _REAL),
        ("bic", _REAL),
        ("aic", _REAL),
        ("icl", _REAL),
        ("passes", _WHOLE),
        ("floor_hits", _WHOLE),
        ("suspicious", _WHOLE),
        ("stability", _REAL),
        ("message", _TEXT),
    ]
)


@dataclass(frozen=True, eq=False)
class ModelSelection:
    """What a selection came to.

    Args:
        evaluations: a row for each candidate, by family, k and start.
        models: each candidate's model; candidates that failed have none.
        best: the candidate that was chosen.
        numPasses: full reads of the data, over all candidates.
        seconds: wall-clock seconds by phase.
    """

    evaluations: tuple[Evaluation, ...]
    models: dict[Candidate, GaussianMixtureModel]
    best: Candidate
    numPasses: int
    seconds: dict[str, float]

    @property
    def bestModel(self) -> GaussianMixtureModel:
        """The model of the candidate that was chosen."""
        return self.models[self.best]

    @property
    def table(self) -> list[dict[str, Any]]:
        """The evaluations as plain rows; numbers that are not known are None."""
        gained = gains(self.evaluations)
        return [
            row_of(each, gained.get(each.candidate), chosen=each.candidate == self.best) for each in self.evaluations
        ]

    def tableFrame(self, spark: SparkSession) -> DataFrame:
        """Return the table as a data frame; numbers that are not known are null."""
        return spark.createDataFrame(pa.Table.from_pylist(self.table, TABLE))


def row_of(each: Evaluation, gain: float | None, *, chosen: bool) -> dict[str, Any]:
    """Return one candidate's row of the table."""
    row = {
        "name": each.candidate.name,
        "k": each.candidate.k,
        "family": each.candidate.family,
        "start": each.candidate.start,
        "chosen": chosen,
        "outcome": each.outcome,
        "parameters": each.parameters,
        "log_likelihood": each.log_likelihood,
        "mean_log_likelihood": each.mean_log_likelihood,
        "heldout_mean_log_likelihood": each.heldout,
        "gain_per_component": gain,
        "bic": each.bic,
        "aic": each.aic,
        "icl": each.icl,
        "passes": each.passes,
        "floor_hits": each.floor_hits,
        "suspicious": each.suspicious,
        "stability": each.stability,
        "message": each.message,
    }
    return {name: None if value != value else value for name, value in row.items()}  # noqa: PLR0124 - NaN alone


def select(
    df: DataFrame,
    mixture: GaussianMixture,
    k: Iterable[int],
    covarianceTypes: Iterable[Family] = ("full",),
    *,
    criterion: Criterion = "bic",
    shelf: Callable[[str], Shelf] | None = None,
    **choice: Any,  # noqa: ANN401 - the other fields of `Choice`
) -> ModelSelection:
    """Fit mixtures of every k and covariance type together, and choose one.

    All are fitted by the same passes over the data: as many as the slowest of them needs.

    Args:
        df: the table.
        mixture: its columns and how each candidate is fitted; its own k, covarianceType and initial model do not count.
        k: numbers of components.
        covarianceTypes: covariance families.
        criterion: bic, aic, icl, heldout or gain; see `gmm_spark.selection.evaluation.winner`.
        shelf: keeps fits that have ended, for a rerun.
        choice: other fields of `gmm_spark.spark.selection.choice.Choice`: finalists, least_gain, holdout, folds.

    Raises:
        ConfigurationError, SchemaError, DataError: as `GaussianMixture.fit`.
    """
    asked = Choice(tuple(k), tuple(covarianceTypes), criterion=criterion, **choice)
    df, mixture = at_rest(df, "select"), mixture.copy()  # as it is now: another thread may set params meanwhile
    with errors_name_params(), workers_explained(df.sparkSession):
        features, weight, options = request_of(mixture, df)
        found = fit_grid.select(df, features, weight, options, asked, shelf)
    models = {
        candidate: model_of(mixture, fitted.parameters, found.features, fitted.summary)
        for candidate, fitted in found.fitted.items()
    }
    return ModelSelection(found.evaluations, models, found.winner, found.passes, found.seconds)
