"""An option of a fit is the same in Python without Spark, in the estimator and in the jobs."""

from __future__ import annotations

import ast
import inspect
import math
import re
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from gmm_spark import GaussianMixture, GaussianMixtureModel, MeanLogLikelihoodEvaluator
from gmm_spark.batch.options.jobs import EstimatingConfig, FitConfig, SelectConfig
from gmm_spark.batch.options.mistakes import key_of, options
from gmm_spark.errors import ConfigurationError, DataError, options_called
from gmm_spark.fit import in_memory
from gmm_spark.mixture import coordinates
from gmm_spark.options import BY_PARAM, OPTIONS, Options, options_of
from gmm_spark.search.best_start import best
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.spark.ml import estimator
from tests.test_architecture import CORE, MODULES, dotted, package_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gmm_spark.options import Option

# What a job alone has, in the sections that hold the options of a fit.
OF_JOBS = {"fit.require_convergence", "grid.finalists", "quality.quarantine_path"}
# A job has no column that all others go without, and three words where an estimator has two.
OTHER_DEFAULTS = {"features_col", "handle_invalid"}
OF_ONE_FIT = {"resume", "seconds"}
OF_TABLES = {"handle_invalid", "max_invalid_fraction"}  # an array has no unusable rows to leave out
VALUES = (0, 1, 2, -1, 2.0, 0.5, 1.5, -0.5, 2**31, math.inf, math.nan, "auto", "never", "full", "none", "words")
NAMES = [each.name for each in OPTIONS.values() if each.kinds <= {int, float} and each.name not in OTHER_DEFAULTS]


def test_the_estimator_has_every_option() -> None:
    """Its params are those of the table, with default and help, also in the constructor."""
    mixture, given = GaussianMixture(), inspect.signature(GaussianMixture.__init__).parameters
    assert {each.name for each in mixture.params} == BY_PARAM.keys() == given.keys() - {"self"}
    for param in mixture.params:
        each = BY_PARAM[param.name]
        assert param.doc == each.doc
        assert given[param.name].default == each.default
        assert not mixture.isSet(param)
        assert (mixture.getOrDefault(param) if mixture.isDefined(param) else None) == each.default


@pytest.mark.parametrize(
    "made", [lambda: GaussianMixtureModel.fromArrays([1], [[0]], [[[1]]]), MeanLogLikelihoodEvaluator]
)
def test_model_and_evaluator_have_its_defaults(made: Callable[[], Any]) -> None:
    """The params that they share with the estimator have the same defaults."""
    instance = made()
    for param in instance.params:
        default = BY_PARAM[param.name].default
        assert (instance.getOrDefault(param) if instance.isDefined(param) else None) == default


def test_a_fit_of_arrays_has_its_defaults() -> None:
    """`gmm_spark.fit` has the options of one fit by the names of the params, with their defaults."""
    given = inspect.signature(in_memory.fit).parameters
    params = {each.param: each for each in options_of(Options) if each.name not in OF_TABLES}
    assert given.keys() - {"x", "weights", "initial"} == params.keys()
    for name, each in params.items():
        assert given[name].default == (inspect.Parameter.empty if name == "k" else each.default), name


@pytest.mark.parametrize("job", [FitConfig, SelectConfig])
def test_jobs_have_every_option(job: type[EstimatingConfig]) -> None:
    """The sections of a fit have the options of the table, with default and help, and those of jobs only."""
    known = options(job)
    found = {name: key for name in OPTIONS if (key := key_of(job, name))}
    wanted = {name for name, each in OPTIONS.items() if each.keys}
    assert found.keys() == wanted - (OF_ONE_FIT if job is SelectConfig else set())
    sections = {key.split(".")[0] for key in found.values()}
    assert {key for key in known if key.split(".")[0] in sections} - set(found.values()) == OF_JOBS & known.keys()
    for name, key in found.items():
        if name != "handle_invalid" and not key.startswith("grid."):
            assert str(known[key].description).startswith(OPTIONS[name].doc), key
            assert known[key].default == (None if name in OTHER_DEFAULTS else OPTIONS[name].default), key


def accepts(read: Callable[..., object], *value: object, **option: object) -> bool:
    """Return whether a value is accepted."""
    try:
        read(*value, **option)
    except (ConfigurationError, ValidationError):
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_all_layers_take_and_refuse_the_same_values(name: str) -> None:
    """The estimator and the jobs accept exactly the values of the table, unchanged."""
    each: Option = OPTIONS[name]
    section, _, option = key_of(FitConfig, name).partition(".")
    kind: Any = FitConfig.model_fields[section].annotation
    taken = [value for value in (*VALUES, *each.words) if accepts(each.check, value)]
    assert taken
    assert len(taken) < len(VALUES)
    for value in (*VALUES, *each.words):
        assert accepts(GaussianMixture, **{each.param: value}) == (value in taken), value
        assert accepts(kind, **{option: value}) == (value in taken), value
    for value in taken:
        assert GaussianMixture().setParams(**{each.param: value}).getOrDefault(each.param) == each.check(value)
        assert getattr(kind(**{option: value}), option) == each.check(value)


