"""The pyspark.ml interface: params, pipelines, cross-validation; every param has an effect."""

from __future__ import annotations

import inspect
import json
import re
from contextlib import nullcontext
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.param import Param
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as f

from gmm_spark import GaussianMixture, GaussianMixtureModel, MeanLogLikelihoodEvaluator
from gmm_spark.em.summary import Summary, fields_of, summary_from
from gmm_spark.errors import ConfigurationError, ModelError, SchemaError
from gmm_spark.options import Options
from gmm_spark.spark.ml.select import ModelSelection, select
from tests.spark.frames import PLAIN, assert_same_bits, assert_same_mixture, clusters, names, start, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import Family

X = clusters(400)
OTHERS: dict[str, Any] = {  # for every param a value that is not its default
    "k": 3,
    "covarianceType": "diag",
    "featuresCol": "other",
    "inputCols": ["x0", "x2"],
    "weightCol": "w",
    "maxIter": 1,
    "tol": 0.5,
    "seed": 7,
    "initMode": "random",
    "starts": 1,
    "acceleration": "none",
    "covarianceFloor": 0.5,
    "predictionCol": "p",
    "probabilityCol": "q",
    "logDensityCol": "r",
    "handleInvalid": "skip",
    "maxInvalidFraction": 0.25,
    "covariancePrior": 0.5,
    "minComponentWeight": 7.0,
    "noise": True,
    "precision": "float32",
    "checkpointDir": "somewhere",
    "checkpointSeconds": 5.0,
    "resume": "never",
    "keepLastCheckpoint": True,
}
CHECKPOINTS = {"checkpointDir", "checkpointSeconds", "resume", "keepLastCheckpoint"}  # tested in test_checkpoints.py


def test_this_file_has_all_params() -> None:
    """The tests below cover every param."""
    assert {param.name for param in GaussianMixture().params} == set(OTHERS) == set(EFFECTS) | CHECKPOINTS


@pytest.mark.parametrize("model", [None, "models/today", [[0.0]], GaussianMixtureModel])
def test_what_is_no_model_is_refused_as_initial(model: object) -> None:
    """With what it is and what it may be, where it is set."""
    with pytest.raises(ConfigurationError, match=r"initial model: got a .*expected a GaussianMixtureModel"):
        GaussianMixture().setInitialModel(model)  # type: ignore[arg-type] # that is the mistake


@pytest.mark.parametrize("name", OTHERS)
def test_a_param_is_set_by_constructor_setter_and_map(name: str) -> None:
    """Constructor, setParams, setX and copy(extra) set the same value, and getX returns it."""
    value, suffix = OTHERS[name], name[0].upper() + name[1:]
    by_setter = getattr(GaussianMixture(), f"set{suffix}")(value)
    estimator = GaussianMixture()
    copied = estimator.copy({estimator.getParam(name): value})
    for each in (GaussianMixture(**{name: value}), GaussianMixture().setParams(**{name: value}), by_setter, copied):
        assert getattr(each, f"get{suffix}")() == value
        assert each.isSet(name)
    assert not estimator.isSet(name)


# The public methods besides the params with their getters and setters, and the members of pyspark's classes.
CALLED = {
    GaussianMixture: "setInitialModel setParams",
    GaussianMixtureModel: "alignedTo covariances fromArrays hasSummary means noiseWeight predict predictProbability "
    "sample summary variances weights",
    MeanLogLikelihoodEvaluator: "",
    ModelSelection: "best bestModel evaluations models numPasses seconds table tableFrame",
    Summary: f"{' '.join(each.name for each in fields(Summary))} penalizedLogLikelihood",
}


