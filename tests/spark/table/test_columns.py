"""Names mean the same columns as in Spark, and columns of any type are read as numbers or refused with advice."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import functions as f
from pyspark.sql import types as t

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.errors import ModelError, SchemaError
from gmm_spark.spark.ml.evaluator import MeanLogLikelihoodEvaluator
from gmm_spark.spark.table.names import Names
from tests.spark.frames import assert_same_mixture, clusters, numbered, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

X = clusters(120)
PLANE = GaussianMixtureModel.fromArrays([0.5, 0.5], [[0.0, 0.0], [4.0, 4.0]], [np.eye(2)] * 2)
VECTORS = [
    None,
    Vectors.dense([1.0, 2.0]),
    Vectors.sparse(2, {1: 3.0}),
    Vectors.sparse(2, {}),
    Vectors.dense([1.0]),
    Vectors.sparse(5, {0: 1.0}),
    Vectors.dense([float("nan"), 0.0]),
    Vectors.dense([0.0, float("inf")]),
    *(Vectors.dense([float(i), float(i**2)]) for i in range(8)),
]
UNUSABLE = {"null": 1, "wrong_length": 2, "nan": 1, "infinite": 1, "bad_weight": 0}


def vectors(spark: SparkSession, size: int | None = None) -> DataFrame:
    """Return `VECTORS`, with a size in the metadata of the column."""
    metadata = {} if size is None else {"ml_attr": {"num_attrs": size}}
    schema = t.StructType([t.StructField("features", VectorUDT(), nullable=True, metadata=metadata)])
    return spark.createDataFrame([(vector,) for vector in VECTORS], schema)


@contextmanager
def case_sensitive(spark: SparkSession) -> Iterator[None]:
    """Make the session case-sensitive for the time of a test."""
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        yield
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


def test_vectors_that_cannot_be_used_are_counted(spark: SparkSession) -> None:
    """Vectors that are null, of another length, NaN or infinite are skipped; sparse vectors include their zeros."""
    model = GaussianMixture(k=1, handleInvalid="skip").fit(vectors(spark))
    usable = [[1.0, 2.0], [0.0, 3.0], [0.0, 0.0], *([float(i), float(i**2)] for i in range(8))]
    assert model.summary.numInvalid == UNUSABLE
    np.testing.assert_allclose(model.means[0], np.mean(usable, axis=0), rtol=1e-12)


def test_vectors_that_cannot_be_used_get_no_posterior(spark: SparkSession) -> None:
    """Only unusable vectors have null scores, and equal sparse and dense vectors have equal densities."""
    density = [row.log_density for row in PLANE.transform(vectors(spark)).collect()]
    assert [i for i, value in enumerate(density) if value is None] == [0, 4, 5, 6, 7]
    # 0.5 N(0; 0, I) + 0.5 N(0; (4, 4), I)
    np.testing.assert_allclose(density[3], np.log(0.5 * (1 + np.exp(-16)) / (2 * np.pi)), rtol=1e-12)
    assert density[3] == density[8]


def test_a_vector_column_of_another_size_is_refused(spark: SparkSession) -> None:
    """The size in the metadata is enough: no row is read."""
    with pytest.raises(ModelError, match=r"'features': got 3 numbers.*the model's 2 features"):
        PLANE.transform(vectors(spark, size=3))
    assert PLANE.transform(vectors(spark, size=2)).columns[0] == "features"
    assembled = VectorAssembler(inputCols=["x0", "x1", "x2"], outputCol="features").transform(
        table(spark, **numbered(X))
    )
    with pytest.raises(ModelError, match="got 3 numbers"):
        PLANE.transform(assembled)


def nested(spark: SparkSession) -> DataFrame:
    """Return X in struct fields, flags and columns with special names."""
    flat = table(spark, flag=X[:, 0] > 5, **numbered(X)).coalesce(1)
    deep = f.struct(f.col("x1").alias("y.z"), f.col("x2").alias("tick`"))
    return flat.select(f.struct("x0", deep.alias("Deep")).alias("p"), f.col("flag").alias("Flag"), "x0")


@pytest.mark.parametrize("names", [["P.X0", "p.deep.`Y.Z`", "FLAG"], ["`p`.`x0`", "p.Deep.`y.z`", "`Flag`"]])
def test_names_are_resolved_as_spark_does(spark: SparkSession, names: list[str]) -> None:
    """Letter case, struct fields and backticks are resolved, and the model equals that of plain double columns."""
    df = nested(spark)
    flat = df.select(f.col("p.x0").alias("a"), f.col("p.Deep.`y.z`").alias("b"), f.col("Flag").cast("double"))
    model = GaussianMixture(inputCols=names, covarianceType="diag").fit(df)
    flat_model = GaussianMixture(inputCols=["a", "b", "flag"], covarianceType="diag").fit(flat)
    assert_same_mixture(model, flat_model, rtol=1e-8)
    assert model.features == tuple(model.getInputCols()) == ("p.x0", "p.Deep.`y.z`", "Flag")
    assert model.transform(df).where("log_density is null").count() == 0


def test_a_column_with_a_dot_in_its_name_comes_before_a_field(spark: SparkSession) -> None:
    """Both can be named, and `find` returns the same field for the name of a field."""
    df = nested(spark).withColumn("P.x0", f.lit("text"))
    with pytest.raises(SchemaError, match=r"'P\.x0': got type string"):
        GaussianMixture(inputCols=["p.x0"]).fit(df)
    found = Names.of(df).find("`p`.`x0`")
    assert (found.path, found.name) == (("p", "x0"), "`p`.`x0`")
    assert Names.of(df).find(found.name) == found


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("y.z", r"Did you mean 'p\.Deep\.`y\.z`'"),
        ("p.x1", r"Did you mean 'p\.x0'"),
        ("flag.x", r"'flag\.x': got 'Flag' of type boolean; expected a struct"),
        ("p.", r"'p\.': got a table with the columns 'p', 'Flag', 'x0'"),
        ("p", r"type struct<.*Name one of its fields, as in p\.field"),
    ],
)
def test_an_unknown_name_is_refused(spark: SparkSession, name: str, reason: str) -> None:
    """The error has the closest name, also that of a field."""
    with pytest.raises(SchemaError, match=reason):
        GaussianMixture(inputCols=[name]).fit(nested(spark))


def test_names_that_differ_in_case_only(spark: SparkSession) -> None:
    """Such names are ambiguous where Spark ignores case, and two columns where it does not."""
    df = table(spark, x=X[:, 0]).selectExpr("x", "2 * x as X")
    for params in ({"inputCols": ["x"]}, {"featuresCol": "X"}, {"inputCols": ["X"], "weightCol": "x"}):
        with pytest.raises(SchemaError, match="ambiguous name: 'X', 'x'"):
            GaussianMixture(k=1, **params).fit(df)
    with case_sensitive(spark):
        np.testing.assert_allclose(
            GaussianMixture(k=1, inputCols=["X"]).fit(df).means, [[2 * X[:, 0].mean()]], rtol=1e-12
        )
        with pytest.raises(SchemaError, match=r"'Y'.*Name another|'Y'.*Did you mean"):
            GaussianMixture(inputCols=["Y"]).fit(df)
    with pytest.raises(SchemaError, match="'X', 'x' more than once"):
        GaussianMixture(inputCols=["x", "X"]).fit(table(spark, x=X[:, 0]))


@pytest.mark.parametrize("taken", ["PREDICTION", "Log_Density", "probability"])
def test_output_columns_that_exist_in_any_case_are_refused(spark: SparkSession, taken: str) -> None:
    """A name that exists in another case is refused, except in a case-sensitive session."""
    df = table(spark, features=X[:, :2]).withColumn(taken, f.lit(1))
    with pytest.raises(SchemaError, match=f"'{taken}'.*names that the table or another scoring column has"):
        PLANE.transform(df)
    if taken != "probability":
        with case_sensitive(spark):
            assert {taken, taken.lower()} <= set(PLANE.transform(df).columns)


def test_scoring_columns_of_one_name_are_refused(spark: SparkSession) -> None:
    """Two scoring columns with one name in any letter case are refused."""
    with pytest.raises(SchemaError, match="'P', 'p'"):
        PLANE.copy({PLANE.predictionCol: "p", PLANE.probabilityCol: "P"}).transform(table(spark, features=X[:, :2]))


def test_a_column_with_an_internal_name_is_not_changed(spark: SparkSession) -> None:
    """A user's column may have the name that scoring uses internally."""
    df = table(spark, features=X[:, :2]).withColumn("__GMM_spark_score", f.lit("theirs"))
    assert {row[0] for row in PLANE.transform(df).select("__GMM_spark_score").collect()} == {"theirs"}


