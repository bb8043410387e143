"""The scoring columns: exact, for every row, in the right row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as f
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark import GaussianMixtureModel
from gmm_spark.errors import DataError, ModelError, SchemaError
from gmm_spark.spark.scoring.posterior import ScoreColumns, with_posterior
from gmm_spark.spark.table.columns import Features
from gmm_spark.spark.table.names import Names
from tests.spark.frames import clusters, names, numbered, start, table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tests.spark.frames import FloatArray

X = clusters(200)
MODEL = start()


def log_joint(x: FloatArray) -> FloatArray:
    """Return log(pi_k N(x; mu_k, S_k)) as (n, k), by SciPy."""
    components = zip(MODEL.weights, MODEL.means, MODEL.covariances, strict=True)
    return np.column_stack([np.log(w) + multivariate_normal(m, c).logpdf(x) for w, m, c in components])


def scored(df: DataFrame, *columns: str) -> pa.Table:
    """Score a table with an id column, and return it sorted by id."""
    model = MODEL.copy()
    if columns:
        model.set(model.inputCols, list(columns))
    return model.transform(df).toArrow().sort_by("id")


def matrix(column: pa.ChunkedArray) -> FloatArray:
    """Return a column of arrays of equal length as a matrix."""
    return np.array(column.to_pylist(), dtype=np.float64)


def assert_scored(scores: pa.Table, x: FloatArray) -> None:
    """Compare the scoring columns with SciPy's densities."""
    joint = log_joint(x)
    density = logsumexp(joint, axis=1)
    probability = matrix(scores["probability"])
    np.testing.assert_allclose(scores["log_density"].to_numpy(), density, rtol=1e-9)
    np.testing.assert_allclose(probability, np.exp(joint - density[:, None]), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(scores["prediction"].to_numpy(), probability.argmax(axis=1))


def test_posteriors_are_those_of_bayes_rule(spark: SparkSession) -> None:
    """Posteriors sum to 1, the prediction is the most probable component, and the log-density is SciPy's to 1e-9."""
    df = table(spark, 3, id=np.arange(len(X)), features=X)
    assert_scored(scored(df), X)
    assert [t.simpleString() for t in MODEL.transform(df).schema.fields[-1:]] == ["log_density:double"]


def test_rows_far_from_every_component_have_a_posterior(spark: SparkSession) -> None:
    """A row at a thousand standard deviations, whose density underflows, has posteriors and a finite log-density."""
    far = X[:4] * [1e3, -1e3, 1e4]
    assert_scored(scored(table(spark, id=np.arange(4), features=far)), far)


def as_columns(spark: SparkSession, kind: str) -> DataFrame:
    """Return X as a table with its features in one column of this kind."""
    df = table(spark, id=np.arange(len(X)), features=X)
    if kind.startswith("vector"):
        make = Vectors.dense if kind == "vector" else lambda row: Vectors.sparse(3, list(enumerate(row)))
        return spark.createDataFrame([(i, make(row)) for i, row in enumerate(X.tolist())], ["id", "features"])
    return df.withColumn("features", f.col("features").cast(kind))


@pytest.mark.parametrize("kind", ["vector", "vector, sparse", "array<float>", "array<int>", "array<decimal(12,4)>"])
def test_every_kind_of_features_column(spark: SparkSession, kind: str) -> None:
    """Dense vectors, sparse vectors and arrays of any number type give the same scores."""
    exact = {
        "array<float>": X.astype(np.float32).astype(np.float64),
        "array<int>": np.trunc(X),
        "array<decimal(12,4)>": np.round(X, 4),
    }.get(kind, X)
    assert_scored(scored(as_columns(spark, kind)), exact)


def test_sparse_vectors_read_their_zeros(spark: SparkSession) -> None:
    """An entry that a sparse vector does not store is 0, not missing."""
    rows = [(0, Vectors.sparse(3, {1: -300.0})), (1, Vectors.sparse(3, {}))]
    scores = scored(spark.createDataFrame(rows, ["id", "features"]))
    assert_scored(scores, np.array([[0.0, -300.0, 0.0], [0.0, 0.0, 0.0]]))


def test_numeric_columns_of_any_type_and_name(spark: SparkSession) -> None:
    """Integers, floats and decimals can be mixed; names may have dots, spaces and backticks."""
    odd = ["a.b", "with space", "tick`ed"]
    plain = table(spark, id=np.arange(len(X)), **numbered(X))
    types = ["float", "int", "decimal(10,3)"]
    df = plain.select("id", *(f.col(x).cast(t).alias(o) for x, t, o in zip(names(3), types, odd, strict=True)))
    exact = np.column_stack([X[:, 0].astype(np.float32), np.trunc(X[:, 1]), np.round(X[:, 2], 3)])
    scores = scored(df, *odd)
    assert scores.column_names == ["id", *odd, "prediction", "probability", "log_density"]
    assert_scored(scores, exact)


ROWS = {  # features and the expected status
    "ok": [5.0, -300.0, 2.0],
    "null": None,
    "nan": [5.0, float("nan"), 2.0],
    "infinite": [float("inf"), -300.0, 2.0],
    "wrong_length": [5.0, -300.0],
    "null ": [5.0, None, 2.0],
    "wrong_length ": [],
    "infinite ": [5.0, -1e200, 2.0],
}


@pytest.mark.parametrize("single", [False, True], ids=["double", "float"])
def test_unusable_rows_stay_with_a_null_posterior(spark: SparkSession, *, single: bool) -> None:
    """Unusable rows have null scores and a status with the reason; the other rows are not affected."""
    source = pa.table({"id": range(len(ROWS)), "features": pa.array(ROWS.values(), pa.list_(pa.float64()))})
    df = spark.createDataFrame(source)
    columns = ScoreColumns(status="status", single=single)
    result = with_posterior(df, MODEL.parameters, Features.of(Names.of(df)), columns)
    scores = result.toArrow().sort_by("id")
    assert scores["status"].to_pylist() == [status.strip() for status in ROWS]
    for name in ("prediction", "probability", "log_density"):
        assert [value is None for value in scores[name].to_pylist()] == [status != "ok" for status in ROWS]
    assert result.schema["probability"].dataType.simpleString() == f"array<{'float' if single else 'double'}>"
    joint = log_joint(np.array([ROWS["ok"]]))
    np.testing.assert_allclose(scores["probability"][0].as_py(), np.exp(joint - logsumexp(joint))[0], rtol=1e-6)


def test_null_in_a_numeric_column(spark: SparkSession) -> None:
    """A row with a null or NaN in a numeric column has null scores, and no row is lost."""
    x = X.copy()
    x[3, 1] = np.nan
    df = table(spark, 3, id=np.arange(len(x)), **numbered(x))
    df = df.withColumn("x0", f.when(f.col("id") != 7, f.col("x0")))
    scores = scored(df, *names(3))
    assert [i for i, value in enumerate(scores["log_density"].to_pylist()) if value is None] == [3, 7]
    usable = np.isin(np.arange(len(x)), [3, 7], invert=True)
    assert_scored(scores.filter(pa.array(usable)), x[usable])


def test_a_filter_on_the_scores_filters_rows(spark: SparkSession) -> None:
    """Scores can be filtered like any column."""
    df = table(spark, id=np.arange(len(X)), features=X)
    expected = np.bincount(log_joint(X).argmax(axis=1), minlength=3)
    counts = (
        MODEL.transform(df)
        .where("log_density is not null")
        .groupBy("prediction")
        .count()
        .toArrow()
        .sort_by("prediction")
    )
    assert counts["count"].to_pylist() == expected[expected > 0].tolist()


def test_other_columns_are_not_changed(spark: SparkSession) -> None:
    """Columns of any type, and two of the same name, are the same in input and output."""
    df = table(spark, id=np.arange(3), features=X[:3]).select(
        "*",
        f.lit("a").alias("twice"),
        f.map_from_arrays(f.array(f.lit("k")), f.array("id")).alias("map"),
        f.lit(1).alias("twice"),
    )
    result = MODEL.transform(df)
    assert result.columns == [*df.columns, "prediction", "probability", "log_density"]
    assert result.count() == 3


@pytest.mark.parametrize("name", ["prediction", "probability", "log_density"])
def test_a_taken_output_name_is_refused(spark: SparkSession, name: str) -> None:
    """A table with a column of an output name is refused, and the column is not overwritten."""
    with pytest.raises(SchemaError, match=name):
        MODEL.transform(table(spark, features=X).withColumn(name, f.lit(1)))


def test_two_outputs_of_one_name_are_refused(spark: SparkSession) -> None:
    """Two scoring columns with one name are an error."""
    model = MODEL.copy({MODEL.predictionCol: "same", MODEL.probabilityCol: "same"})
    with pytest.raises(SchemaError, match="same"):
        model.transform(table(spark, features=X))


def test_an_empty_output_name_leaves_the_column_out(spark: SparkSession) -> None:
    """As in pyspark.ml, an empty name switches an output column off."""
    model = MODEL.copy({MODEL.probabilityCol: ""})
    assert model.transform(table(spark, features=X)).columns == ["features", "prediction", "log_density"]


def test_a_model_of_other_features_is_refused(spark: SparkSession) -> None:
    """The error names missing columns with the closest names, or the wrong number of features."""
    df = table(spark, **numbered(X))
    model = MODEL.copy()
    with pytest.raises(SchemaError, match=r"'X7'.*'x0'"):
        model.copy({model.inputCols: ["X7", "x1", "x2"]}).transform(df)
    with pytest.raises(ModelError, match=r"2 columns.*3 features"):
        model.copy({model.inputCols: ["x0", "x1"]}).transform(df)


def test_the_model_scores_single_rows_without_spark() -> None:
    """`predict` and `predictProbability` give the same results as `transform`."""
    joint = log_joint(X[:5])
    for row, expected in zip(X[:5], joint, strict=True):
        np.testing.assert_allclose(MODEL.predictProbability(row), np.exp(expected - logsumexp(expected)), rtol=1e-9)
        assert MODEL.predict(row) == expected.argmax()


@pytest.mark.parametrize("row", [[np.nan, 0.0, 0.0], [0.0, np.inf, 0.0], [0.0, 0.0, 1e151], [0.0], ["a", 0, 0], None])
def test_a_single_row_that_can_not_be_used_is_refused(row: object) -> None:
    """Equal probabilities, which the arithmetic gives, would be taken for an answer; `transform` gives null."""
    for of_row in (MODEL.predict, MODEL.predictProbability):
        with pytest.raises(DataError, match=r"the row: got .*expected 3 finite numbers"):
            of_row(row)  # type: ignore[arg-type] # some are that mistake


def test_a_weight_of_zero_is_never_predicted(spark: SparkSession) -> None:
    """A component of weight 0 has posterior 0 for every row, never NaN."""
    model = GaussianMixtureModel.fromArrays([1.0, 0.0], [[0.0], [5.0]], [[[1.0]], [[1.0]]])
    scores = model.transform(table(spark, features=np.array([[5.0], [0.0]]))).toArrow()
    assert scores["probability"].to_pylist() == [[1.0, 0.0]] * 2
