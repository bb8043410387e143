"""EM on Spark agrees with scikit-learn's EM from the same start, step by step."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Peer

from gmm_spark import GaussianMixtureModel
from tests.spark.frames import assert_same_mixture, clusters, numbered, plain_steps, start, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark.mixture.parameters import Family
    from tests.spark.frames import FloatArray

FAMILIES = ("full", "tied", "diag", "spherical")
X = clusters()
STEPS = (1, 2, 10)
STEPS_OF_OTHERS = {1: 1, 3: 10, 7: 2}  # each number of steps and of partitions once per family


def precisions(covariances: FloatArray, family: str) -> FloatArray:
    """Return the inverse covariances in scikit-learn's shape for the family."""
    inverses = np.linalg.inv(covariances)
    variances = np.einsum("kii->ki", covariances)
    shaped = {"full": inverses, "tied": inverses[0], "diag": 1 / variances, "spherical": 1 / variances[:, 0]}
    return np.asarray(shaped[family])


def matrices(covariances: FloatArray, family: str, k: int, d: int) -> FloatArray:
    """Return covariances of scikit-learn's shape for the family as (k, d, d)."""
    if family in ("full", "tied"):
        return np.broadcast_to(covariances, (k, d, d))
    return covariances.reshape(k, -1, 1) * np.eye(d)


def peer_steps(x: FloatArray, initial: GaussianMixtureModel, steps: int) -> tuple[GaussianMixtureModel, float]:
    """Return scikit-learn's mixture after n EM steps, by descending weight, and its log-likelihood."""
    family, (k, d) = initial.parameters.family, initial.means.shape
    peer = Peer(
        k,
        covariance_type=family,
        tol=0,
        reg_covar=0,
        max_iter=steps,
        weights_init=initial.weights,
        means_init=initial.means,
        precisions_init=precisions(initial.covariances, family),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops before it converges, as intended
        peer.fit(x)
    covariances = matrices(peer.covariances_, family, k, d)
    order = np.argsort(-peer.weights_)
    model = GaussianMixtureModel.fromArrays(peer.weights_[order], peer.means_[order], covariances[order], family)
    return model, float(peer.score_samples(x).sum())


@pytest.mark.classic_only
@pytest.mark.parametrize("partitions", [1, 3, 7])
@pytest.mark.parametrize("family", FAMILIES)
def test_steps_equal_those_of_scikit_learn(spark: SparkSession, family: Family, partitions: int) -> None:
    """After 1, 2 and 10 steps parameters and log-likelihood agree to 1e-9, however the rows are partitioned."""
    df = table(spark, partitions, **numbered(X)).cache()
    for steps in STEPS if family == "full" else (STEPS_OF_OTHERS[partitions],):
        model = plain_steps(df, start(family), steps)
        expected, log_likelihood = peer_steps(X, start(family), steps)
        assert_same_mixture(model, expected, 1e-9)
        assert model.summary.logLikelihood == pytest.approx(log_likelihood, rel=1e-9)
        assert model.summary.numIter == steps
    df.unpersist()


@pytest.mark.parametrize("family", FAMILIES)
def test_both_engines_take_scikit_learns_steps(spark: SparkSession, family: Family) -> None:
    """With the features in one array column the steps agree on classic Spark and on Spark Connect."""
    model = plain_steps(table(spark, features=X), start(family), 2, featuresCol="features")
    expected, log_likelihood = peer_steps(X, start(family), 2)
    assert_same_mixture(model, expected, 1e-9)
    assert model.summary.logLikelihood == pytest.approx(log_likelihood, rel=1e-9)
