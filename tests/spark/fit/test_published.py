"""Published numbers, and EM traces from true labels that plain numpy computed once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel
from tests.spark.frames import plain_steps, table

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from tests.spark.frames import FloatArray

FAITHFUL = ["eruptions", "waiting"]
IRIS = ["Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width"]
MCLUST = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical", "EEI": "tied-diag", "EII": "tied-spherical"}


def fit_to_limit(df: DataFrame, **params: Any) -> GaussianMixtureModel:  # noqa: ANN401 - any params
    """Fit to the limit of the arithmetic, without a covariance floor."""
    return GaussianMixture(tol=1e-9, maxIter=500, covarianceFloor=0, covariancePrior=0, **params).fit(df)


def csv(spark: SparkSession, data: Path, name: str) -> DataFrame:
    """Return a table of real data."""
    return spark.createDataFrame(pa.csv.read_csv(data / f"{name}.csv")).repartition(2)


@pytest.mark.classic_only
@pytest.mark.parametrize(("k", "bic"), [(1, -2607.623), (2, -2322.192)])
def test_old_faithful(spark: SparkSession, data: Path, k: int, bic: float) -> None:
    """On Old Faithful the BIC is minus mclust's (Scrucca et al. 2023, example 3.4), so that smaller is better."""
    model = fit_to_limit(csv(spark, data, "faithful"), k=k, inputCols=FAITHFUL)
    assert -model.summary.bic == pytest.approx(bic, abs=1e-3)
    assert model.summary.outcome == "converged"


@pytest.mark.classic_only
@pytest.mark.parametrize(("k", "bic"), [(1, -829.9782), (2, -574.0178)])
def test_iris(spark: SparkSession, data: Path, k: int, bic: float) -> None:
    """On iris, whose column names have dots, the BIC is the negative of mclust's."""
    model = fit_to_limit(csv(spark, data, "iris"), k=k, inputCols=IRIS)
    assert -model.summary.bic == pytest.approx(bic, abs=1e-3)


@pytest.mark.classic_only
@pytest.mark.parametrize(
    ("mclust", "k", "bic"),
    [
        ("EEE", 2, -2325.220),
        ("EEE", 3, -2314.296),
        ("VVI", 1, -3055.835),
        ("VVI", 2, -2346.065),
        ("VVI", 3, -2332.496),
        ("VII", 1, -4024.721),
        ("VII", 2, -3458.299),
        ("VII", 3, -3336.533),
        ("VVV", 3, -2349.696),
    ],
)
def test_old_faithful_in_every_family(spark: SparkSession, data: Path, mclust: str, k: int, bic: float) -> None:
    """Every family reaches mclust's BIC or a better one: VVV the printed BIC, the others that of mclust run longer."""
    model = fit_to_limit(csv(spark, data, "faithful"), k=k, inputCols=FAITHFUL, covarianceType=MCLUST[mclust])
    assert -model.summary.bic >= bic - 1e-3


@pytest.mark.classic_only
def test_the_best_mixture_of_old_faithful(spark: SparkSession, data: Path) -> None:
    """EEE with three components has the published weights, means and common covariance."""
    model = fit_to_limit(csv(spark, data, "faithful"), k=3, inputCols=FAITHFUL, covarianceType="tied")
    assert model.summary.logLikelihood == pytest.approx(-1126.326, abs=0.02)  # mclust stops early
    np.testing.assert_allclose(model.weights, [0.47795, 0.35637, 0.16568], atol=5e-3)
    np.testing.assert_allclose(model.means, [[4.4632, 80.8334], [2.0376, 54.4912], [3.7931, 77.5211]], rtol=5e-3)
    np.testing.assert_allclose(model.covariances[0], [[0.078254, 0.4802], [0.4802, 33.7671]], rtol=0.03)


