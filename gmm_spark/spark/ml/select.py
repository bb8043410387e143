"""Model selection from Python: the models of all candidates, their table, and the best one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gmm_spark.errors import ConfigurationError
from gmm_spark.options import errors_name_params
from gmm_spark.selection.evaluation import gains
from gmm_spark.spark.ml.estimator import GaussianMixture, model_of, request_of
from gmm_spark.spark.selection import fit_grid
from gmm_spark.spark.selection.choice import Choice
from gmm_spark.spark.session import explain_worker_errors
from gmm_spark.spark.table.frames import static_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import Family
    from gmm_spark.selection.evaluation import Candidate, Criterion, Evaluation
    from gmm_spark.spark.ml.model import GaussianMixtureModel
    from gmm_spark.spark.selection.choice import FitStore

_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()
# The columns of the table, with types: a column may have only nulls, which show no type.
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
    """The result of a selection.

    Args:
        evaluations: one per candidate, by family, k and start.
        models: each candidate's model; failed candidates have none.
        best: the chosen candidate.
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
        """The model of the chosen candidate."""
        return self.models[self.best]

    @property
    def table(self) -> list[dict[str, Any]]:
        """The evaluations as plain rows; unknown numbers are None."""
        gained = gains(self.evaluations)
        return [
            row_of(evaluation, gained.get(evaluation.candidate), chosen=evaluation.candidate == self.best)
            for evaluation in self.evaluations
        ]

    def tableFrame(self, spark: SparkSession) -> DataFrame:
        """Return the table as a data frame; unknown numbers are null."""
        return spark.createDataFrame(pa.Table.from_pylist(self.table, TABLE))


def row_of(evaluation: Evaluation, gain: float | None, *, chosen: bool) -> dict[str, Any]:
    """Return one candidate's row of the table."""
    row = {
        "name": evaluation.candidate.name,
        "k": evaluation.candidate.k,
        "family": evaluation.candidate.family,
        "start": evaluation.candidate.start,
        "chosen": chosen,
        "outcome": evaluation.outcome,
        "parameters": evaluation.parameters,
        "log_likelihood": evaluation.log_likelihood,
        "mean_log_likelihood": evaluation.mean_log_likelihood,
        "heldout_mean_log_likelihood": evaluation.heldout,
        "gain_per_component": gain,
        "bic": evaluation.bic,
        "aic": evaluation.aic,
        "icl": evaluation.icl,
        "passes": evaluation.passes,
        "floor_hits": evaluation.floor_hits,
        "suspicious": evaluation.suspicious,
        "stability": evaluation.stability,
        "message": evaluation.message,
    }
    return {name: None if value != value else value for name, value in row.items()}  # noqa: PLR0124 - only NaN differs from itself


def select(
    df: DataFrame,
    mixture: GaussianMixture,
    k: Iterable[int] | int,
    covarianceTypes: Iterable[Family] = ("full",),
    *,
    criterion: Criterion = "bic",
    store: Callable[[str], FitStore] | None = None,
    **choice: Any,  # noqa: ANN401 - the other fields of `Choice`
) -> ModelSelection:
    """Fit mixtures of every k and covariance type together, and choose one.

    All mixtures share the passes over the data: their number is that of the slowest fit.

    Args:
        df: the table.
        mixture: the columns, and the options of each fit; its k, covarianceType and initial model are ignored.
        k: numbers of components.
        covarianceTypes: covariance families.
        criterion: bic, aic, icl, heldout or gain; see `gmm_spark.selection.evaluation.winner`.
        store: opens the store of finished fits by a fingerprint of data and options; a rerun skips stored fits.
        choice: other fields of `gmm_spark.spark.selection.choice.Choice`: finalists, least_gain, holdout, folds.

    Raises:
        ConfigurationError, SchemaError, DataError: as `GaussianMixture.fit`.
    """
    if not isinstance(mixture, GaussianMixture):
        got = f"a {type(mixture).__name__}"
        raise ConfigurationError("mixture", got=got, expected="a GaussianMixture", do="Give the estimator to fit with.")
    requested = Choice((k,) if isinstance(k, int) else tuple(k), tuple(covarianceTypes), criterion=criterion, **choice)
    df, mixture = static_frame(df, "select"), mixture.copy()  # another thread may set params during the fit
    with errors_name_params(), explain_worker_errors(df.sparkSession):
        features, weight, options = request_of(mixture, df)
        selection = fit_grid.run_selection(df, features, weight, options, requested, store)
    models = {
        candidate: model_of(mixture, fitted.parameters, selection.features, fitted.summary)
        for candidate, fitted in selection.fitted.items()
    }
    return ModelSelection(selection.evaluations, models, selection.winner, selection.passes, selection.seconds)
