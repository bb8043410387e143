"""A grid of mixtures on Spark: exact likelihoods, shared passes, and no mixture fitted twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gmm_spark import GaussianMixture
from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.mixture.parameters import FAMILIES
from gmm_spark.selection.evaluation import Candidate
from gmm_spark.spark.ml.select import select
from gmm_spark.statistics import kernel
from gmm_spark.statistics.hashing import Folds
from tests.spark.frames import clusters, names, numbered, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from gmm_spark import GaussianMixtureModel
    from gmm_spark.spark.selection.choice import FittedCandidate
    from tests.spark.frames import FloatArray

SEED = 4


def mixture(**params: object) -> GaussianMixture:
    """Return an estimator for the columns x0, x1, x2 of `clusters`."""
    return GaussianMixture(inputCols=names(3), seed=SEED, starts=4, **params)  # type: ignore[arg-type]


def mean_log_density(model: GaussianMixtureModel, x: FloatArray) -> float:
    """Return nats per row, from the scoring kernel on numpy rows."""
    return float(kernel.posteriors(x, model.parameters)[1].mean())


def test_all_families_and_k_are_fitted_by_the_same_passes(spark: SparkSession) -> None:
    """The table has the log-likelihood of each model, and the number of passes is that of the longest fit."""
    x = clusters()
    found = select(table(spark, **numbered(x)), mixture(), [1, 2, 3], FAMILIES, retire=False)
    assert len(found.evaluations) == len(found.models) == 3 * len(FAMILIES)
    for row in found.evaluations:
        assert row.outcome == "converged", row
        assert row.mean_log_likelihood == pytest.approx(mean_log_density(found.models[row.candidate], x), abs=1e-9)
    passes = [row.passes for row in found.evaluations]
    assert found.numPasses == max(passes) < sum(passes) / 3
    assert found.best == min(found.evaluations, key=lambda row: row.bic).candidate
    assert found.best.k == 3
    rows = {row["name"]: row for row in found.table}
    assert [name for name, row in rows.items() if row["chosen"]] == [found.best.name]
    gain = rows["full-3"]["mean_log_likelihood"] - rows["full-2"]["mean_log_likelihood"]
    assert rows["full-3"]["gain_per_component"] == pytest.approx(gain)
    scored = found.bestModel.transform(table(spark, **numbered(x[:5]))).toArrow()
    predicted = dict(zip(scored.column("x0").to_pylist(), scored.column("prediction").to_pylist(), strict=True))
    assert predicted == {row[0]: found.bestModel.predict(row) for row in x[:5]}


def test_held_out_rows_are_measured_and_not_fitted(spark: SparkSession) -> None:
    """With a quarter held out by a hash of the row, both means are those of their part of the rows."""
    x = clusters()
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(x))
    df = table(spark, w=weights, **numbered(x))
    found = select(df, mixture(weightCol="w"), [1, 3], ["full", "diag"], criterion="heldout", holdout=0.25)
    held_out = Folds(1, 0.25, SEED).assign(x.T) == 0
    assert 0.15 < held_out.mean() < 0.35
    for row in found.evaluations:
        density = kernel.posteriors(x, found.models[row.candidate].parameters)[1]
        assert row.weight == pytest.approx(weights[~held_out].sum())
        assert row.mean_log_likelihood == pytest.approx(
            np.average(density[~held_out], weights=weights[~held_out]), abs=1e-9
        )
        assert row.heldout == pytest.approx(np.average(density[held_out], weights=weights[held_out]), abs=1e-9)
    assert found.best == max(found.evaluations, key=lambda row: row.heldout or -np.inf).candidate


@pytest.mark.classic_only
def test_folds_cross_validate(spark: SparkSession) -> None:
    """With three folds and K = 1 the held-out mean is that of Gaussians that numpy fits to two thirds of the rows."""
    x = clusters()
    # The prior depends on all rows, held-out rows included, and would change each Gaussian a little.
    found = select(table(spark, **numbered(x)), mixture(covariancePrior=0), [1], criterion="heldout", folds=3)
    folds = Folds(3, 1.0, SEED).assign(x.T)
    assert set(folds) == {0, 1, 2}
    by_hand = sum(
        multivariate_normal(x[folds != v].mean(axis=0), np.cov(x[folds != v].T, bias=True)).logpdf(x[folds == v]).sum()
        for v in range(3)
    )
    assert found.evaluations[0].heldout == pytest.approx(by_hand / len(x), abs=1e-9)
    np.testing.assert_allclose(found.bestModel.means[0], x.mean(axis=0))
    assert len(found.models) == 1


class CrashError(Exception):
    """Simulates the death of the driver."""


@dataclass
class MemoryStore:
    """Stores fits in memory; the run is killed when it stores more than n fits."""

    most: int
    fits: list[FittedCandidate] = field(default_factory=list)
    fingerprints: list[str] = field(default_factory=list)

    def open(self, fingerprint: str) -> MemoryStore:
        """Note the fingerprint."""
        self.fingerprints.append(fingerprint)
        return self

    def load(self) -> Sequence[FittedCandidate]:
        """Return the stored fits."""
        return tuple(self.fits)

    def save(self, fitted: FittedCandidate) -> None:
        """Store a fit, or raise."""
        if len(self.fits) >= self.most:
            raise CrashError
        self.fits.append(fitted)


@pytest.mark.classic_only
def test_a_rerun_fits_only_unfinished_candidates(spark: SparkSession) -> None:
    """After a crash the stored fits are used without a new fit, and the result equals that of an uninterrupted run."""
    df = table(spark, **numbered(clusters()))
    store = MemoryStore(most=4)

    def run() -> list[dict[str, object]]:
        return select(df, mixture(), [1, 2, 3], ["full", "diag"], retire=False, store=store.open).table

    with pytest.raises(CrashError):
        run()
    first = {fitted.key: fitted for fitted in store.fits}
    assert len(first) == 4
    store.most = 99
    whole = select(df, mixture(), [1, 2, 3], ["full", "diag"], retire=False).table
    for row, unbroken in zip(run(), whole, strict=True):
        for name in ("name", "outcome", "passes", "chosen"):
            assert row[name] == unbroken[name]
        assert [row[name] for name in ("bic", "icl")] == pytest.approx([unbroken[name] for name in ("bic", "icl")])
    assert len(store.fits) == 6
    assert set(first) < {fitted.key for fitted in store.fits}
    rerun = select(df, mixture(), [1, 2, 3], ["full", "diag"], retire=False, store=store.open)
    assert rerun.numPasses == 2
    assert [row["bic"] for row in rerun.table] == pytest.approx([row["bic"] for row in whole])
    assert len(set(store.fingerprints)) == 1
    select(df, mixture(tol=1e-3), [1], store=(other := MemoryStore(most=99)).open)
    assert set(other.fingerprints).isdisjoint(store.fingerprints)


@pytest.mark.classic_only
def test_a_failed_candidate_does_not_end_the_others(spark: SparkSession) -> None:
    """With four distinct rows K = 5 fails with its reason; if all candidates fail, so does the selection."""
    x = np.repeat([[0.0, 0.0, 1.0], [1.0, 5.0, 0.0], [2.0, 1.0, 3.0], [7.0, 2.0, 2.0]], 25, axis=0)
    df = table(spark, **numbered(x))
    found = select(df, mixture(), [1, 5], ["diag"])
    one, five = found.evaluations
    assert (one.outcome, five.outcome) == ("converged", "failed")
    assert "4 distinct rows" in five.message
    assert Candidate("diag", 5) not in found.models
    assert found.best == Candidate("diag", 1)
    assert found.table[1]["bic"] is None
    shown = found.tableFrame(spark).toArrow()
    assert shown.column("heldout_mean_log_likelihood").null_count == 2
    assert shown.column("bic").to_pylist() == [found.table[0]["bic"], None]
    with pytest.raises(DataError, match="4 distinct rows"):
        select(df, mixture(), [5], ["diag"])


@pytest.mark.classic_only
def test_finalists_are_different_optima(spark: SparkSession) -> None:
    """Each further start ended lower on the sample, and all but the best are retired or converge."""
    found = select(table(spark, **numbered(clusters())), mixture(), [4], ["full"], finalists=3)
    values = [row.mean_log_likelihood for row in found.evaluations]
    assert 1 <= len(values) <= 3
    assert found.best.start == int(np.argmax(values))
    assert {row.outcome for row in found.evaluations} <= {"converged", "retired", "iteration_limit", "no_progress"}


@pytest.mark.classic_only
@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"k": []}, "numbers of components"),
        ({"k": [0]}, "numbers of components"),
        ({"k": ["2"]}, "numbers of components"),
        ({"k": [2.5]}, "numbers of components"),
        ({"k": [2], "covarianceTypes": []}, "families"),
        ({"k": [2], "covarianceTypes": "diag"}, "families: got .*expected some of full, tied"),
        ({"k": [2], "criterion": "BIC"}, "criterion: got 'BIC'; expected one of bic, aic"),
        ({"k": [2], "criterion": "log_likelihood"}, "criterion"),  # a column of the table, whose least would win
        ({"k": [2], "criterion": "heldout"}, "criterion heldout"),
        ({"k": [2], "holdout": 0.2, "folds": 3}, "held-out rows"),
        ({"k": [2], "folds": 1}, "folds"),
    ],
)
def test_impossible_choices_are_refused(spark: SparkSession, arguments: dict[str, object], what: str) -> None:
    """An empty grid, an unknown criterion, or one without its rows, is a configuration error before any Spark job."""
    with pytest.raises(ConfigurationError, match=what):
        select(table(spark, **numbered(clusters(rows=10))), mixture(), **arguments)  # type: ignore[arg-type]


@pytest.mark.classic_only
def test_models_of_a_selection_warn_as_a_fit_does(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    """Each model has the warnings for its k and family; none is about the ignored k of the estimator."""
    x = clusters()[::4]
    df = table(spark, **numbered(x))
    with caplog.at_level("WARNING", logger="gmm_spark"):
        found = select(df, mixture(k=30), [2, 3], ["full"], retire=False)
    alone = mixture(k=3).fit(df)
    assert any("free parameters" in warning for warning in alone.summary.warnings)
    assert found.models[Candidate("full", 3)].summary.warnings == alone.summary.warnings
    assert "for 299 free parameters" not in caplog.text
