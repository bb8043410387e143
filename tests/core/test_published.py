"""Published numbers: mclust's tables, Benaglia et al., Fisher's iris, Spark ML's suite, expected.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark.mixture import criteria, families
from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
from gmm_spark.search import best_start
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import kernel
from tests.strategies import Fitted, Problem, frame_of, outward, run, steps, survey

if TYPE_CHECKING:
    from tests.core.conftest import RealData

# -BIC by mclust (Scrucca et al. 2023), then what EM converges to where mclust stops early.
FAITHFUL: dict[Family, tuple[float, float, float]] = {
    "full": (-2607.623, -2322.192, -2349.696),
    "tied": (-2607.623, -2325.220, -2314.316),
    "diag": (-3055.835, -2346.065, -2342.366),
    "spherical": (-4024.721, -3458.305, -3336.598),
    "tied-diag": (-3055.835, -2354.601, -2323.014),
    "tied-spherical": (-4024.721, -3452.998, -3377.701),
}
IRIS: dict[Family, tuple[float, float, float]] = {
    "full": (-829.9782, -574.0178, -580.8396),
    "diag": (-1522.1202, -857.5515, -744.6382),
    "spherical": (-1804.0854, -1012.2352, -853.8144),
    "tied": (-829.9782, -688.0972, -632.9647),
    "tied-diag": (-1522.1202, -1042.9679, -813.0504),
    "tied-spherical": (-1804.0854, -1123.4117, -878.7650),
}
TABLES = [
    (name, family, k, published)
    for name, table in (("faithful", FAITHFUL), ("iris", IRIS))
    for family, row in table.items()
    for k, published in enumerate(row, start=1)
]


def best_fit(x: FloatArray, family: Family, k: int) -> Fitted:
    """Return the fit of all rows from the best of many starts, without a floor."""
    weights = np.ones(len(x))
    frame = frame_of(x, weights, family)
    found = Sample(frame.rows(x), weights, survey(x, weights)[1])
    plan = Plan(k, family, starts=20, seed=0, floor=0.0, tol=1e-9)
    start = best_start.best(found, frame, plan).best.parameters
    problem = Problem(x, weights, frame.outward(start))
    fit = run(problem, tol=1e-9, max_iter=2000, acceleration="squarem", frame=frame)
    return outward(fit, frame)


@pytest.mark.parametrize(("name", "family", "k", "published"), TABLES, ids=str)
def test_bic_is_that_of_mclust(data: RealData, name: str, family: Family, k: int, published: float) -> None:
    """BIC of Old Faithful and iris: equal at K = 1 and 2, at K = 3 no worse than mclust, which stops early."""
    x = data.rows(name)
    free = families.free_parameters(family, k, x.shape[1])
    ours = -criteria.bic(best_fit(x, family, k).log_likelihood, free, len(x))
    assert ours >= published - 1e-3
    assert k == 3 or ours <= published + 1e-2


@pytest.mark.parametrize(
    ("family", "converged"), [("full", -2324.178), ("tied", -2314.296), ("diag", -2332.496), ("spherical", -3336.533)]
)
def test_three_components_on_old_faithful_run_to_the_end(data: RealData, family: Family, converged: float) -> None:
    """The converged BIC of K = 3, as reference.md states it, is reached or beaten."""
    x = data.rows("faithful")
    fitted = best_fit(x, family, 3)
    assert -criteria.bic(fitted.log_likelihood, families.free_parameters(family, 3, 2), len(x)) >= converged - 1e-3


def test_the_best_model_of_old_faithful_is_the_published_one(data: RealData) -> None:
    """EEE with three components: ll -1126.326 at the published digits, 0.01 below the maximum nearby."""
    x = data.rows("faithful")
    means = np.array([[3.7931, 77.5211], [2.0376, 54.4912], [4.4632, 80.8334]])
    covariances = np.array([[[0.078254, 0.4802], [0.4802, 33.7671]]] * 3)
    published = Parameters(np.array([0.16568, 0.35637, 0.47795]), means, covariances, "tied")
    at_published = steps(Problem(x, np.ones(len(x)), published), 1)
    assert at_published.history[0] == pytest.approx(-1126.326, abs=5e-3)  # published with five digits
    fitted = best_fit(x, "tied", 3)
    order = np.argsort(fitted.parameters.weights)
    assert -1126.326 < fitted.log_likelihood < -1126.306
    np.testing.assert_allclose(fitted.parameters.weights[order], published.weights, atol=5e-3)
    np.testing.assert_allclose(fitted.parameters.means[order], means, rtol=2e-3)
    np.testing.assert_allclose(fitted.parameters.covariances[0], covariances[0], rtol=3e-2)


def test_waiting_times_alone_are_those_of_benaglia(data: RealData) -> None:
    """waiting, one variance, from 55 and 80 with sd 5: the first log-likelihood and the fixed point of JSS 2009."""
    x = data.rows("faithful")[:, 1:]
    start = Parameters(np.array([0.5, 0.5]), np.array([[55.0], [80.0]]), np.full((2, 1, 1), 25.0), "tied")
    problem = Problem(x, np.ones(len(x)), start)
    assert steps(problem, 1).history[0] == pytest.approx(-1051.090, abs=5e-4)
    frame = problem.frame
    end = outward(run(problem, tol=1e-12, max_iter=1000), frame)
    assert end.log_likelihood == pytest.approx(-1034.002, abs=5e-4)
    np.testing.assert_allclose(end.parameters.weights, [0.36085, 0.63915], atol=2e-5)
    np.testing.assert_allclose(end.parameters.means[:, 0], [54.61364, 80.09031], atol=2e-4)
    np.testing.assert_allclose(np.sqrt(end.parameters.covariances[:, 0, 0]), 5.86909, atol=2e-4)


# fmt: off
FIFTEEN = np.array([
    -5.1971, -2.5359, -3.8220, -5.2211, -5.0602, 4.7118, 6.8989, 3.4592, 4.6322, 5.7048, 4.6567, 5.5026, 4.5605, 5.2043,
    6.2734,
])[:, None]
# fmt: on


def test_fifteen_points_of_spark_mls_own_suite() -> None:
    """Weights 2/3 and 1/3, means 5.1604 and -4.3673, variances 0.86644 and 1.1098, ll -30.375478."""
    fitted = best_fit(FIFTEEN, "full", 2)
    order = np.argsort(-fitted.parameters.weights)
    assert fitted.log_likelihood == pytest.approx(-30.375478, abs=5e-7)
    np.testing.assert_allclose(fitted.parameters.weights[order], [2 / 3, 1 / 3], atol=1e-5)
    np.testing.assert_allclose(fitted.parameters.means[order, 0], [5.1604, -4.3673], atol=1e-4)
    np.testing.assert_allclose(fitted.parameters.covariances[order, 0, 0], [0.86644, 1.1098], atol=1e-4)


def from_classes(data: RealData, name: str) -> Problem:
    """Return the rows of a set, to start from the M-step of its true classes."""
    x, labels = data.rows(name), data.labels(name)
    parts = [x[labels == label] for label in np.unique(labels)]
    moments = [survey(part, np.ones(len(part))) for part in parts]
    shares = np.array([len(part) for part in parts]) / len(x)
    start = Parameters(shares, np.stack([m for m, _ in moments]), np.stack([c for _, c in moments]))
    return Problem(x, np.ones(len(x)), start)


def test_iris_from_the_true_classes(data: RealData) -> None:
    """One M-step from Fisher's classes and one E-step: log-likelihood -182.9208."""
    problem = from_classes(data, "iris")
    assert steps(problem, 1).history[0] == pytest.approx(-182.9208, abs=5e-5)


