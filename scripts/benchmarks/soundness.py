"""Fit real, hard tables many times over: does every fit end with a valid model and a true outcome?

    GMM_SPARK_DATA=folder scripts/benchmarks/soundness.py                   # all; takes hours
    GMM_SPARK_DATA=folder scripts/benchmarks/soundness.py --data http --k 8 --seeds 2 --engine core

shuttle (tiny classes), letter (integers 0 to 15), http (61 % duplicates) and the taxi table (all 14 numeric
columns, rows with nulls left out, gross outliers), K = 2, 8, 32, all families, ten seeds; by maximum likelihood, where
components collapse to the floor, which the default prior prevents (`--option covariance_prior=auto
--option min_component_weight=auto`). The core fits run in memory, by the functions that a Spark fit consists of; seed 0
runs through Spark too. A fit is sound if

* its parameters are finite, its weights sum to 1 and its covariances are positive definite in the user's units,
* its log-likelihood is that of its parameters, recomputed by the scoring path,
* its outcome is true: converged means that one more plain EM step gains less than tol; no_progress that it gains
  nothing to speak of; iteration_limit that all iterations were used; degenerate does not occur, for there is a floor.

Prints a line per fit; ends with status 1 if one is not sound.
"""

from __future__ import annotations

import itertools
import sys
import traceback
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark import em
from gmm_spark.em.reseeding import point_masses
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.parameters import FAMILIES
from gmm_spark.options import Options
from gmm_spark.search import best_start
from gmm_spark.statistics.block import Block
from scripts.benchmarks import data, fits, harness

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from gmm_spark.mixture.parameters import FloatArray, Parameters

_HARD = ("shuttle", "letter", "http", "taxi")
# Relative; the two paths differ by 20 u kappa at most, and the floor holds kappa below about 1e10.
_SAME = 1e-5
_LIKELIHOOD: dict[str, Any] = {"covariance_prior": 0.0, "min_component_weight": 0.0}
_SUM = 1e-12  # of the weights, from 1


@dataclass(frozen=True, eq=False)
class Case:
    """A table and the options of a fit to it.

    Args:
        table: its name.
        x: its (n, d) rows.
        names: the names of its d features.
        options: the options of the fit.
    """

    table: str
    x: FloatArray
    names: tuple[str, ...]
    options: Options


@dataclass(frozen=True, eq=False)
class FitResult:
    """The result of a fit: the model in the user's units, its outcome, and its counts."""

    parameters: Parameters
    outcome: str
    mean_log_likelihood: float
    passes: int
    iterations: int
    floored: int
    reseeded: int
    masses: int


