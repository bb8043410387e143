"""Fits in memory that the measurements compare: ours (`gmm_spark.fit`), and scikit-learn's."""

from __future__ import annotations

import argparse
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_spark.fit.observer import Observer
from gmm_spark.fit.order import fit_rows
from gmm_spark.fit.problem import Problem
from gmm_spark.fit.rows_in_memory import ArrayTable, RowsInMemory
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.options import Options, options_of
from gmm_spark.statistics import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from gmm_spark import em
    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.statistics.block import Block
    from gmm_spark.statistics.engines import Precision
    from gmm_spark.statistics.moments import Moments

SKLEARNS: tuple[Family, ...] = ("full", "tied", "diag", "spherical")  # the families that scikit-learn also has
NEAR = 1e-3  # nats per row that count as the same quality
BEST_OF = 5  # starts of scikit-learn's better fit
_BLOCK = 1 << 14


@dataclass(frozen=True, eq=False)
class Fitted:
    """Our fit in memory.

    Args:
        parameters: the mixture in the user's units.
        fit: the result of EM in coordinates z.
        maximise: its M-step in these coordinates.
        expectation: its E-step over all rows.
    """

    parameters: Parameters
    fit: em.Fit
    maximise: em.Maximiser
    expectation: em.Expectation

    @property
    def mean_log_likelihood(self) -> float:
        """Nats per row, in the user's units."""
        return self.fit.best.moments.mean_log_likelihood - self.maximise.frame.log_determinant


def fit_in_memory(x: FloatArray, options: Options, names: tuple[str, ...] = (), sample: int | None = None) -> Fitted:
    """Fit (n, d) rows as a fit on Spark does.

    Args:
        x: the rows.
        options: the options of the fit.
        names: the names of the features.
        sample: the number of rows on which to search for a start; None: the same number as on Spark.
    """
    table = ArrayTable(x)
    problem = Problem.of(options, table.survey(), names or tuple(f"x{number}" for number in range(x.shape[1])))
    rows = RowsInMemory.of(table, problem, sample)
    done = fit_rows(problem, rows, Observer())
    return Fitted(done.parameters, done.fit, problem.maximise, rows)


def parts(x: FloatArray) -> Iterator[FloatArray]:
    """Yield the rows in blocks."""
    return (x[low : low + _BLOCK] for low in range(0, len(x), _BLOCK))


def from_sklearn(mixture: SklearnMixture, family: Family) -> Parameters:
    """Return scikit-learn's mixture as Parameters."""
    k, d = mixture.means_.shape
    eye, own = np.eye(d), mixture.covariances_
    covariances = np.broadcast_to(own, (k, d, d)) if family in {"full", "tied"} else own.reshape(k, -1, 1) * eye
    return Parameters(mixture.weights_ / mixture.weights_.sum(), mixture.means_, covariances, family)


def fit_sklearn(x: FloatArray, options: Options, tries: int = 1) -> Parameters | None:
    """Return scikit-learn's best fit of n tries with its other options at their defaults; None if it fails."""
    mixture = SklearnMixture(options.k, covariance_type=options.family, n_init=tries, random_state=options.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tries that have not converged
        try:
            return from_sklearn(mixture.fit(x), options.family)
        except ValueError:
            return None


def mean_log_likelihood(x: FloatArray, parameters: Parameters | None) -> float:
    """Return nats per row by the code that scores; minus infinity if there is no fit."""
    if parameters is None:
        return -np.inf
    return float(sum(kernel.posteriors(part, parameters)[1].sum() for part in parts(x)) / len(x))


def adjusted_rand(labels: NDArray[Any], x: FloatArray, parameters: Parameters) -> float:
    """Return the adjusted Rand index of components and labels: Hubert and Arabie, J. Classification 2, 1985."""
    return float(adjusted_rand_score(labels, kernel.posteriors(x, parameters)[0].argmax(axis=1)))


def standardise(x: FloatArray) -> FloatArray:
    """Return the rows with each feature's mean 0 and standard deviation 1."""
    return np.asarray((x - x.mean(axis=0)) / x.std(axis=0))


def option(text: str) -> tuple[str, Any]:
    """Parse name=value for a field of `Options`."""
    name, _, value = text.partition("=")
    known = {each.name: each for each in options_of(Options)}
    if name not in known:
        raise argparse.ArgumentTypeError(f"got {name}; expected one of {', '.join(known)}")
    return name, known[name].check(value if value in known[name].words else float(value))


class Reads:
    """Replaces `kernel.accumulate` and counts reads of the table: candidates times rows, divided by its n rows."""

    def __init__(self, rows: int) -> None:
        self._accumulate, self._rows, self.count = kernel.accumulate, rows, 0.0

    def __call__(
        self,
        blocks: Sequence[Block],
        candidates: Sequence[Parameters],
        *,
        precision: Precision = "float64",
        kept: int | None = None,
    ) -> tuple[Moments, ...]:
        """Return what the kernel returns."""
        self.count += len(candidates) * sum(block.z.shape[1] for block in blocks) / self._rows
        return self._accumulate(blocks, candidates, precision=precision, kept=kept)


@contextmanager
def count_reads(rows: int) -> Iterator[Reads]:
    """Count the reads of a table of n rows within the block, including the search."""
    reads = Reads(rows)
    with mock.patch.object(kernel, "accumulate", reads):
        yield reads
