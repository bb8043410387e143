"""`gmm_spark.fit`: a mixture of rows in memory, with numpy alone, and errors that teach."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import gmm_spark
from gmm_spark import fit
from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.fit import FittedMixture
from gmm_spark.mixture.parameters import FAMILIES, Parameters
from gmm_spark.statistics import kernel

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import Family, FloatArray

QUICK: dict[str, Any] = {"starts": 3, "seed": 1}


def clusters(n: int = 900, largest: float = 100.0) -> FloatArray:
    """Return rows of three clusters, each eight deviations from a point along an axis, in units of 1 to the largest."""
    x = np.random.default_rng(4).standard_normal((n, 3)) + 8 * np.eye(3)[np.arange(n) % 3]
    return np.asarray(x * np.geomspace(1, largest, 3) + 1000)


LAZY = """
import sys
for name in ("pyspark", "pyarrow", "py4j", "pandas", "scipy", "sklearn"):
    sys.modules[name] = None  # importing it raises ImportError
import gmm_spark
assert "numpy" not in sys.modules
from gmm_spark import fit
import numpy as np
x = np.random.default_rng(0).normal(size=(60, 2))
import gmm_spark.fit
from gmm_spark.fit import fit as same
fits = [fit(x, 1), same(x, 1), gmm_spark.fit(x, 1)]
assert all((each.means == fits[0].means).all() for each in fits)
try:
    from gmm_spark import select
except ImportError as error:
    assert "pyarrow" in str(error) or "pyspark" in str(error)
else:
    raise AssertionError("select came without pyspark")
"""


def test_fit_needs_numpy_alone_and_is_the_same_under_each_name() -> None:
    """`import gmm_spark` does not import numpy, because a job first sets its threads; `fit` works without pyspark."""
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_can_be_listed_and_others_are_refused() -> None:
    """`dir` shows what a user may import; a name that is not there is an AttributeError."""
    assert {"fit", "select", "GaussianMixture", "ModelSelection"} <= set(dir(gmm_spark))
    with pytest.raises(AttributeError, match="fitted"):
        _ = gmm_spark.fitted


@pytest.mark.parametrize("family", FAMILIES)
def test_clusters_are_found(family: Family) -> None:
    """Three clusters are found with their shares and means, in the user's units, and posteriors match them."""
    x = clusters(largest=1.0 if "spherical" in family else 100.0)
    mixture = fit(x, 3, family, **QUICK)
    assert mixture.summary.outcome == "converged"
    np.testing.assert_allclose(mixture.weights, 1 / 3, atol=0.01)
    wanted = np.stack([x[i::3].mean(axis=0) for i in range(3)])
    order = np.argsort(mixture.prediction(wanted))
    np.testing.assert_allclose(mixture.means, wanted[order], atol=0.1 * x.std(axis=0).max())
    posterior, log_density = kernel.posteriors(x, mixture.parameters)
    np.testing.assert_array_equal(mixture.probability(x), posterior)
    np.testing.assert_array_equal(mixture.prediction(x), posterior.argmax(axis=1))
    np.testing.assert_array_equal(mixture.logDensity(x), log_density)
    assert mixture.summary.meanLogLikelihood == pytest.approx(log_density.mean(), rel=1e-9)
    assert mixture.summary.numRows == len(x)


def peer(x: FloatArray, start: Parameters, steps: int) -> GaussianMixture:
    """Return scikit-learn's mixture after this many steps from a start of family full."""
    precisions = np.linalg.inv(start.covariances)
    mixture = GaussianMixture(
        start.k, tol=0, reg_covar=0, max_iter=steps, weights_init=start.weights, means_init=start.means,
        precisions_init=precisions,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are limited on purpose
        return mixture.fit(x)


@pytest.mark.parametrize("steps", [1, 5])
def test_from_the_same_start_it_takes_the_steps_of_scikit_learn(steps: int) -> None:
    """Weights, means, covariances and posteriors after n plain steps, to 1e-9."""
    x = clusters()
    start = Parameters(np.full(2, 0.5), x[:2], np.repeat(np.cov(x.T)[None], 2, axis=0))
    exact: dict[str, Any] = {"covariancePrior": 0, "covarianceFloor": 0, "minComponentWeight": 0}
    ours = fit(x, 2, initial=start, maxIter=steps, tol=0, acceleration="none", **exact)
    theirs = peer(x, start, steps)
    order = np.argsort(-theirs.weights_)
    np.testing.assert_allclose(ours.weights, theirs.weights_[order], rtol=1e-9)
    np.testing.assert_allclose(ours.means, theirs.means_[order], rtol=1e-9)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_[order], rtol=1e-7)
    np.testing.assert_allclose(ours.probability(x), theirs.predict_proba(x)[:, order], atol=1e-9)
    assert ours.summary.numIter == steps


def test_a_weight_is_a_number_of_copies() -> None:
    """A row of weight 2 counts as two copies, a row of weight 0 as none, from the same start."""
    x = clusters(300)
    weights = np.arange(300) % 3
    start = fit(x, 2, **QUICK)
    options: dict[str, Any] = {"initial": start, "tol": 0, "maxIter": 4, "covariancePrior": 1, "minComponentWeight": 0}
    weighted, repeated = fit(x, 2, weights=weights, **options), fit(x.repeat(weights, axis=0), 2, **options)
    assert weighted.summary.logLikelihood == pytest.approx(repeated.summary.logLikelihood, rel=1e-2)
    exact = {**options, "covariancePrior": 0}  # the default prior depends on Kish's effective rows, which copies change
    weighted, repeated = fit(x, 2, weights=weights, **exact), fit(x.repeat(weights, axis=0), 2, **exact)
    np.testing.assert_allclose(weighted.means, repeated.means, rtol=1e-9)
    np.testing.assert_allclose(weighted.covariances, repeated.covariances, rtol=1e-7)
    assert weighted.summary.weight == repeated.summary.weight == weights.sum()