@pytest.mark.parametrize("kind", CALLED)
def test_dir_shows_what_a_user_may_call(kind: Any) -> None:  # noqa: ANN401 - a class
    """`dir` has only camelCase, documented names, and no helpers."""
    theirs = {name for base in kind.__mro__ if not base.__module__.startswith("gmm_spark") for name in vars(base)}
    names = {name for name in dir(kind) if not name.startswith("_")} | getattr(kind, "__dataclass_fields__", {}).keys()
    params = {name for name in names if isinstance(getattr(kind, name, None), Param)}
    accessors = {f"{verb}{name[0].upper()}{name[1:]}" for name in params for verb in ("get", "set")}
    assert names - theirs == (params | accessors | set(CALLED[kind].split())) - theirs
    for name in names - theirs:
        assert re.fullmatch("[a-z]+([A-Z][a-z]*)*", name), name
        value = inspect.getattr_static(kind, name, None)
        text = value.doc if isinstance(value, Param) else getattr(value, "__doc__", "")
        assert (text and text != type(value).__doc__) or f"{name}: " in str(kind.__doc__), name


def test_params_explain_themselves() -> None:
    """explainParams prints every param with its meaning and its default."""
    text = GaussianMixture(k=5).explainParams()
    assert all(f"{name}: " in text for name in OTHERS)
    assert "(default: 2, current: 5)" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", 0),
        ("k", 2.5),
        ("k", "two"),
        ("covarianceType", "round"),
        ("maxIter", -1),
        ("tol", -1e-3),
        ("tol", float("nan")),
        ("starts", 0),
        ("initMode", "guess"),
        ("acceleration", "fast"),
        ("covarianceFloor", float("inf")),
        ("covariancePrior", -1.0),
        ("covariancePrior", "much"),
        ("minComponentWeight", float("nan")),
        ("handleInvalid", "keep"),
        ("seed", "x"),
    ],
)
def test_a_value_out_of_range_is_refused_when_it_is_set(name: str, value: Any) -> None:  # noqa: ANN401 - wrong types too
    """A wrong value is refused before a fit, with the param's name and the value."""
    with pytest.raises(ConfigurationError) as caught:
        GaussianMixture(**{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


def rows(spark: SparkSession) -> DataFrame:
    """Return X as columns, as arrays, shifted, and with weights."""
    df = table(spark, features=X, other=np.add(X, [100.0, 0.0, 0.0]), w=np.where(X[:, 0] > 5, 3.0, 1.0))
    return df.select("*", *(f.col("features")[i].alias(f"x{i}") for i in range(3))).cache()


class Fits:
    """Fits of one table by their params, each computed once."""

    def __init__(self, df: DataFrame) -> None:
        self.df = df
        self._fit = cache(lambda params: GaussianMixture(**dict(params)).fit(df))

    def __call__(self, **params: Any) -> GaussianMixtureModel:  # noqa: ANN401 - any params
        """Fit with these params."""
        model = self._fit(tuple(sorted(params.items())))
        assert isinstance(model, GaussianMixtureModel)
        return model


@pytest.fixture(scope="module")
def fits(spark: SparkSession) -> Fits:
    """Give the fits of one table for this module."""
    return Fits(rows(spark))


def _k(fits: Fits) -> None:
    assert fits(k=3, maxIter=1).weights.shape == (3,)


def _covariance_type(fits: Fits) -> None:
    covariance = fits(k=1, covarianceType="diag").covariances[0]
    np.testing.assert_allclose(covariance, np.diag(X.var(axis=0)), rtol=1e-9, atol=1e-9)


def _features_col(fits: Fits) -> None:
    np.testing.assert_allclose(fits(k=1, featuresCol="other").means[0] - X.mean(axis=0), [100, 0, 0], atol=1e-9)


def _input_cols(fits: Fits) -> None:
    model = GaussianMixture(k=1, inputCols=["x0", "x2"]).fit(fits.df)
    np.testing.assert_allclose(model.means[0], X[:, [0, 2]].mean(axis=0), rtol=1e-12)
    assert model.features == ("x0", "x2")


def _weight_col(fits: Fits) -> None:
    expected = np.average(X, axis=0, weights=np.where(X[:, 0] > 5, 3.0, 1.0))
    np.testing.assert_allclose(fits(k=1, weightCol="w").means[0], expected, rtol=1e-12)


def _max_iter(fits: Fits) -> None:
    model = fits(k=3, maxIter=1, tol=0.0)
    assert (model.summary.numIter, model.summary.outcome) == (1, "iteration_limit")


def _tol(fits: Fits) -> None:
    coarse, fine = (GaussianMixture(k=3, tol=tol).setInitialModel(start()).fit(fits.df) for tol in (0.5, 1e-3))
    assert coarse.summary.outcome == fine.summary.outcome == "converged"
    assert coarse.summary.numIter < fine.summary.numIter


def _seed(fits: Fits) -> None:
    first, second, other = (fits(k=3, starts=1, maxIter=1, seed=seed) for seed in (0, 0, 7))
    assert first.summary.history == second.summary.history != other.summary.history


def _init_mode(fits: Fits) -> None:
    assert (
        fits(k=3, starts=1, maxIter=1, initMode="random").summary.history
        != fits(k=3, starts=1, maxIter=1).summary.history
    )


def _starts(fits: Fits) -> None:
    gained = []
    for seed in (1, 3):  # a single start may be as good by chance
        # By the likelihood alone: the most likely start of eight components may have one of few rows.
        how = {"k": 8, "maxIter": 1, "seed": seed, "covariancePrior": 0, "minComponentWeight": 0}
        one, twenty = (fits(starts=starts, **how).summary.history for starts in (1, 20))
        gained.append(twenty[0] - one[0])
    assert max(gained) > 1e-3
    assert min(gained) > -1e-6


def _acceleration(fits: Fits) -> None:
    plain, squarem = (
        GaussianMixture(k=3, maxIter=12, tol=0, acceleration=how).setInitialModel(start()).fit(fits.df).summary.history
        for how in ("none", "squarem")
    )
    assert plain[:2] == squarem[:2]
    assert max(plain) < max(squarem)


def _covariance_floor(fits: Fits) -> None:
    model = fits(k=3, covarianceFloor=0.5, maxIter=1)
    whitener = np.linalg.inv(np.linalg.cholesky(np.cov(X.T, bias=True)))
    assert np.linalg.eigvalsh(whitener @ model.covariances @ whitener.T).min() >= 0.5 - 1e-9
    assert model.summary.floorHits > 0


def _covariance_prior(fits: Fits) -> None:
    """One step with 30 pseudo-rows differs from one without, and shrinks towards the data's covariance."""
    plain, shrunk = (
        GaussianMixture(k=3, maxIter=1, tol=0, acceleration="none", covariancePrior=prior)
        .setInitialModel(start())
        .fit(fits.df)
        for prior in (0.0, 30.0)
    )
    mass = (plain.weights * len(X))[:, None, None]
    expected = (mass * plain.covariances + 30 * np.cov(X.T, bias=True)) / (mass + 30)
    np.testing.assert_allclose(shrunk.covariances, expected, rtol=1e-9)
    assert plain.summary.penalizedLogLikelihood == plain.summary.logLikelihood
    assert shrunk.summary.penalizedLogLikelihood < shrunk.summary.logLikelihood


def _min_component_weight(fits: Fits) -> None:
    """A minimum weight that three components can't reach gives a warning."""
    assert fits(k=3, minComponentWeight=0).summary.thinComponents == ()
    summary = fits(k=3, minComponentWeight=len(X) / 2).summary
    assert summary.thinComponents
    assert f"hold fewer than {len(X) / 2:g} rows" in summary.message
    few = [each for each in summary.findings if each.kind == "few_rows"]
    assert {each.component for each in few} == set(summary.thinComponents)
    assert {each.message for each in few} <= set(summary.warnings)


@pytest.mark.parametrize(
    ("family", "d", "rows", "expected"),
    [("tied", 4, 1000, (5, 20)), ("full", 4, 1000, (10, 20)), ("diag", 9, 600, (20, 40)), ("full", 9, 60, (10, 10))],
)
def test_the_least_rows_of_a_component(family: Family, d: int, rows: int, expected: tuple[int, int]) -> None:
    """By default d + 1 rows, 2 (d + 1) for full and diag, ample 4 (d + 1); at most half an equal share."""
    assert Options(3, family).least_rows(d, rows) == expected
    assert Options(3, family, min_component_weight=7.0).least_rows(d, rows) == (7, 0)


def test_a_rejected_likelier_mixture_is_a_finding(spark: SparkSession) -> None:
    """With two far rows summary, warnings and files have the gain of a component for them, and how to accept it."""
    x = np.random.default_rng(3).standard_normal((120, 2))
    x[:60, 0] += 7
    x[:2] += 60
    df = spark.createDataFrame(x.tolist(), ["a", "b"])
    summary = GaussianMixture(k=2, inputCols=["a", "b"], covarianceType="tied").fit(df).summary
    (over,) = (each for each in summary.findings if each.kind == "passed_over")
    assert over.component == -1
    assert over.message in summary.warnings
    assert "holds 2 rows, fewer than the minimum component weight of 12" in over.message
    assert summary_from(json.loads(json.dumps(fields_of(summary)))) == summary


def _noise(fits: Fits) -> None:
    """The noise has a weight, a posterior, and the prediction -1."""
    model = fits(k=3, noise=True)
    assert 0 < model.noiseWeight < 0.5
    assert model.weights.sum() + model.noiseWeight == pytest.approx(1, abs=1e-12)
    far = fits.df.limit(1).select(f.array(*[f.lit(1e6)] * 3).alias("features"))
    (row,) = model.transform(far).collect()
    assert row.prediction == -1
    assert len(row.probability) == 4
    assert row.probability[-1] == 1


def _output_cols(fits: Fits) -> None:
    model = fits(k=1, predictionCol="p", probabilityCol="q", logDensityCol="r")
    assert model.transform(fits.df).columns == [*fits.df.columns, "p", "q", "r"]


def _handle_invalid(fits: Fits) -> None:
    holes = fits.df.withColumn("x1", f.when(f.col("w") < 2, f.col("x1")))
    model = GaussianMixture(k=1, inputCols=names(3), handleInvalid="skip").fit(holes)
    np.testing.assert_allclose(model.means[0], X[X[:, 0] <= 5].mean(axis=0), rtol=1e-12)


def _max_invalid_fraction(fits: Fits) -> None:
    holes = fits.df.withColumn("x1", f.when(f.col("w") < 2, f.col("x1")))
    share = float(np.mean(X[:, 0] > 5))
    for most, enough in ((share - 1e-9, False), (share + 1e-9, True)):
        mixture = GaussianMixture(k=1, inputCols=names(3), handleInvalid="skip", maxInvalidFraction=most, maxIter=0)
        with nullcontext() if enough else pytest.raises(ValueError, match="null"):
            mixture.fit(holes)


def _precision(fits: Fits) -> None:
    single, double = (
        GaussianMixture(k=3, maxIter=5, tol=0, precision=which).setInitialModel(start()).fit(fits.df)
        for which in ("float32", "float64")
    )
    assert (single.means != double.means).any()
    assert_same_mixture(single, double, 1e-4)
    assert single.summary.meanLogLikelihood == pytest.approx(double.summary.meanLogLikelihood, abs=1e-5)


EFFECTS: dict[str, Callable[[Fits], None]] = {
    "k": _k,
    "covarianceType": _covariance_type,
    "featuresCol": _features_col,
    "inputCols": _input_cols,
    "weightCol": _weight_col,
    "maxIter": _max_iter,
    "tol": _tol,
    "seed": _seed,
    "initMode": _init_mode,
    "starts": _starts,
    "acceleration": _acceleration,
    "covarianceFloor": _covariance_floor,
    "covariancePrior": _covariance_prior,
    "minComponentWeight": _min_component_weight,
    "predictionCol": _output_cols,
    "probabilityCol": _output_cols,
    "logDensityCol": _output_cols,
    "handleInvalid": _handle_invalid,
    "maxInvalidFraction": _max_invalid_fraction,
    "noise": _noise,
    "precision": _precision,
}


@pytest.mark.classic_only
@pytest.mark.parametrize("name", EFFECTS)
def test_every_knob_has_its_effect(fits: Fits, name: str) -> None:
    """Each param has its documented effect."""
    EFFECTS[name](fits)


@pytest.mark.classic_only
def test_fit_takes_a_param_map_or_several(spark: SparkSession) -> None:
    """fit(df, params) fits a copy, a list of maps gives one model per map, and the estimator is not changed."""
    df = table(spark, features=X)
    estimator = GaussianMixture(k=1, tol=0, maxIter=0)
    one, two = estimator.fit(df, [{estimator.k: 1}, {estimator.k: 2, estimator.predictionCol: "p"}])
    assert (len(one.weights), len(two.weights)) == (1, 2)
    assert (one.getOrDefault("predictionCol"), two.getOrDefault("predictionCol")) == ("prediction", "p")
    assert len(estimator.fit(df, {estimator.k: 2}).weights) == 2
    assert estimator.getOrDefault("k") == 1


@pytest.mark.classic_only
def test_a_summary_describes_the_fit(spark: SparkSession) -> None:
    """Its numbers are consistent, and its history rises to the log-likelihood of the returned model."""
    df = table(spark, features=X)
    model = GaussianMixture(k=3, tol=1e-5, acceleration="none").setInitialModel(start()).fit(df)
    summary, free = model.summary, 3 * (1 + 3 + 6) - 1
    assert summary.outcome == "converged"
    assert np.all(np.diff(summary.history) > 0)
    assert summary.meanLogLikelihood == summary.logLikelihood / len(X) == pytest.approx(summary.history[-1], rel=1e-14)
    assert (summary.numRows, summary.weight, summary.numIter) == (len(X), len(X), len(summary.history) - 1)
    assert summary.aic == pytest.approx(2 * free - 2 * summary.logLikelihood, rel=1e-12)
    assert summary.bic == pytest.approx(free * np.log(len(X)) - 2 * summary.logLikelihood, rel=1e-12)
    scored = model.transform(df).toArrow()
    p = np.array(scored["probability"].to_pylist())
    entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)))
    assert summary.icl == pytest.approx(summary.bic + 2 * entropy, rel=1e-9)
    assert summary.logLikelihood == pytest.approx(scored["log_density"].to_numpy().sum(), rel=1e-12)
    assert list(model.weights) == sorted(model.weights, reverse=True)


