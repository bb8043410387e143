"""Tables that can't be fitted are refused with the reason; before any Spark job if the schema shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as f

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.errors import DataError, SchemaError
from gmm_spark.mixture.redundancy import RedundantColumns
from tests.spark.frames import clusters, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

X = clusters(60)


def unreadable(spark: SparkSession) -> DataFrame:
    """Return a table that fails when a job reads it."""
    df = table(spark, features=X, label=["a"] * len(X), w=["heavy"] * len(X), **numbered(X))
    trap = f.raise_error(f.lit("a Spark job ran")).isNull()
    return df.withColumns({"amount": f.col("x0"), "when": f.current_timestamp(), "texts": f.array("label")}).where(trap)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"inputCols": ["x0", "amuont"]}, "'amuont'.*Did you mean 'amount'"),
        ({"featuresCol": "feature"}, "'feature'.*Did you mean 'features'"),
        ({"inputCols": ["x0", "label"]}, "'label'.*string"),
        ({"inputCols": ["when"]}, "'when'.*timestamp"),
        ({"featuresCol": "label"}, "'label'.*string"),
        ({"featuresCol": "texts"}, "'texts'.*array<string>"),
        ({"inputCols": ["x0", "x1", "x0"]}, "'x0'.*more than once"),
        ({"weightCol": "weight"}, "'weight'"),
        ({"weightCol": "w"}, "'w'.*string"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused_before_any_job(
    spark: SparkSession,
    params: dict[str, Any],
    reason: str,
) -> None:
    """The error names a missing, repeated or non-numeric column and the closest name, and no row is read."""
    with pytest.raises(SchemaError, match=reason):
        GaussianMixture(**params).fit(unreadable(spark))


def test_the_unreadable_table_fails_when_it_is_read(spark: SparkSession) -> None:
    """A fit that reads the table of the test above fails."""
    with pytest.raises(Exception, match="a Spark job ran"):
        GaussianMixture(inputCols=names(3)).fit(unreadable(spark))


@pytest.mark.classic_only
def test_a_schema_error_starts_no_job(spark: SparkSession) -> None:
    """Spark counts no job."""
    context = spark.sparkContext
    context.setJobGroup("refused", "a fit that is refused")
    with pytest.raises(SchemaError):
        GaussianMixture(inputCols=["none"]).fit(table(spark, **numbered(X)))
    assert list(context.statusTracker().getJobIdsForGroup("refused")) == []
    context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type] # None clears it


def test_two_columns_of_one_name_are_refused(spark: SparkSession) -> None:
    """A name that means two columns is refused."""
    df = table(spark, **numbered(X)).select("x0", f.col("x1").alias("x0"))
    with pytest.raises(SchemaError, match=r"'x0'.*two columns of this name"):
        GaussianMixture(inputCols=["x0"]).fit(df)


def arrays(spark: SparkSession, values: list[Any]) -> DataFrame:
    """Return a table of one column of arrays."""
    return spark.createDataFrame(pa.table({"features": pa.array(values, pa.list_(pa.float64()))})).repartition(2)


def test_arrays_of_several_lengths_are_refused(spark: SparkSession) -> None:
    """The error names the column and the number of rows of another length."""
    with pytest.raises(DataError, match=r"'features'.*2 wrong_length"):
        GaussianMixture().fit(arrays(spark, [*X.tolist(), [1.0, 2.0], []]))


@pytest.mark.classic_only
@pytest.mark.parametrize(
    ("values", "reason"),
    [([-1.0], "1 bad_weight"), ([float("nan"), float("inf")], "2 bad_weight"), ([None], "1 bad_weight")],
)
def test_invalid_weights_are_refused(spark: SparkSession, values: list[Any], reason: str) -> None:
    """A negative, non-finite or missing weight is refused, and the error names the weight column."""
    weights = pa.array([*values, *[1.0] * (len(X) - len(values))], pa.float64())
    df = spark.createDataFrame(pa.table({"w": weights, **{n: pa.array(c) for n, c in numbered(X).items()}}))
    with pytest.raises(DataError, match=f"'w'.*{reason}"):
        GaussianMixture(inputCols=names(3), weightCol="w").fit(df)


@pytest.mark.parametrize("kind", ["columns", "array"])
def test_an_empty_table_is_refused(spark: SparkSession, kind: str) -> None:
    """A table without usable rows is refused."""
    df = table(spark, features=X, **numbered(X)).where("x0 is null")
    params: dict[str, Any] = {"inputCols": names(3)} if kind == "columns" else {}
    with pytest.raises(DataError, match="no row"):
        GaussianMixture(**params).fit(df)


def test_weights_of_zero_only_are_refused(spark: SparkSession) -> None:
    """A table in which all weights are 0 is refused."""
    with pytest.raises(DataError, match="no usable row with a weight above 0"):
        GaussianMixture(inputCols=names(3), weightCol="w").fit(table(spark, w=np.zeros(len(X)), **numbered(X)))


@pytest.mark.classic_only
@pytest.mark.parametrize("family", ["full", "diag"])
@pytest.mark.parametrize("value", [0.0, 0.1, -1.7e9])
def test_a_constant_column_is_named(spark: SparkSession, family: str, value: float) -> None:
    """A constant column is refused by name."""
    df = table(spark, **numbered(X)).withColumn("always", f.lit(value))
    with pytest.raises(DataError, match=r"features 'always': got .*same value"):
        GaussianMixture(inputCols=[*names(3), "always"], covarianceType=family).fit(df)


@pytest.mark.classic_only
@pytest.mark.parametrize("copy", ["x0", "3 * x0 - 2"])
def test_dependent_columns_are_named(spark: SparkSession, copy: str) -> None:
    """A column that depends on another one is refused, and the error has both names."""
    df = table(spark, **numbered(X)).withColumn("again", f.expr(copy))
    with pytest.raises(DataError, match=r"features 'again': got .*linearly dependent.*'again' from 'x0'"):
        GaussianMixture(inputCols=[*names(3), "again"]).fit(df)


@pytest.mark.classic_only
def test_all_columns_to_leave_out_are_named_at_once(spark: SparkSession) -> None:
    """With twelve complete one-hot groups and constants, the error lists columns without which the fit succeeds."""
    rng = np.random.default_rng(0)
    groups: dict[str, Any] = {}
    for g in range(12):
        values = rng.integers(4, size=2000)
        groups |= {f"g{g}_{v}": (values == v) + 0.0 for v in range(4)}
    df = table(spark, x=1.7e9 + rng.normal(size=2000), **groups).withColumns({"c": f.lit(3), "e": f.lit(0.1)})
    with pytest.raises(DataError, match=r"Leave these 14 out \(one column per one-hot group\)") as caught:
        GaussianMixture(k=1, inputCols=df.columns).fit(df)
    found = caught.value.got
    assert isinstance(found, RedundantColumns)
    assert found.constant == ("c", "e")
    assert found.dependent == tuple(f"g{g}_3" for g in range(12))
    model = GaussianMixture(k=1, inputCols=list(found.independent)).fit(df)
    assert model.means.shape == (1, 37)


@pytest.mark.classic_only
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("family", ["full", "diag"])
def test_more_components_than_distinct_rows_are_refused(spark: SparkSession, family: str, *, weighted: bool) -> None:
    """The error has the number of distinct rows; rows that differ only in their weight are not distinct."""
    x = np.repeat([1.0, 2.0, 5.0], 20)
    w = np.where(x < 5, np.linspace(1, 2, 60), 0 if weighted else 1)
    df = table(spark, x0=x if weighted else np.minimum(x, 2.0), w=w)
    params: dict[str, Any] = {"weightCol": "w"} if weighted else {}
    with pytest.raises(DataError, match=r"3 components.*2 distinct rows"):
        GaussianMixture(k=3, inputCols=["x0"], covarianceType=family, **params).fit(df)


@pytest.mark.classic_only
def test_as_many_components_as_distinct_rows_can_be_fitted(spark: SparkSession) -> None:
    """With a covariance floor, three components on three distinct values have their shares as weights, never NaN."""
    model = GaussianMixture(k=3, inputCols=["x0"]).fit(table(spark, x0=np.repeat([1.0, 2.0, 5.0], [30, 20, 10])))
    np.testing.assert_allclose(model.weights, [1 / 2, 1 / 3, 1 / 6], rtol=1e-6)
    np.testing.assert_allclose(model.means.ravel(), [1.0, 2.0, 5.0], rtol=1e-6)


@pytest.mark.classic_only
def test_a_collapse_without_a_floor_ends_degenerate(spark: SparkSession) -> None:
    """A component on one repeated value ends the fit with a valid model and the outcome degenerate, no exception."""
    initial = GaussianMixtureModel.fromArrays([0.8, 0.2], [[0.0], [30.0]], [[[1.0]], [[1.0]]])
    x = np.concatenate([np.random.default_rng(0).standard_normal(200), np.full(50, 30.0)])
    estimator = GaussianMixture(
        k=2, inputCols=["x0"], covarianceFloor=0, covariancePrior=0, tol=1e-12, maxIter=50, acceleration="none"
    )
    model = estimator.setInitialModel(initial).fit(table(spark, x0=x))
    assert model.summary.outcome == "degenerate"
    assert np.isfinite(model.summary.logLikelihood)
    assert np.isfinite(model.covariances).all()


INVALID = [
    [5.0, -300.0],
    None,
    [1.0, None, 2.0],
    [1.0, float("nan"), 2.0],
    [1.0, float("-inf"), 2.0],
    [1.0, 1e200, 2.0],
]


def test_unusable_rows_are_refused_with_their_number(spark: SparkSession) -> None:
    """By default a table with unusable rows is refused, with their number and the reasons."""
    with pytest.raises(DataError, match="2 null, 1 wrong_length, 1 nan, 2 infinite"):
        GaussianMixture(k=1).fit(arrays(spark, [*X.tolist(), *INVALID]))


def test_unusable_rows_can_be_skipped(spark: SparkSession) -> None:
    """handleInvalid="skip" skips unusable rows, the first row included, and counts them by reason."""
    model = GaussianMixture(k=1, handleInvalid="skip").fit(arrays(spark, [*INVALID, *X.tolist()]))
    counts = {"null": 2, "wrong_length": 1, "nan": 1, "infinite": 2, "bad_weight": 0}
    assert (model.summary.numInvalid, model.summary.numRows) == (counts, len(X))
    np.testing.assert_allclose(model.means[0], X.mean(axis=0), rtol=1e-12)


@pytest.mark.classic_only
def test_rows_of_bad_weight_can_be_skipped(spark: SparkSession) -> None:
    """With handleInvalid="skip" a row with a negative, NaN or null weight is skipped."""
    weights = pa.array([-1.0, float("nan"), None, *[2.0] * (len(X) - 3)], pa.float64())
    df = spark.createDataFrame(pa.table({"w": weights, **{n: pa.array(c) for n, c in numbered(X).items()}}))
    model = GaussianMixture(k=1, inputCols=names(3), weightCol="w", handleInvalid="skip").fit(df)
    assert (model.summary.numInvalid["bad_weight"], model.summary.weight) == (3, 2 * (len(X) - 3))
    np.testing.assert_allclose(model.means[0], X[3:].mean(axis=0), rtol=1e-12)
