"""A Gaussian mixture of rows in memory: arrays in, arrays out, with numpy alone."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gmm_spark.errors import ConfigurationError
from gmm_spark.fit.arguments import table_of, usable_rows
from gmm_spark.fit.observer import Observer, timed
from gmm_spark.fit.order import fit_rows
from gmm_spark.fit.problem import Problem
from gmm_spark.fit.rows_in_memory import RowsInMemory
from gmm_spark.mixture.has_mixture import HasMixture
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.options import errors_name_params, options_from_params
from gmm_spark.statistics import doubts, kernel
from gmm_spark.statistics.survey import needs_products

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from gmm_spark.em import Acceleration
    from gmm_spark.em.summary import Summary
    from gmm_spark.fit.rows_in_memory import ArrayTable
    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.mixture.prior import Prior
    from gmm_spark.options import InitMode, Options
    from gmm_spark.statistics.engines import Precision


@dataclass(frozen=True, eq=False)
class FittedMixture(HasMixture):
    """A fitted Gaussian mixture; its components are ordered by falling weight, equal weights by mean.

    Args:
        parameters: the mixture, in the units of the data.
        summary: how the fit went.
    """

    parameters: Parameters
    summary: Summary

    def probability(self, x: ArrayLike) -> FloatArray:
        """Return P(Z = k | x), (n, k), of (n, d) finite rows; with noise (n, k + 1), the noise last."""
        return self._posteriors(x)[0]

    def prediction(self, x: ArrayLike) -> NDArray[np.intp]:
        """Return the most probable component, (n,), of (n, d) rows; -1 for the noise."""
        return kernel.most_probable(self.probability(x), self.parameters)

    def logDensity(self, x: ArrayLike) -> FloatArray:
        """Return log p(x), (n,), in nats, of (n, d) rows."""
        return self._posteriors(x)[1]

    def _posteriors(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        return kernel.posteriors(usable_rows(x, self.parameters.d), self.parameters)


def fit(
    x: ArrayLike,
    k: int,
    covarianceType: Family = "full",
    *,
    weights: ArrayLike | None = None,
    initial: Parameters | FittedMixture | None = None,
    maxIter: int = 100,
    tol: float = 1e-4,
    seed: int = 0,
    initMode: InitMode = "k-means++",
    starts: int = 20,
    acceleration: Acceleration = "squarem",
    covarianceFloor: float = 1e-6,
    covariancePrior: Prior = "auto",
    minComponentWeight: Prior = "auto",
    noise: bool = False,
    precision: Precision = "float64",
) -> FittedMixture:
    """Fit a Gaussian mixture to rows in memory, as `gmm_spark.GaussianMixture` fits a table on Spark.

    An argument with the name of a param of the estimator means the same.

    Args:
        x: (n, d) finite numbers; (n,) is one feature.
        k: number of components.
        covarianceType: full, diag, spherical, tied, tied-diag or tied-spherical.
        weights: (n,) finite weights of at least 0; None: each is 1.
        initial: start EM on all rows from this mixture instead of searching for a start.
        maxIter: the most EM steps on all rows.
        tol: stop when less than this is left to gain, in nats per row; 0: run maxIter steps.
        seed: of the sample and the starts.
        initMode: k-means++ or random.
        starts: short EM runs on a sample, the best of which are continued.
        acceleration: squarem, or none for plain EM.
        covarianceFloor: least variance of a component where the data has unit variance; 0: no floor.
        covariancePrior: pseudo-rows of the data's covariance in each component; "auto": 2 / sqrt(n).
        minComponentWeight: least rows of mean weight of a component, if any start leads to that; or "auto".
        noise: add a uniform component for rows that belong to no cluster.
        precision: float64, or float32 for products in float32 where they err by less than 1e-3 nats.

    Raises:
        ConfigurationError: an option out of its range, or an initial mixture of another shape.
        DataError: values that can't be used, constant or dependent columns, or too few distinct rows.
    """
    params = {name: value for name, value in locals().items() if name not in {"x", "weights", "initial"}}
    with errors_name_params():
        table, options = table_of(x, weights), options_from_params(params)
        options.check_initial(start := _start_of(initial), table.x.shape[1])
        return _fitted(table, options, start)


def _start_of(initial: object) -> Parameters | None:
    """Return the parameters of an initial mixture.

    Raises:
        ConfigurationError: it is no mixture.
    """
    start = initial.parameters if isinstance(initial, FittedMixture) else initial
    if start is None or isinstance(start, Parameters):
        return start
    raise ConfigurationError(
        "initial",
        got=f"a {type(initial).__name__}",
        expected="a FittedMixture, Parameters or None",
        do="Give what fit returned, the .parameters of a model, or Parameters(weights, means, covariances, family).",
    )


def _fitted(table: ArrayTable, options: Options, initial: Parameters | None) -> FittedMixture:
    clock, d = _Clock(), table.x.shape[1]
    names = tuple(f"x{i}" for i in range(d))
    with clock.phase("survey"):
        surveyed = table.survey(products=needs_products((options.family,), d))
    problem = Problem.of(options, surveyed, names)
    fitted = fit_rows(problem, RowsInMemory.of(table, problem), clock, initial)
    of_mixture = doubts.of_mixture(surveyed, options.k, options.family, noise=options.noise)
    warnings = (*of_mixture, *doubts.of_table(surveyed, names))
    return FittedMixture(fitted.parameters, fitted.summary(clock.seconds, warnings))


@dataclass
class _Clock(Observer):
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        with timed(self.seconds, name):
            yield