def test_a_model_from_arrays_has_no_summary() -> None:
    """The summary of such a model is an error, not empty."""
    assert not start().hasSummary
    with pytest.raises(ValueError, match="made from arrays"):
        _ = start().summary


def test_a_pipeline_fits_saves_loads_and_transforms(spark: SparkSession, tmp_path: Path) -> None:
    """In a pyspark.ml Pipeline, estimator and model are the same bit for bit after save and load."""
    df = rows(spark)
    stages: list[Any] = [
        VectorAssembler(inputCols=names(3), outputCol="assembled"),
        GaussianMixture(k=2, featuresCol="assembled", maxIter=2),
    ]
    Pipeline(stages=stages).write().save(f"{tmp_path}/pipeline")
    fitted = Pipeline.load(f"{tmp_path}/pipeline").fit(df)
    fitted.write().save(f"{tmp_path}/model")
    loaded = PipelineModel.load(f"{tmp_path}/model")
    before, after = fitted.stages[-1], loaded.stages[-1]
    assert isinstance(before, GaussianMixtureModel)
    assert isinstance(after, GaussianMixtureModel)
    assert_same_bits(after, before)
    assert loaded.transform(df).where("log_density is not null").count() == len(X)


def test_cross_validation_finds_the_number_of_components(spark: SparkSession) -> None:
    """CrossValidator prefers, by held-out log-likelihood, the true three components over one."""
    df = table(spark, features=clusters(900))
    estimator = GaussianMixture(starts=4, maxIter=3)
    grid = ParamGridBuilder().addGrid(estimator.k, [1, 3]).build()
    found = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=MeanLogLikelihoodEvaluator(), numFolds=2, seed=1
    ).fit(df)
    assert isinstance(found.bestModel, GaussianMixtureModel)
    assert len(found.bestModel.weights) == 3
    assert found.avgMetrics[1] > found.avgMetrics[0]