def test_features_in_another_order_are_refused(spark: SparkSession) -> None:
    """Swapped feature columns are refused, because features are matched by position."""
    df = table(spark, **numbered(X))
    model = GaussianMixture(k=1, inputCols=["x0", "x1"]).fit(df)
    with pytest.raises(ModelError, match="in another order, 'x1', 'x0'"):
        model.copy({model.inputCols: ["X1", "x0"]}).transform(df)
    renamed = df.withColumnsRenamed({"x0": "a", "x1": "b"})
    assert model.copy({model.inputCols: ["a", "b"]}).transform(renamed).where("prediction is null").count() == 0


TYPES = {
    "date": "date'2020-02-01'",
    "timestamp": "timestamp'2020-02-01 00:00:00'",
    "ntz": "timestamp_ntz'2020-02-01 00:00:00'",
    "days": "interval '2 03' day to hour",
    "months": "interval '2-3' year to month",
    "text": "'12'",
    "fixed": "cast('12' as char(4))",
    "flags": "map('key', 1.0)",
}


@pytest.mark.classic_only
@pytest.mark.parametrize("name", TYPES)
def test_the_advice_for_a_type_works(spark: SparkSession, name: str) -> None:
    """The expression in the error makes a number of that column."""
    df = spark.sql(f"select {TYPES[name]} as {name}")
    with pytest.raises(SchemaError, match=f"'{name}': got type") as caught:
        GaussianMixture(inputCols=[name]).fit(df)
    expression: Any = re.search(r"(unix_\w+|cast|try_cast|element_at)\(.*\)", caught.value.do)
    value = df.selectExpr(f"{expression.group().replace('key', repr('key'))} as x").first()
    assert value is not None
    assert float(value[0]) > 0


