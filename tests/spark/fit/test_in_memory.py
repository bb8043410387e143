"""A fit on Spark and a fit in memory give the same mixture, with params of the same names and defaults."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from gmm_spark import GaussianMixture, fit
from gmm_spark.em.summary import fields_of
from gmm_spark.fit import fit as fit_function
from gmm_spark.mixture.parameters import FAMILIES
from tests.spark.frames import assert_same_mixture, clusters, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark.mixture.parameters import Family

REST = sorted(set(FAMILIES) - {"full", "tied-diag"})


def test_params_have_one_name_and_one_default() -> None:
    """Shared params of estimator and function have one default; the function has none for columns or files."""
    ours = inspect.signature(fit_function).parameters
    theirs = inspect.signature(GaussianMixture.__init__).parameters
    common = ours.keys() & theirs.keys() - {"k"}
    assert {name: ours[name].default for name in common} == {name: theirs[name].default for name in common}
    assert ours.keys() - theirs.keys() == {"x", "weights", "initial"}
    left = {name for name in theirs.keys() - ours.keys() if not name.endswith(("Col", "Cols"))}
    assert left == {
        "self", "handleInvalid", "maxInvalidFraction", "checkpointDir", "checkpointSeconds", "keepLastCheckpoint",
        "resume",
    }  # fmt: skip


@pytest.mark.classic_only
@pytest.mark.parametrize(
    "family", ["full", "tied-diag", *(pytest.param(family, marks=pytest.mark.slow) for family in REST)]
)
def test_a_table_in_one_partition_gives_the_same_bits(spark: SparkSession, family: Family) -> None:
    """Survey, sample, search and EM add the same numbers in the same order: equal parameters and log-likelihoods."""
    x = clusters(1500)
    options: dict[str, Any] = {"covarianceType": family, "seed": 3, "starts": 4}
    df = spark.createDataFrame(pa.table(numbered(x))).coalesce(1)
    there = GaussianMixture(k=3, inputCols=names(3), **options).fit(df)
    here = fit(x, 3, **options)
    for one, other in zip(here.parameters.arrays, there.parameters.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    assert here.summary.history == there.summary.history
    assert here.summary.numPasses == there.summary.numPasses
    left, right = ({**fields_of(fitted.summary), "seconds": {}} for fitted in (here, there))
    assert left == right


@pytest.mark.classic_only
def test_weights_and_partitions_give_the_same_mixture(spark: SparkSession) -> None:
    """With rows of weight 0 and sums in another order the parameters agree to 1e-9."""
    x = clusters(1500)
    weights = np.random.default_rng(0).integers(0, 4, len(x)).astype(np.float64)
    options: dict[str, Any] = {"seed": 3, "starts": 4, "noise": True}
    mixture = GaussianMixture(k=3, inputCols=names(3), weightCol="w", **options)
    there = mixture.fit(table(spark, 3, **numbered(x), w=weights))
    here = fit(x, 3, weights=weights, **options)
    assert_same_mixture(there, type(there)(here.parameters), 1e-9)
    assert here.summary.bic == pytest.approx(there.summary.bic, rel=1e-9)