def test_the_evaluator_takes_the_weighted_mean(spark: SparkSession) -> None:
    """The evaluator returns the weighted mean of its column over the rows with a log-density."""
    df = spark.createDataFrame([(1.0, 1.0), (4.0, 2.0), (None, 5.0)], "`a.b` double, w double")
    assert MeanLogLikelihoodEvaluator(logDensityCol="a.b").evaluate(df) == 2.5
    assert MeanLogLikelihoodEvaluator(logDensityCol="a.b", weightCol="w").evaluate(df) == 3.0
    assert MeanLogLikelihoodEvaluator().isLargerBetter()


def test_an_initial_model_of_another_shape_is_refused(spark: SparkSession) -> None:
    """The initial model must have the k, the number of features and the family of the fit."""
    df = table(spark, features=X)
    for params, reason in (
        ({"k": 2}, "3 components.*expected 2 components"),
        ({"k": 3, "inputCols": ["x0"]}, "3 features.*of 1 features"),
        ({"k": 3, "covarianceType": "diag"}, "full.*diag"),
    ):
        source = df.withColumn("x0", f.lit(1.0)) if "inputCols" in params else df
        with pytest.raises(ConfigurationError, match=reason):
            GaussianMixture(**params).setInitialModel(start()).fit(source)


def test_no_step_returns_the_start(spark: SparkSession) -> None:
    """maxIter=0 evaluates the initial model and returns it, by descending weight."""
    estimator = GaussianMixture(k=3, maxIter=9, **PLAIN).setInitialModel(start())
    model = estimator.fit(table(spark, features=X), {estimator.maxIter: 0})  # a copy, with its initial model
    order = [0, 2, 1]
    np.testing.assert_allclose(model.means, start().means[order], rtol=1e-12)
    np.testing.assert_allclose(model.covariances, start().covariances[order], rtol=1e-10, atol=1e-12)
    assert model.summary.numIter == 0


