"""Many features and diagonal covariances on Spark: means, variances and squares are all that travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.mixture import coordinates
from gmm_spark.spark.blocks import pack
from gmm_spark.spark.ml.select import select
from gmm_spark.spark.session import send_to_tasks
from gmm_spark.spark.table.rows import RowLayout
from gmm_spark.spark.table.survey_pass import survey
from gmm_spark.statistics import kernel
from gmm_spark.statistics.survey import Survey, needs_products
from tests.spark.frames import table

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import Family
    from tests.spark.frames import FloatArray

D, N = 300, 900


def wide() -> FloatArray:
    """Return (N, D) rows of three clusters, in columns of very unlike scale and offset."""
    rng = np.random.default_rng(0)
    z = 0.5 * rng.standard_normal((3, D))[np.arange(N) % 3] + rng.standard_normal((N, D))
    return np.asarray((z + rng.uniform(-1e3, 1e3, D)) * 10 ** rng.uniform(-6, 6, D))


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    """Give the rows as one column of arrays."""
    return table(spark, 3, features=wide())


def test_the_survey_of_a_diagonal_family_is_of_variances(spark: SparkSession, df: DataFrame) -> None:
    """A survey without products has the variances of one with them, in d numbers, whatever merges it."""
    x, layout = wide(), RowLayout(D, array=True, weighted=False)
    found = survey(df.selectExpr("features as x"), layout, products=False)
    assert found.scatter.shape == (D,)
    assert len(found.to_bytes()) < 8 * D * D
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, x.var(axis=0), rtol=1e-10)
    back = Survey.from_bytes(found.to_bytes(), Survey.zero(D, products=False))
    assert back.scatter.tobytes() == found.scatter.tobytes()
    frame = coordinates.coordinates_for("diag", found.mean, found.covariance, tuple(f"x{i}" for i in range(D)))
    with send_to_tasks(spark, pack.Packing(layout, frame, 0, 0.0)) as packing:
        totals = pack.pack(df.selectExpr("features as x"), packing).select("total").collect()
    assert {len(row[0]) for row in totals} == {8 * (1 + 2 * D)}


@pytest.mark.parametrize(
    ("families", "d", "expected"),
    [
        (("diag",), 65, False),
        (("diag", "spherical"), 1000, False),
        (("diag", "full"), 1000, True),
        (("tied",), 1000, True),
        (("diag",), 64, True),  # so few that duplicate columns are looked for, too
    ],
)
def test_products_are_surveyed_where_they_are_needed(families: tuple[Family, ...], d: int, expected: bool) -> None:  # noqa: FBT001
    """Full and tied need the covariance of the data, diag and spherical do not."""
    assert needs_products(families, d) == expected


def test_a_wide_diagonal_fit_is_exact_and_comes_back(df: DataFrame, tmp_path: Path) -> None:
    """It finds the clusters, its likelihood is that of its parameters, and save, load and transform need no matrix."""
    x = wide()
    model = GaussianMixture(k=3, covarianceType="diag", starts=4, seed=1, covariancePrior=0).fit(df)
    log_density = kernel.posteriors(x, model.parameters)[1]
    assert model.summary.meanLogLikelihood == pytest.approx(log_density.mean(), rel=1e-12)
    labels = kernel.posteriors(x, model.parameters)[0].argmax(axis=1)
    assert all(len(set(labels[i::3])) == 1 for i in range(3))
    for i in range(3):
        np.testing.assert_allclose(model.variances[labels[i]], x[i::3].var(axis=0), rtol=1e-6)
    model.save(str(tmp_path / "model"))
    back = GaussianMixtureModel.load(str(tmp_path / "model"))
    assert back.variances.tobytes() == model.variances.tobytes()
    assert sum(file.stat().st_size for file in (tmp_path / "model").rglob("part-*")) < 200 * 3 * D
    scored = back.transform(df).select("log_density").toArrow().column(0).to_numpy()
    np.testing.assert_allclose(np.sort(scored), np.sort(log_density), rtol=1e-12)


def test_a_grid_of_diagonal_families_shares_its_passes(df: DataFrame) -> None:
    """diag and spherical are selected together on many features, each with the likelihood that its row says."""
    x = wide()
    mixture = GaussianMixture(starts=2, seed=1, covariancePrior=0)
    found = select(df, mixture, [1, 3], ["diag", "spherical"], retire=False)
    assert found.best.name == "diag-3"
    for row in found.evaluations:
        own = kernel.posteriors(x, found.models[row.candidate].parameters)[1].mean()
        assert row.mean_log_likelihood == pytest.approx(own, rel=1e-10)