def test_one_feature_and_a_noise() -> None:
    """A vector is one feature; rows that belong to no cluster belong to the noise, with prediction -1."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(1000), rng.uniform(-200, 200, 100)])
    mixture = fit(x, 1, noise=True, **QUICK)
    assert isinstance(mixture, FittedMixture)
    assert mixture.means.shape == (1, 1)
    assert mixture.probability([0.0, 150.0]).shape == (2, 2)
    assert mixture.prediction([0.0, 150.0]).tolist() == [0, -1]


X = clusters(30)
BAD: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("nan", (np.where(np.arange(30)[:, None] == 4, np.nan, X), 2), {}, "x: got 1 of 30 rows with NaN.*row 4"),
    ("huge", (X * 1e160, 2), {}, "x: got 30 of 30 rows"),
    ("masked", (np.ma.masked_greater(X, X.max() - 1e-9), 2), {}, "x: got 1 of 30 rows with NaN"),
    ("complex", (X + 1j, 2), {}, "x: got complex numbers"),
    ("cube", (X[None], 2), {}, r"x: got shape \(1, 30, 3\); expected numbers of shape \(n, d\)"),
    ("text", (np.array([["a"]]), 2), {}, "x: got could not convert"),
    ("none", (np.empty((0, 3)), 2), {}, "x: got 0 rows"),
    ("no features", (np.empty((5, 0)), 2), {}, r"x: got shape \(5, 0\)"),
    ("weights", (X, 2), {"weights": np.ones(29)}, r"weights: got shape \(29,\); expected 30"),
    ("masked weight", (X, 2), {"weights": np.ma.masked_array(np.ones(30), np.arange(30) == 3)}, "1 that .*row 3"),
    ("negative", (X, 2), {"weights": -np.ones(30)}, "weights: got 30 that are negative"),
    ("no weight", (X, 2), {"weights": np.zeros(30)}, "x: got 0 rows with a weight above 0"),
    ("constant", (np.ones((30, 2)), 2), {}, "x0"),
    ("few", (np.repeat(X[:3], 10, axis=0)[:, :1], 5), {}, "5 components: got 3 distinct rows"),
]


@pytest.mark.parametrize(("arguments", "options", "said"), [each[1:] for each in BAD], ids=[each[0] for each in BAD])
def test_rows_that_can_not_be_fitted_are_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], said: str
) -> None:
    """The error says which argument, what it got, what it expected and what to do."""
    with pytest.raises(DataError, match=said):
        fit(*arguments, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"k": 0}, {"k": 2.5}, {"k": True}, {"covarianceType": "fll"}, {"tol": -1}, {"tol": float("nan")},
        {"maxIter": -1}, {"starts": 0}, {"initMode": "kmeans"}, {"acceleration": "yes"}, {"covarianceFloor": -1},
        {"covariancePrior": "none"}, {"minComponentWeight": -1}, {"precision": "float16"}, {"seed": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """The error has the name of the option and the values that it may have."""
    with pytest.raises(ConfigurationError) as refused:
        fit(X, **{"k": 2, **options})
    assert str(*options.values()) in str(refused.value)
    assert "expected" in str(refused.value)


def test_an_initial_mixture_of_another_shape_is_refused() -> None:
    """The error has the shape of the mixture and that of the options."""
    start = fit(X, 2, **QUICK)
    with pytest.raises(
        ConfigurationError,
        match=r"2 components of 3 features.*expected 3 components of 3.*Options: k, covarianceType, noise",
    ):
        fit(X, 3, initial=start)
    with pytest.raises(DataError, match=r"x: got shape \(30, 2\); expected numbers of shape \(n, 3\)"):
        start.probability(X[:, :2])


@pytest.mark.parametrize("initial", ["a", X, [[0.0] * 3] * 2, (1, 2), Parameters, False], ids=str)
def test_what_is_no_mixture_is_refused_as_initial(initial: object) -> None:
    """With what it is and what it may be, not by an error from within."""
    with pytest.raises(ConfigurationError, match=f"initial: got a {type(initial).__name__}; expected a FittedMixture"):
        fit(X, 2, initial=initial)  # type: ignore[arg-type] # that is the mistake


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e151, None])
def test_a_row_that_can_not_be_used_has_no_posterior(value: float) -> None:
    """It is refused, as by a fit; equal probabilities would be taken for an answer."""
    mixture = fit(X, 2, **QUICK)
    for of_rows in (mixture.probability, mixture.prediction, mixture.logDensity):
        with pytest.raises(DataError, match=r"x: got 1 of 2 rows with NaN.*row 1"):
            of_rows([[0.0, 0.0, 0.0], [0.0, value, 0.0]])


def test_the_package_is_pickled_as_its_name() -> None:
    """So `pool.submit(gmm_spark.fit, x, k)` works: a function would be sent to a process by its name, too."""
    assert pickle.loads(pickle.dumps(gmm_spark.fit)) is gmm_spark.fit  # noqa: S301 - our bytes
    assert copy.deepcopy(gmm_spark.fit) is gmm_spark.fit
