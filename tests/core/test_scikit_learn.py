"""A second implementation from the same start: scikit-learn, without its regularisation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from gmm_spark.mixture import criteria, families
from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
from gmm_spark.statistics import kernel
from tests.strategies import Problem, assert_close, assert_same, random_problem, steps

THEIRS: tuple[Family, ...] = ("full", "tied", "diag", "spherical")


def peer(problem: Problem, count: int) -> GaussianMixture:
    """Return scikit-learn's mixture after this many steps from the problem's start."""
    start = problem.start
    precisions = np.linalg.inv(start.covariances)
    shaped = {
        "full": precisions,
        "tied": precisions[0],
        "diag": np.einsum("kii->ki", precisions),
        "spherical": precisions[:, 0, 0],
    }[start.family]
    mixture = GaussianMixture(
        start.k, covariance_type=start.family, tol=0, reg_covar=0, max_iter=count,
        weights_init=start.weights, means_init=start.means, precisions_init=shaped,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are limited on purpose
        return mixture.fit(problem.x)


def covariances(mixture: GaussianMixture) -> FloatArray:
    """Return scikit-learn's covariances as (k, d, d)."""
    k, d = mixture.means_.shape
    found = mixture.covariances_
    if mixture.covariance_type == "tied":
        return np.repeat(found[None], k, axis=0)
    return np.asarray(found if mixture.covariance_type == "full" else found.reshape(k, -1, 1) * np.eye(d))


@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("shape", [(2, 1), (3, 2), (4, 5), (5, 12)], ids=lambda shape: f"k{shape[0]}-d{shape[1]}")
@pytest.mark.parametrize("family", THEIRS)
def test_the_same_start_takes_the_same_steps(family: Family, shape: tuple[int, int], count: int) -> None:
    """After 1, 2 and 10 steps parameters, log-likelihood and posteriors are scikit-learn's to 1e-9."""
    problem = random_problem(17, family, *shape, weighted=False)
    theirs, ours = peer(problem, count), steps(problem, count)
    wanted = Parameters(theirs.weights_, theirs.means_, covariances(theirs), family)
    np.testing.assert_allclose(ours.parameters.weights, wanted.weights, rtol=1e-9)
    assert_same(ours.parameters, wanted, problem.frame, 1e-9)
    assert_close(ours.log_likelihood, theirs.score(problem.x) * len(problem.x), 1e-9)
    posterior, log_density = kernel.posteriors(problem.x, ours.parameters)
    np.testing.assert_allclose(posterior, theirs.predict_proba(problem.x), atol=1e-9)
    np.testing.assert_allclose(log_density, theirs.score_samples(problem.x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", THEIRS)
def test_criteria_and_free_parameters_are_those_of_scikit_learn(family: Family) -> None:
    """AIC, BIC and the count of free parameters agree with scikit-learn; ICL is BIC plus twice the entropy."""
    problem = random_problem(23, family, 3, 4, weighted=False)
    theirs, ours = peer(problem, 5), steps(problem, 5)
    n, free = len(problem.x), families.free_parameters(family, 3, 4)
    assert free == theirs._n_parameters()  # noqa: SLF001 - its count has no public name
    assert criteria.aic(ours.log_likelihood, free) == pytest.approx(theirs.aic(problem.x), rel=1e-9)
    assert criteria.bic(ours.log_likelihood, free, n) == pytest.approx(theirs.bic(problem.x), rel=1e-9)
    posterior = theirs.predict_proba(problem.x)
    entropy = -float(np.sum(posterior * np.log(np.maximum(posterior, 1e-300))))
    frame = problem.frame
    measured = kernel.entropy(frame.inward(ours.parameters), ours.moments)
    assert criteria.icl(ours.log_likelihood, free, n, measured) == pytest.approx(
        theirs.bic(problem.x) + 2 * entropy, rel=1e-9
    )
