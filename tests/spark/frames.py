"""Test tables, and comparisons of models, for the tests on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.em.summary import fields_of
from gmm_spark.limits import LIMITS, Limits
from gmm_spark.spark.fit.train import train
from gmm_spark.spark.ml.estimator import checkpoints_of, model_of, request_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import Family

    FloatArray = NDArray[np.float64]

PLAIN: dict[str, Any] = {"tol": 0, "acceleration": "none", "covarianceFloor": 0, "covariancePrior": 0}


def table(spark: SparkSession, partitions: int = 2, **columns: ArrayLike) -> DataFrame:
    """Return a table of these columns; an (n, d) array is a column of arrays."""
    return spark.createDataFrame(pa.table({name: _arrow(values) for name, values in columns.items()})).repartition(
        partitions
    )


def numbered(x: FloatArray) -> dict[str, Any]:
    """Return the columns x0, x1 ... of an (n, d) array."""
    return {f"x{i}": column for i, column in enumerate(x.T)}


def names(d: int) -> list[str]:
    """Return x0, x1 ... x(d - 1)."""
    return [f"x{i}" for i in range(d)]


def _arrow(values: ArrayLike) -> pa.Array:
    array = np.asarray(values)
    return pa.array(list(array)) if array.ndim == 2 else pa.array(array)


def clusters(rows: int = 600, seed: int = 0) -> FloatArray:
    """Return (rows, 3): three overlapping correlated clusters, away from the origin and with different scales."""
    rng = np.random.default_rng(seed)
    turn = np.array([[1.0, 0.6, 0.0], [0.0, 1.0, -0.4], [0.0, 0.0, 1.0]])
    centres = np.array([[0.0, 0.0, 0.0], [2.5, -2.0, 1.0], [-1.0, 3.0, 2.0]])
    z = centres[rng.integers(3, size=rows)] + rng.standard_normal((rows, 3)) @ turn
    return np.asarray(z * [1.0, 20.0, 0.1] + [5.0, -300.0, 2.0])


def start(family: Family = "full") -> GaussianMixtureModel:
    """Return a starting mixture for `clusters`, with unequal weights."""
    scale = np.array([1.0, 20.0, 0.1])
    means = np.array([[0.5, 0.0, 0.0], [2.0, -1.0, 0.5], [-1.0, 2.0, 1.0]]) * scale + [5.0, -300.0, 2.0]
    tilt = np.array([[2.0, 0.3, 0.0], [0.3, 1.5, -0.2], [0.0, -0.2, 1.0]]) * np.outer(scale, scale)
    covariances = {
        "full": np.stack([tilt, 1.3 * tilt, 0.8 * tilt]),
        "tied": np.stack([tilt] * 3),
        "diag": np.stack([np.diag(np.diagonal(tilt)) * c for c in (1.0, 1.3, 0.8)]),
        "spherical": np.stack([np.eye(3) * c for c in (100.0, 130.0, 80.0)]),
        "tied-diag": np.stack([np.diag(np.diagonal(tilt))] * 3),
        "tied-spherical": np.stack([np.eye(3) * 100.0] * 3),
    }[family]
    return GaussianMixtureModel.fromArrays([0.5, 0.2, 0.3], means, covariances, family)


def plain_steps(
    df: DataFrame,
    initial: GaussianMixtureModel,
    steps: int,
    limits: Limits = LIMITS,
    **params: Any,  # noqa: ANN401 - any params
) -> GaussianMixtureModel:
    """Run exactly n plain EM steps from a start, on the columns x0, x1 ... unless params name other columns."""
    k, d = initial.means.shape
    family = initial.parameters.family
    columns: dict[str, Any] = {} if "featuresCol" in params else {"inputCols": names(d)}
    estimator = GaussianMixture(k=k, covarianceType=family, maxIter=steps, **PLAIN, **columns, **params)
    return fit_within(limits, estimator.setInitialModel(initial), df)


def fit_within(limits: Limits, mixture: GaussianMixture, df: DataFrame) -> GaussianMixtureModel:
    """Fit a mixture to a table as `fit` does, with other limits."""
    if limits == LIMITS:
        return mixture.fit(df)
    trained = train(df, *request_of(mixture, df), mixture._initial, checkpoints_of(mixture), limits)  # noqa: SLF001
    return model_of(mixture, trained.parameters, trained.features, trained.summary)


def assert_same_mixture(model: GaussianMixtureModel, expected: GaussianMixtureModel, rtol: float) -> None:
    """Compare weights, means and covariances, each relative to its own scale."""
    sd = np.sqrt(np.einsum("kii->ki", expected.covariances))
    np.testing.assert_allclose(model.weights, expected.weights, rtol=rtol, atol=0)
    np.testing.assert_allclose((model.means - expected.means) / (np.abs(expected.means) + sd), 0, atol=rtol)
    error = (model.covariances - expected.covariances) / (sd[:, :, None] * sd[:, None, :])
    np.testing.assert_allclose(error, 0, atol=rtol)


def assert_same_bits(model: GaussianMixtureModel, expected: GaussianMixtureModel, repeated: int = 0) -> None:
    """Compare all results of a fit except its seconds, bit by bit; it has `repeated` more passes."""
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))
    ours, theirs = ({**fields_of(fitted.summary), "seconds": None} for fitted in (model, expected))
    assert {**ours, "numPasses": ours["numPasses"] - repeated} == theirs
