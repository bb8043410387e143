"""What may be given as a table, and how estimators and models travel."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped] # it ships no types
import pyarrow as pa
import pytest
from pyspark import cloudpickle

import gmm_spark
from gmm_spark import GaussianMixture, GaussianMixtureModel, MeanLogLikelihoodEvaluator
from gmm_spark.errors import ConfigurationError, InputError
from gmm_spark.spark.ml.select import select
from gmm_spark.spark.session import explain_worker_errors
from tests.spark.frames import assert_same_bits, clusters, names, numbered, plain_steps, start, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

COPIES: tuple[Callable[[Any], Any], ...] = (
    lambda it: pickle.loads(pickle.dumps(it)),  # noqa: S301 - our bytes
    lambda it: cloudpickle.loads(cloudpickle.dumps(it)),  # type: ignore[no-untyped-call]
    copy.copy,
    copy.deepcopy,
)


def test_public_names_are_listed() -> None:
    """Completion in a notebook finds the public names before they are used."""
    assert set(gmm_spark.__all__) <= set(dir(gmm_spark))


@pytest.mark.parametrize("copied", COPIES)
def test_estimators_models_and_evaluators_are_copied(copied: Callable[[Any], Any]) -> None:
    """A pickled or copied estimator has the params, checks and initial model, a model its parameters, read-only."""
    estimator = copied(GaussianMixture(k=3, inputCols=["a", "b"], seed=7).setInitialModel(start("diag")))
    assert (estimator.getK(), estimator.getInputCols(), estimator.getSeed()) == (3, ["a", "b"], 7)
    assert estimator._initial.family == "diag"  # noqa: SLF001 - a fit's start
    with pytest.raises(ConfigurationError, match="param k"):
        estimator.setK(0)
    model = copied(start())
    np.testing.assert_array_equal(model.covariances, start().covariances)
    with pytest.raises(ValueError, match="read-only"):
        model.means[0, 0] = 1.0
    assert copied(MeanLogLikelihoodEvaluator(logDensityCol="d")).getLogDensityCol() == "d"


def test_a_copied_model_scores(spark: SparkSession) -> None:
    """A model that went through pickle has its summary and scores as before."""
    df = table(spark, **numbered(clusters(60)))
    model = plain_steps(df, start(), 1)
    other = pickle.loads(pickle.dumps(model))  # noqa: S301 - our bytes
    assert_same_bits(other, model)
    assert other.transform(df).toArrow().sort_by("x0").equals(model.transform(df).toArrow().sort_by("x0"))


@pytest.mark.parametrize("made", [pa.table, pd.DataFrame, lambda x: pa.table(x).to_batches()[0]])
def test_tables_in_memory_are_fitted_and_scored(spark: SparkSession, made: Callable[[Any], Any]) -> None:
    """A table of pandas or Arrow gives what a DataFrame of the same rows gives."""
    columns = numbered(clusters(60))
    rows, df = made(columns), spark.createDataFrame(pa.table(columns))
    model = plain_steps(rows, start(), 1)
    assert_same_bits(model, plain_steps(df, start(), 1))
    assert model.transform(rows).toArrow().equals(model.transform(df).toArrow())
    evaluator = MeanLogLikelihoodEvaluator()
    scored = model.transform(df)
    assert evaluator.evaluate(made(scored.toArrow().to_pydict())) == pytest.approx(evaluator.evaluate(scored))
    assert select(rows, GaussianMixture(inputCols=names(3), maxIter=1), [1]).best.k == 1


def test_what_is_no_table_is_refused() -> None:
    """A numpy array, a list or columns of several types are named, with what to do."""
    uses: tuple[Callable[[Any], Any], ...] = (
        GaussianMixture(k=1).fit,
        start().transform,
        MeanLogLikelihoodEvaluator().evaluate,
    )
    for wrong, kind in ((clusters(9), "numpy ndarray"), ([[1.0]], "list"), (pd.DataFrame({"a": [1, "b"]}), "pandas")):
        for use in uses:
            with pytest.raises(InputError, match=f"{kind}.*createDataFrame"):
                use(wrong)


@pytest.fixture
def stream(spark: SparkSession, tmp_path: Path) -> DataFrame:
    """Give a stream of files."""
    spark.createDataFrame(pa.table(numbered(clusters(60)))).write.parquet(f"{tmp_path}/files")
    return spark.readStream.schema("x0 double, x1 double, x2 double").parquet(f"{tmp_path}/files")


def test_a_stream_is_not_fitted(stream: DataFrame) -> None:
    """Whatever reads all rows refuses a stream and says what to do instead."""
    mixture = GaussianMixture(k=1, inputCols=names(3))
    for use in (mixture.fit, lambda df: select(df, mixture, [1]), MeanLogLikelihoodEvaluator().evaluate):
        with pytest.raises(InputError, match="foreachBatch"):
            use(stream)


@pytest.mark.classic_only
def test_a_stream_is_scored_and_its_batches_are_fitted(stream: DataFrame, tmp_path: Path) -> None:
    """transform takes a stream; a fit within foreachBatch has the bits of a fit to the same rows at rest."""
    model = start()
    model = model.copy({model.inputCols: names(3)})
    fitted: list[GaussianMixtureModel] = []
    scored = model.transform(stream).writeStream.format("parquet").option("checkpointLocation", f"{tmp_path}/c")
    scored.trigger(availableNow=True).start(f"{tmp_path}/scored").awaitTermination()
    batches = stream.writeStream.foreachBatch(lambda df, _: fitted.append(plain_steps(df, start(), 1)))
    batches.trigger(availableNow=True).start().awaitTermination()
    spark = stream.sparkSession
    assert spark.read.parquet(f"{tmp_path}/scored").where("prediction is not null").count() == 60
    assert_same_bits(fitted[0], plain_steps(spark.read.parquet(f"{tmp_path}/files"), start(), 1))


@pytest.mark.classic_only
def test_a_worker_without_a_package_is_explained(spark: SparkSession) -> None:
    """The error of a worker's Python that lacks numpy names both interpreters and PYSPARK_PYTHON."""

    def lacking(_: Any) -> Any:  # noqa: ANN401
        raise ModuleNotFoundError("No module named 'numpy'")

    with (
        pytest.raises(ConfigurationError, match=r"has no numpy.*PYSPARK_PYTHON") as raised,
        explain_worker_errors(spark),
    ):
        spark.range(1).mapInArrow(lacking, "id bigint").collect()
    assert sys.executable in str(raised.value)
    with pytest.raises(Exception, match="other"), explain_worker_errors(spark):
        spark.range(1).selectExpr("raise_error('other')").collect()