@pytest.mark.parametrize("name", [name for name in NAMES if name in Options.__dataclass_fields__])
def test_a_fit_without_spark_refuses_them_too(name: str) -> None:
    """`Options` accepts exactly the values of the table."""
    for value in (*VALUES, *OPTIONS[name].words):
        wanted = accepts(OPTIONS[name].check, value)
        assert accepts(Options, **{name: value}) == wanted, value


def test_a_refusal_uses_the_name_of_the_layer() -> None:
    """The error names the param of the estimator, or the option of a fit without Spark."""
    with pytest.raises(ConfigurationError, match=r"^param maxIter: got -1; expected a whole number of at least 0"):
        GaussianMixture(maxIter=-1)
    with pytest.raises(ConfigurationError, match=r"^option max_iter: got -1; expected a whole number of at least 0"):
        Options(max_iter=-1)


# name in Python without Spark: param, key of a fit, key of a selection
CALLED = {
    "k": ("k", "mixture.k", "grid.k"),
    "family": ("covarianceType", "mixture.family", "grid.families"),
    "max_iter": ("maxIter", "fit.max_iter", "fit.max_iter"),
    "covariance_floor": ("covarianceFloor", "fit.covariance_floor", "fit.covariance_floor"),
    "handle_invalid": ("handleInvalid", "fit.invalid", "fit.invalid"),
    "resume": ("resume", "fit.resume", ""),
    "input_cols": ("inputCols", "features.columns", "features.columns"),
    "log_density_col": ("logDensityCol", "", ""),
}


@pytest.mark.parametrize("name", CALLED)
def test_each_layer_has_its_name_for_an_option(name: str) -> None:
    """A job finds an option by its name without Spark and by the param, because errors use both."""
    param, *keys = CALLED[name]
    assert OPTIONS[name].param == param
    jobs = FitConfig, SelectConfig
    assert [key_of(job, name) for job in jobs] == [key_of(job, param) for job in jobs] == keys


def collapse_error() -> DataError:
    """Return the error of a search all of whose starts collapsed."""
    frame = coordinates.coordinates_for("full", np.zeros(1), np.eye(1), ("x",))
    sample = Sample(np.arange(8.0)[None], np.ones(8), np.eye(1))
    with pytest.raises(DataError) as caught:
        best(sample, frame, Plan(2, "full", 0, 0, 0.0, 1e-4))
    return caught.value


def test_the_same_fault_names_its_options_in_each_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Spark, in the estimator and in a job: the same sentences, with the names of each layer."""
    error = collapse_error()
    assert error.options == ("k", "starts", "covariance_floor")
    assert "covariance floor" in error.sentences
    assert not re.search(r"[a-z][A-Z]|[a-z]_[a-z]", error.sentences)
    monkeypatch.setattr(estimator, "train", lambda *_: (_ for _ in ()).throw(error))
    monkeypatch.setattr(estimator, "static_frame", lambda df, _: df)
    monkeypatch.setattr(estimator, "request_of", lambda *_: ())
    monkeypatch.setattr(estimator, "explain_worker_errors", lambda _: nullcontext())
    with pytest.raises(DataError) as caught:
        GaussianMixture()._fit(SimpleNamespace(sparkSession=None))  # type: ignore[arg-type] # noqa: SLF001
    assert str(caught.value) == f"{error.sentences} Options: k, starts, covarianceFloor."
    with pytest.raises(DataError), options_called(partial(key_of, FitConfig)):
        raise caught.value
    assert str(caught.value) == f"{error.sentences} Options: mixture.k, fit.starts, fit.covariance_floor."


TEXTS = [path for path in MODULES if package_of(dotted(path)) in CORE and path.stem != "in_memory"]


@pytest.mark.parametrize("path", TEXTS, ids=dotted)
def test_the_core_names_no_option_of_another_layer(path: Path) -> None:
    """No text of the core has a param in camelCase or a key of a job, docstrings included."""
    params = {each.param for each in OPTIONS.values() if each.param.lower() != each.param}
    keys = {key for each in OPTIONS.values() for key in each.keys}
    words = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(params | keys)))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    named = {found for text in texts for found in words.findall(text)}
    assert not named or path.stem == "fit_options", named