@cache
def rows(name: str, most: int | None) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the (n, d) usable rows of a table, or `most` of them, and the names of its numeric columns."""
    return data.FILES[name].rows(most)[:2]


def in_memory(case: Case, sample: int) -> FitResult:
    """Fit as a Spark fit does, in this process."""
    fitted = fits.fit_in_memory(case.x, case.options, case.names, sample)
    best, fit = fitted.fit.best, fitted.fit
    masses = point_masses(best.parameters, best.moments, fitted.maximise)
    return FitResult(
        fitted.parameters, fit.outcome.value, fitted.mean_log_likelihood, len(fit.history), fit.iterations, fit.floored,
        fit.reseeded, len(masses),
    )  # fmt: skip


def through_spark(case: Case, spark: SparkSession) -> FitResult:
    """Fit with the estimator, on the original files."""
    from gmm_spark import GaussianMixture  # noqa: PLC0415 - most runs need no Spark

    options = case.options
    mixture = GaussianMixture(
        k=options.k, covarianceType=options.family, inputCols=list(case.names), seed=options.seed, tol=options.tol,
        covarianceFloor=options.covariance_floor, covariancePrior=options.covariance_prior,
        minComponentWeight=options.min_component_weight,
        maxIter=options.max_iter, handleInvalid="skip",
    )  # fmt: skip
    model = mixture.fit(spark.read.parquet(str(data.FILES[case.table].full_path)))
    summary = model.summary
    return FitResult(
        model.parameters, summary.outcome, summary.meanLogLikelihood, summary.numPasses, summary.numIter,
        summary.floorHits, summary.reseeded, len(summary.pointMasses),
    )  # fmt: skip


def faults(case: Case, result: FitResult) -> list[str]:
    """Return the faults of a fit as texts; none if it is sound."""
    mixture, found = result.parameters, []
    numbers = np.concatenate([mixture.weights, mixture.means.ravel(), mixture.covariances.ravel()])
    if not np.isfinite(numbers).all():
        found.append("parameters that are not finite")
    if abs(mixture.weights.sum() - 1) > _SUM or mixture.weights.min() < 0:
        found.append(f"weights that sum to {mixture.weights.sum()!r}")
    deviations = case.x.std(axis=0)
    if not (np.linalg.eigvalsh(mixture.covariances / deviations[:, None] / deviations)[:, 0] > 0).all():
        found.append("a covariance that is not positive definite")
    exact = fits.mean_log_likelihood(case.x, mixture)
    if abs(exact - result.mean_log_likelihood) > _SAME * max(1.0, abs(exact)):
        found.append(f"log-likelihood {result.mean_log_likelihood!r}, recomputed {exact!r}")
    return found + outcome_faults(case, result)


def outcome_faults(case: Case, result: FitResult) -> list[str]:
    """Return why the outcome is wrong, if it is."""
    options, n = case.options, len(case.x)
    if result.outcome == "iteration_limit":
        return [] if result.iterations >= options.max_iter else [f"iteration_limit after {result.iterations}"]
    if result.outcome == "degenerate":
        return ["degenerate in spite of a floor"]
    covariance = np.cov(case.x.T, bias=True)
    frame = coordinates.coordinates_for(options.family, case.x.mean(axis=0), covariance, case.names)
    blocks = [Block(np.ascontiguousarray(frame.rows(part))) for part in fits.parts(case.x)]
    start, maximise = frame.inward(result.parameters), options.maximiser(frame, n, n)
    _, after = itertools.islice(em.iterate(best_start.in_memory(blocks), start, maximise, "none"), 2)
    gain = after.gain or 0.0
    return [f"{result.outcome}, but a plain EM step gains {gain:.3g}"] if gain > options.tol else []


def is_sound(case: Case, spark: SparkSession | None, sample: int) -> bool:
    """Run one fit, on Spark if there is a session; print its line; return whether it is sound."""
    options, engine = case.options, "spark" if spark else "core"
    which = f"{engine:6s} {case.table:7s} {options.k:3d} {options.family:14s} {options.seed:4d}"
    fit = partial(through_spark, case, spark) if spark else partial(in_memory, case, sample)
    try:
        timing = harness.Clock().time(fit)
        result = timing.result
        wrong = faults(case, result)
    except Exception:  # noqa: BLE001 - the matrix prints any error and continues
        print(f"{which} {traceback.format_exc()}", flush=True)
        return False
    counts = f"{result.passes:4d} {result.floored:6d} {result.reseeded:8d} {result.masses:12d}"
    values = f"{result.outcome:15s} {result.mean_log_likelihood:13.5f} {counts} {timing.wall:7.1f}"
    print(which, values, "; ".join(wrong) or "sound", flush=True)
    return not wrong


def parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    quick = {"data": ["shuttle"], "k": [2], "families": ["tied"], "engine": "core", "sample": 500}
    parser = harness.parser(__doc__, quick, repeats="seeds")
    parser.set_defaults(seeds=10)
    parser.add_argument("--data", type=harness.list_of(data.FILES), default=_HARD, help="tables, comma separated")
    parser.add_argument("--k", nargs="+", type=int, default=(2, 8, 32))
    parser.add_argument("--families", type=harness.list_of(FAMILIES), default=FAMILIES, help="comma separated")
    parser.add_argument("--engine", choices=("core", "spark", "both"), default="both")
    parser.add_argument(
        "--option", type=fits.option, action="append", default=[], help="of the fits: covariance_prior=0"
    )
    parser.add_argument("--sample", type=int, default=10_000, help="rows on which a core fit searches for a start")
    parser.add_argument("--rows", type=int, help="of each table at most n, drawn at random; not through Spark")
    options = harness.parse_options(parser, argv)
    if options.rows and options.engine != "core":
        parser.error("--rows goes with --engine core")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the matrix; return the exit status."""
    options = parse_options(argv)
    engines: list[SparkSession | None] = [None] if options.engine != "spark" else []
    if options.engine != "core":
        from scripts.benchmarks import sessions  # noqa: PLC0415 - most runs need no Spark

        engines.append(sessions.session())
    figures = "outcome          nats per row passes floored reseeded point masses seconds"
    print(f"engine table     K family         seed {figures}")
    verdicts: list[bool] = []
    for seed, name, k, family in itertools.product(range(options.seeds), options.data, options.k, options.families):
        case = Case(
            name, *rows(name, options.rows), Options(k, family, seed=seed, **_LIKELIHOOD | dict(options.option))
        )
        verdicts += [is_sound(case, spark, options.sample) for spark in engines if spark is None or seed == 0]
    print(f"{len(verdicts)} fits, {verdicts.count(False)} not sound")
    return 1 if False in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
