"""Weights have no unit: criteria use the effective number of rows, and the scale of the weights changes no choice."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gmm_spark import GaussianMixture
from gmm_spark.errors import DataError
from gmm_spark.spark.ml.select import select
from tests.spark.frames import clusters, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark.spark.ml.select import ModelSelection

X = clusters(400)[:, :2]
WEIGHTS = np.random.default_rng(0).uniform(0.5, 2.0, len(X)) * (np.arange(len(X)) % 7 > 0)
CRITERIA = ("bic", "aic", "icl")


@cache
def selection(spark: SparkSession, unit: float | None) -> ModelSelection:
    """Select one to four components for weights in this unit, for equal weights if it is negative, or for none."""
    params: dict[str, Any] = {"inputCols": names(2), "starts": 4, "tol": 1e-6}
    columns: dict[str, Any] = numbered(X)
    if unit is not None:
        params["weightCol"] = "w"
        columns["w"] = np.full(len(X), -unit) if unit < 0 else unit * WEIGHTS
    return select(table(spark, **columns), GaussianMixture(**params), [1, 2, 3, 4], retire=True)


@pytest.mark.classic_only
@pytest.mark.parametrize("unit", [1e-6, 1e6, 1 / WEIGHTS.sum()])
def test_the_unit_of_the_weights_does_not_matter(spark: SparkSession, unit: float) -> None:
    """Tiny weights, huge weights and weights that sum to 1 give the same choice, criteria, gains and outcomes."""
    one, other = selection(spark, 1.0), selection(spark, unit)
    assert other.best == one.best
    for ours, theirs in zip(other.evaluations, one.evaluations, strict=True):
        assert ours.outcome == theirs.outcome
        assert [getattr(ours, name) for name in CRITERIA] == pytest.approx(
            [getattr(theirs, name) for name in CRITERIA], rel=1e-7
        )
    summary, before = other.bestModel.summary, one.bestModel.summary
    assert summary.effectiveRows == pytest.approx(before.effectiveRows)
    assert [getattr(summary, name) for name in CRITERIA] == pytest.approx(
        [getattr(before, name) for name in CRITERIA], rel=1e-7
    )
    np.testing.assert_allclose(other.bestModel.means, one.bestModel.means, rtol=1e-4)


@pytest.mark.classic_only
def test_equal_weights_change_nothing(spark: SparkSession) -> None:
    """A weight of 0.03 in every row gives the criteria and the number of rows of a table without weights."""
    none, equal = selection(spark, None), selection(spark, -0.03)
    assert equal.best == none.best
    assert none.bestModel.summary.effectiveRows == len(X)
    assert equal.bestModel.summary.effectiveRows == pytest.approx(len(X), rel=1e-12)
    for ours, theirs in zip(equal.evaluations, none.evaluations, strict=True):
        assert (ours.bic, ours.aic, ours.icl) == pytest.approx((theirs.bic, theirs.aic, theirs.icl), rel=1e-7)


@pytest.mark.classic_only
def test_criteria_of_one_component_are_those_of_kish(spark: SparkSession) -> None:
    """Criteria equal SciPy's: the log-likelihood scaled to (sum w)^2 / sum w^2 rows; rows of weight 0 do not count."""
    model = GaussianMixture(k=1, inputCols=names(2), weightCol="w").fit(table(spark, w=1e6 * WEIGHTS, **numbered(X)))
    mean = np.average(X, axis=0, weights=WEIGHTS)
    covariance = np.cov(X.T, aweights=WEIGHTS, bias=True)
    rows = WEIGHTS.sum() ** 2 / (WEIGHTS**2).sum()
    value = rows * np.average(multivariate_normal(mean, covariance).logpdf(X), weights=WEIGHTS)
    summary = model.summary
    assert summary.weight == pytest.approx(1e6 * WEIGHTS.sum())
    assert summary.effectiveRows == pytest.approx(rows, rel=1e-12)
    assert summary.logLikelihood == pytest.approx(1e6 * value * WEIGHTS.sum() / rows, rel=1e-12)
    assert summary.bic == pytest.approx(-2 * value + 5 * math.log(rows), rel=1e-12)
    assert summary.aic == pytest.approx(-2 * value + 10, rel=1e-12)
    assert summary.icl == pytest.approx(summary.bic, rel=1e-9)


@pytest.mark.classic_only
@pytest.mark.parametrize(("weight", "message"), [(1e-200, "squares are summed"), (1e200, "bad_weight")])
def test_too_small_and_too_large_weights_are_refused(spark: SparkSession, weight: float, message: str) -> None:
    """Totals below 1e-140 and single weights above 1e150 are refused, each with advice."""
    df = table(spark, w=np.full(len(X), weight), **numbered(X))
    with pytest.raises(DataError, match=message):
        GaussianMixture(k=1, inputCols=names(2), weightCol="w").fit(df)


@pytest.mark.classic_only
def test_whole_weights_are_copies_but_for_the_criteria(spark: SparkSession) -> None:
    """Maximum likelihood: whole weights give the results of repeated rows, but criteria with fewer effective rows."""
    weights = 1.0 + np.arange(len(X)) % 3
    start = GaussianMixture(k=2, inputCols=names(2), starts=2).fit(table(spark, **numbered(X)))
    steps = GaussianMixture(k=2, inputCols=names(2), tol=0, maxIter=3, covariancePrior=0).setInitialModel(start)
    weighted = steps.copy().setParams(weightCol="w").fit(table(spark, w=weights, **numbered(X)))
    copied = steps.fit(table(spark, **numbered(np.repeat(X, weights.astype(int), axis=0))))
    assert weighted.summary.logLikelihood == pytest.approx(copied.summary.logLikelihood, rel=1e-11)
    np.testing.assert_allclose(weighted.means, copied.means, rtol=1e-9)
    assert weighted.summary.effectiveRows < copied.summary.effectiveRows == weights.sum()


@pytest.mark.classic_only
def test_rows_of_weight_zero_do_not_count(spark: SparkSession) -> None:
    """A thousand rows of weight 0 beside forty others do not change parameters, criteria or findings."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((28, 3)), rng.standard_normal((12, 3)) + 12])
    far = rng.standard_normal((1000, 3)) * 5 - 40
    both, weights = np.concatenate([far, x]), np.repeat([0.0, 1.0], [1000, 40])
    mixture = GaussianMixture(inputCols=names(3), starts=4, covariancePrior=0)
    alone = mixture.fit(table(spark, **numbered(x)))
    beside = mixture.copy({mixture.weightCol: "w"}).fit(table(spark, w=weights, **numbered(both)))
    assert alone.summary.findings == beside.summary.findings == ()
    assert beside.summary.bic == pytest.approx(alone.summary.bic, rel=1e-9)
    np.testing.assert_allclose(beside.means, alone.means, rtol=1e-9)