@pytest.mark.classic_only
def test_numbers_of_every_type_are_features(spark: SparkSession) -> None:
    """Booleans are 0 and 1 and decimals their values, in arrays, too."""
    df = spark.range(20).selectExpr(
        "id % 2 = 0 as flag", "cast(id as decimal(38, 10)) / 4 as exact", "cast(id as byte)"
    )
    model = GaussianMixture(k=1, inputCols=["flag", "exact", "id"], covarianceType="diag").fit(df)
    np.testing.assert_allclose(model.means, [[0.5, 9.5 / 4, 9.5]], rtol=1e-12)
    flags = df.selectExpr("array(flag, id > 4) as features")
    np.testing.assert_allclose(GaussianMixture(k=1, covarianceType="diag").fit(flags).means, [[0.5, 0.75]], rtol=1e-12)


def test_the_evaluator_warns_of_rows_without_a_density(spark: SparkSession, caplog: pytest.LogCaptureFixture) -> None:
    """A mean over only a part of the rows is logged as a warning, and names match in any letter case."""
    scored = PLANE.transform(vectors(spark)).withColumn("w", f.lit(2))
    found = MeanLogLikelihoodEvaluator(logDensityCol="LOG_density", weightCol="W").evaluate(scored)
    density = [row.log_density for row in scored.collect() if row.log_density is not None]
    np.testing.assert_allclose(found, np.mean(density), rtol=1e-12)
    assert "5 of 16 held-out rows have no log-density" in caplog.text