@pytest.mark.classic_only
@pytest.mark.usefixtures("spark")
def test_rows_drawn_from_a_model_have_its_moments() -> None:
    """Means, covariances and shares of a large sample equal the model's within five standard errors."""
    model, n = start(), 40_000
    drawn = model.sample(n, seed=3).toArrow()
    x, component = np.array(drawn["features"].to_pylist()), drawn["component"].to_numpy()
    assert len(x) == n
    for k, weight in enumerate(model.weights):
        members = x[component == k]
        assert abs(len(members) - n * weight) < 5 * np.sqrt(n * weight * (1 - weight))
        sd = np.sqrt(np.diagonal(model.covariances[k]))
        np.testing.assert_array_less(np.abs(members.mean(axis=0) - model.means[k]), 5 * sd / np.sqrt(len(members)))
        bound = 5 * np.sqrt(2 / len(members)) * np.outer(sd, sd)
        np.testing.assert_array_less(np.abs(np.cov(members.T) - model.covariances[k]), bound)


@pytest.mark.usefixtures("spark")
def test_a_sample_does_not_depend_on_its_partitions() -> None:
    """A row depends only on the seed and its number: a longer sample begins with the shorter one."""
    short, long, other = (start().sample(n, seed=s).toArrow() for n, s in ((500, 1), (9000, 1), (500, 2)))
    assert long.slice(0, 500).to_pylist() == short.to_pylist() != other.to_pylist()


@pytest.mark.usefixtures("spark")
@pytest.mark.classic_only
def test_what_is_no_model_estimator_or_number_is_refused(spark: SparkSession) -> None:
    """Arguments of another type end in an error that says what was expected, before any Spark job."""
    model = GaussianMixtureModel.fromArrays([1.0], [[0.0]], [[[1.0]]])
    df = table(spark, x0=[1.0, 2.0, 3.0])
    with pytest.raises(ModelError, match="got a NoneType; expected a GaussianMixtureModel"):
        model.alignedTo(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="got a NoneType; expected a GaussianMixture"):
        select(df, None, [1])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"got 1.5; expected a whole number"):
        model.sample(1.5)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="got an empty list; expected at least one column"):
        GaussianMixture(inputCols=[]).fit(df)


def test_a_sample_has_the_columns_of_the_model() -> None:
    """A sample of a model with numeric columns has these columns, and can be scored."""
    model = start()
    model.set(model.inputCols, ["a.b", "c d", "e"])
    drawn = model.sample(10)
    assert drawn.columns == ["a.b", "c d", "e", "component"]
    assert model.transform(drawn).where("prediction is not null").count() == 10