@pytest.mark.classic_only
def test_waiting_times_from_a_published_start(spark: SparkSession, data: Path) -> None:
    """From weights ½ ½, means 55 80, sd 5 first log-likelihood and fixed point are those of Benaglia et al. 2009."""
    initial = GaussianMixtureModel.fromArrays([0.5, 0.5], [[55.0], [80.0]], [[[25.0]], [[25.0]]], "tied")
    estimator = GaussianMixture(k=2, inputCols=["waiting"], covarianceType="tied", tol=1e-10)
    estimator.setParams(covarianceFloor=0.0, covariancePrior=0.0)
    model = estimator.setInitialModel(initial).fit(csv(spark, data, "faithful"))
    assert model.summary.history[0] * 272 == pytest.approx(-1051.090, abs=1e-3)
    assert model.summary.logLikelihood == pytest.approx(-1034.002, abs=1e-3)
    np.testing.assert_allclose(model.weights, [0.63915, 0.36085], atol=1e-5)
    np.testing.assert_allclose(model.means.ravel(), [80.09031, 54.61364], atol=2e-4)
    assert np.sqrt(model.covariances[0, 0, 0]) == pytest.approx(5.86909, abs=2e-4)


def test_the_univariate_suite_of_spark_ml(spark: SparkSession) -> None:
    """Fifteen points give the weights, means, variances and log-likelihood of Spark ML's test."""
    points = (
        "-5.1971 -2.5359 -3.8220 -5.2211 -5.0602 4.7118 6.8989 3.4592 4.6322 5.7048 4.6567 5.5026 4.5605 5.2043 6.2734"
    )
    x = np.array(points.split(), dtype=float)[:, None]
    model = fit_to_limit(table(spark, features=x), k=2)
    np.testing.assert_allclose(model.weights, [2 / 3, 1 / 3], rtol=1e-4)
    np.testing.assert_allclose(model.means.ravel(), [5.1604, -4.3673], rtol=1e-4)
    np.testing.assert_allclose(model.covariances.ravel(), [0.86644, 1.1098], rtol=1e-4)
    assert model.summary.logLikelihood == pytest.approx(-30.375478, rel=1e-6)


def from_labels(x: FloatArray, labels: FloatArray) -> GaussianMixtureModel:
    """Return the mixture of one M-step from hard labels."""
    groups = [x[labels == label] for label in np.unique(labels)]
    covariances = [np.cov(group.T, bias=True) for group in groups]
    return GaussianMixtureModel.fromArrays(
        [len(group) / len(x) for group in groups], [group.mean(axis=0) for group in groups], covariances
    )


def trace(spark: SparkSession, source: pa.Table, label: str, expected: dict[str, Any]) -> GaussianMixtureModel:
    """Run EM from the labels for as many passes as the expected trace has, and compare their log-likelihoods."""
    columns = [name for name in source.column_names if name not in (label, "rownames")]
    x = np.column_stack([source[name].to_numpy() for name in columns]).astype(np.float64)
    assert x.shape == (expected["n"], expected["d"])
    labels = pc.dictionary_encode(source[label].cast(pa.string())).combine_chunks().indices.to_numpy()
    df = spark.createDataFrame(
        pa.table(dict(zip([f"x{i}" for i in range(len(columns))], x.T, strict=True)))
    ).repartition(2)
    model = plain_steps(df, from_labels(x, labels), len(expected["loglik"]) - 1)
    np.testing.assert_allclose(np.array(model.summary.history) * len(x), expected["loglik"], rtol=1e-9)
    return model


@pytest.mark.classic_only
@pytest.mark.parametrize(
    ("file", "label", "key"),
    [("satellite", "classes", "satellite"), ("cover", "outlier", "cover(y=outlier flag)")],
)
def test_em_from_true_labels(spark: SparkSession, data: Path, file: str, label: str, key: str) -> None:
    """From the true classes every pass has the log-likelihood of a plain numpy EM, to 1e-9."""
    expected = json.loads((data / "expected.json").read_text())["em_from_labels"][key]
    trace(spark, pq.read_table(data / f"{file}.parquet"), label, expected)


def test_em_from_true_species(spark: SparkSession, data: Path) -> None:
    """From the true species of iris every pass has the log-likelihood of a plain numpy EM, on both engines."""
    expected = json.loads((data / "expected.json").read_text())["em_from_labels"]["iris"]
    trace(spark, pa.csv.read_csv(data / "iris.csv"), "Species", expected)