@pytest.mark.parametrize("name", ["faithful", "iris", "satellite", "letter", "shuttle", "cover"])
def test_one_gaussian_has_the_closed_form_log_likelihood(data: RealData, name: str) -> None:
    """K = 1 on six real sets: the mean log-likelihood of expected.json to 1e-9, up to a condition of 1e6."""
    x, expected = data.rows(name), data.expected["k1"][name]
    assert x.shape == (expected["n"], expected["d"])
    start = Parameters(np.ones(1), x[:1], np.eye(x.shape[1])[None] * x.var(axis=0).mean())
    fitted = steps(Problem(x, np.ones(len(x)), start), 1)
    assert fitted.log_likelihood / len(x) == pytest.approx(expected["mean_loglik"], rel=1e-9)
    assert np.linalg.slogdet(fitted.parameters.covariances[0])[1] == pytest.approx(expected["logdet"], rel=1e-9)


@pytest.mark.parametrize("name", ["iris", "satellite", "cover"])
def test_em_traces_from_the_true_labels(data: RealData, name: str) -> None:
    """Ten log-likelihoods of EM from the true labels are those of expected.json to 1e-9, and so are the weights."""
    key = next(key for key in data.expected["em_from_labels"] if key.startswith(name))
    expected = data.expected["em_from_labels"][key]
    problem = from_classes(data, name)
    fitted = steps(problem, len(expected["loglik"]) - 1)
    np.testing.assert_allclose(fitted.history, expected["loglik"], rtol=1e-9)
    np.testing.assert_allclose(fitted.parameters.weights, expected["final_weights"], rtol=1e-9)
    posterior, _ = kernel.posteriors(problem.x, fitted.parameters)
    np.testing.assert_array_equal(np.bincount(posterior.argmax(axis=1)), expected["final_map_counts"])
