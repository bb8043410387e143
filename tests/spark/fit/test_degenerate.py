"""Components that do no work, point masses, and tables with too little in them, on Spark."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.em.summary import fields_of, summary_from
from gmm_spark.errors import DataError
from gmm_spark.mixture.parameters import FAMILIES, Parameters
from gmm_spark.report.model_description import description
from gmm_spark.spark.ml.select import select
from gmm_spark.spark.selection import grid_starts
from gmm_spark.spark.selection.grid_starts import SearchResult
from gmm_spark.store.model_directory import read_model
from tests.spark.frames import names, numbered, table

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.search.sample import Plan
    from gmm_spark.spark.selection.grid_starts import Searches


def with_a_missed_cluster() -> tuple[FloatArray, Parameters]:
    """Return rows of three clusters, the last 20 in the smallest, and a start that has a dead component for it."""
    generator = np.random.default_rng(0)
    centres = np.repeat([[0.0, 0], [20, 0], [0, 30]], [300, 280, 20], axis=0)
    means = np.array([[0.0, 0.0], [20.0, 0.0], [1e3, -1e3]])
    start = Parameters(np.array([0.5, 0.49, 0.01]), means, np.stack([np.eye(2)] * 3), "full")
    return centres + generator.standard_normal((600, 2)), start


@pytest.mark.parametrize("family", ["full", "tied"])
def test_a_dead_component_finds_the_cluster_that_was_missed(
    spark: SparkSession, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    """Its rows come back with the statistics from the tasks; what was done is in the log and in the summary."""
    x, start = with_a_missed_cluster()
    dead = GaussianMixtureModel(replace(start, family=family))
    estimator = GaussianMixture(k=3, inputCols=names(2), covarianceType=family, tol=1e-6).setInitialModel(dead)
    with caplog.at_level(logging.INFO, "gmm_spark"):
        model = estimator.fit(table(spark, partitions=3, **numbered(x)))
    assert model.summary.reseeded == 1
    assert model.summary.outcome == "converged"
    assert "components [2] held next to no rows" in caplog.text
    assert np.linalg.norm(model.means[2] - x[580:].mean(axis=0)) < 0.5
    assert model.weights[2] == pytest.approx(1 / 30, rel=1e-3)


@pytest.mark.parametrize("families", [["full", "diag"], ["tied"]])
def test_a_selection_begins_dead_components_anew(
    spark: SparkSession, families: list[Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each candidate whose start has a dead component finds the missed cluster, in its own coordinates."""
    x, dead = with_a_missed_cluster()
    monkeypatch.setattr(grid_starts, "search", lambda _, searches: [found_by(searches, p) for p in searches.plans])

    def found_by(searches: Searches, plan: Plan) -> SearchResult:
        return SearchResult([searches.frames[plan.family].inward(replace(dead, family=plan.family))])

    estimator = GaussianMixture(inputCols=names(2), tol=1e-6)
    found = select(table(spark, partitions=3, **numbered(x)), estimator, [3], families, retire=False)
    for model in found.models.values():
        assert model.summary.reseeded == 1
        assert np.linalg.norm(model.means[2] - x[580:].mean(axis=0)) < 0.5


@pytest.mark.classic_only
def test_a_point_mass_is_told_with_its_value(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, in the summary, in the model that is read back, and in its description."""
    x = np.concatenate([np.tile([3.5, -700.25], (300, 1)), np.random.default_rng(1).standard_normal((700, 2)) * 9])
    with caplog.at_level(logging.INFO, "gmm_spark"):
        model = GaussianMixture(k=2, inputCols=names(2), seed=1).fit(table(spark, **numbered(x)))
    (mass,) = model.summary.pointMasses
    np.testing.assert_allclose(mass.value, [3.5, -700.25], rtol=1e-9)
    assert model.weights[mass.component] == pytest.approx(0.3)
    assert mass.share == pytest.approx(0.3)
    assert "30 % of the weight, at x0 = 3.5, x1 = -700.25" in caplog.text
    model.write().save(str(tmp_path / "model"))
    assert GaussianMixtureModel.load(str(tmp_path / "model")).summary == model.summary
    line = "component 1 holds one repeated value, 0.3000 of the weight: x0 = 3.5, x1 = -700.25"
    assert line in description(read_model(tmp_path / "model"))


@pytest.mark.classic_only
@pytest.mark.parametrize("family", FAMILIES)
def test_more_features_than_rows(spark: SparkSession, family: Family) -> None:
    """full and tied are refused with what to do; diagonal families need no more than columns that vary."""
    x = np.random.default_rng(2).standard_normal((5, 7))
    estimator = GaussianMixture(k=2, inputCols=names(7), covarianceType=family, maxIter=20)
    df = table(spark, **numbered(x))
    if family in ("full", "tied"):
        with pytest.raises(DataError, match=r"linearly dependent.*more distinct rows than features.*diag"):
            estimator.fit(df)
        return
    model = estimator.fit(df)
    assert np.isfinite(model.covariances).all()
    assert model.weights.sum() == pytest.approx(1)
    assert model.summary.outcome in ("converged", "no_progress", "iteration_limit")


@pytest.mark.classic_only
@pytest.mark.parametrize("family", ["full", "spherical"])
def test_one_row_is_refused(spark: SparkSession, family: Family) -> None:
    """One row has no variance: its columns are named as constant."""
    with pytest.raises(DataError, match=r"'x0', 'x1' with the same value in every row"):
        GaussianMixture(k=1, inputCols=names(2), covarianceType=family).fit(table(spark, x0=[1.0], x1=[-4e9]))


@pytest.mark.classic_only
def test_a_cluster_that_has_left_the_data_is_reported(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    """A warm start names the component, its old weight and its new one; the model has it at weight 0."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 2))
    x[300:, 0] += 40
    start = GaussianMixtureModel.fromArrays([0.5, 0.3, 0.2], [[0, 0], [0, 90], [40, 0]], [np.eye(2)] * 3)
    mixture = GaussianMixture(k=3, inputCols=names(2)).setInitialModel(start)
    with caplog.at_level("WARNING", "gmm_spark"):
        summary = (model := mixture.fit(table(spark, **numbered(x)))).summary
    assert summary.emptied == (1,)
    assert "component 1 of the initial model, 0.3 of its weight, holds 0 of these rows" in caplog.text
    assert any("component 1 of the initial model" in warning for warning in summary.warnings)
    assert model.weights[2] == 0
    assert summary.outcome == "converged"
    assert len(summary.history) <= 5
    assert summary_from(fields_of(summary)) == summary
