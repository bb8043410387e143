"""Fit real, hard tables many times over: does every fit end with a valid model and a true outcome?

    GMM_SPARK_DATA=folder .venv/bin/python scripts/real_data.py                   # all; takes hours
    GMM_SPARK_DATA=folder .venv/bin/python scripts/real_data.py --sets http --k 8 --seeds 2 --engine core

shuttle (tiny classes), letter (integers 0 to 15), http (61 % duplicates) and the taxi table (all 14 numeric
columns, rows with nulls left out, gross outliers), K = 2, 8, 32, all families, ten seeds. The core fits
run in memory, by the functions that a Spark fit consists of; seed 0 runs through Spark too. A fit is sound if

* its parameters are finite, its weights sum to 1 and its covariances are positive definite in the user's units,
* its log-likelihood is that of its parameters, recomputed by the scoring path,
* its outcome is true: converged means that one more plain EM step gains less than tol; no_progress that it gains
  nothing to speak of; iteration_limit that all iterations were used; degenerate does not occur, for there is a floor.

Prints a line a fit; ends with status 1 if one is not sound.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from gmm_spark import em
from gmm_spark.em.reseeding import point_masses
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.parameters import FAMILIES
from gmm_spark.search import best_start
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import SparkSession

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters

SETS = ("shuttle", "letter", "http", "taxi")
_NO_FEATURES = {"Class", "lettr", "outlier", "year", "month"}
_TOL, _FLOOR, _MAX_ITER, _RESEEDINGS = 1e-4, 1e-6, 100, 1
_BLOCK = 1 << 14
# Relative; the two paths differ by 20 u kappa at most, and the floor holds kappa below about 1e10.
_SAME = 1e-5
_SUM = 1e-12  # of the weights, from 1


@dataclass(frozen=True)
class Case:
    """One fit of the matrix."""

    table: str
    k: int
    family: Family
    seed: int


@dataclass(frozen=True, eq=False)
class Ended:
    """How a fit ended: the model in the user's units, its claims, and what it passed."""

    parameters: Parameters
    outcome: str
    mean_log_likelihood: float
    passes: int
    iterations: int
    floored: int
    reseeded: int
    masses: int


@cache
def table(folder: Path, name: str, most: int | None) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the (n, d) usable rows of a table, or a sample of them, and the names of its numeric columns."""
    if name == "taxi":
        whole = pyarrow.dataset.dataset(folder / "nyc_yellow_taxi", partitioning="hive").to_table()
    else:
        whole = pyarrow.parquet.read_table(folder / f"{name}.parquet")
    numeric = [
        field.name for field in whole.schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    ]
    names = tuple(each for each in numeric if each not in _NO_FEATURES)
    x = np.column_stack([whole.column(each).to_numpy().astype(np.float64) for each in names])
    usable = x[np.isfinite(x).all(axis=1)]
    return np.random.default_rng(0).permutation(usable)[:most], names


def in_memory(x: FloatArray, names: tuple[str, ...], case: Case, options: argparse.Namespace) -> Ended:
    """Fit as a Spark fit does, in this process."""
    centre = x.mean(axis=0)
    covariance = (x - centre).T @ (x - centre) / len(x)
    frame = coordinates.coordinates_for(case.family, centre, covariance, names)
    chosen = np.random.default_rng(case.seed).permutation(len(x))[: options.sample]
    sample = Sample(frame.rows(x[chosen]), np.ones(len(chosen)), covariance)
    plan = Plan(case.k, case.family, options.starts, case.seed, _FLOOR, _TOL)
    found, maximise = best_start.best(sample, frame, plan), em.Maximiser(frame, _FLOOR)
    state = em.begin(found.best.parameters, "squarem", found.slowest)
    fit = em.run(expectation(x, frame), state, maximise, em.Goal(_TOL, _MAX_ITER, _RESEEDINGS))
    best = fit.best
    masses = point_masses(best.parameters, best.moments, maximise)
    value = best.moments.mean_log_likelihood - frame.log_determinant
    return Ended(
        frame.outward(best.parameters).ordered(),
        fit.outcome.value,
        value,
        len(fit.history),
        fit.iterations,
        fit.floored,
        fit.reseeded,
        len(masses),
    )


def expectation(x: FloatArray, frame: Coordinates) -> em.Expectation:
    """Return the E-step over the rows, kept as blocks in memory."""
    return best_start.in_memory([Block(np.ascontiguousarray(frame.rows(part))) for part in parts(x)])


def parts(x: FloatArray) -> Iterator[FloatArray]:
    """Yield the rows, a block at a time."""
    return (x[low : low + _BLOCK] for low in range(0, len(x), _BLOCK))


def through_spark(spark: SparkSession, folder: Path, names: tuple[str, ...], case: Case) -> Ended:
    """Fit with the estimator, on the files as they lie."""
    from gmm_spark import GaussianMixture  # noqa: PLC0415 - most runs need no Spark

    path = folder / ("nyc_yellow_taxi" if case.table == "taxi" else f"{case.table}.parquet")
    mixture = GaussianMixture(
        k=case.k,
        covarianceType=case.family,
        inputCols=list(names),
        seed=case.seed,
        tol=_TOL,
        covarianceFloor=_FLOOR,
        maxIter=_MAX_ITER,
        handleInvalid="skip",
    )
    model = mixture.fit(spark.read.parquet(str(path)))
    summary = model.summary
    return Ended(
        model.parameters,
        summary.outcome,
        summary.meanLogLikelihood,
        summary.numPasses,
        summary.numIter,
        summary.floorHits,
        summary.reseeded,
        len(summary.pointMasses),
    )


def faults(x: FloatArray, names: tuple[str, ...], case: Case, ended: Ended) -> list[str]:
    """Return what is wrong with a fit, in words; nothing if it is sound."""
    mixture, found = ended.parameters, []
    numbers = np.concatenate([mixture.weights, mixture.means.ravel(), mixture.covariances.ravel()])
    if not np.isfinite(numbers).all():
        found.append("parameters that are not finite")
    if abs(mixture.weights.sum() - 1) > _SUM or mixture.weights.min() < 0:
        found.append(f"weights that sum to {mixture.weights.sum()!r}")
    if not (np.linalg.eigvalsh(scaled(mixture, x))[:, 0] > 0).all():
        found.append("a covariance that is not positive definite")
    exact = sum(kernel.posteriors(part, mixture)[1].sum() for part in parts(x)) / len(x)
    if abs(exact - ended.mean_log_likelihood) > _SAME * max(1.0, abs(exact)):
        found.append(f"log-likelihood {ended.mean_log_likelihood!r}, recomputed {exact!r}")
    return found + untrue(x, names, case, ended)


def scaled(mixture: Parameters, x: FloatArray) -> FloatArray:
    """Return the covariances in units of each column's deviation."""
    deviations = x.std(axis=0)
    return np.asarray(mixture.covariances / deviations[:, None] / deviations)


def untrue(x: FloatArray, names: tuple[str, ...], case: Case, ended: Ended) -> list[str]:
    """Return why the outcome is not true, if it is not."""
    if ended.outcome == "iteration_limit":
        return [] if ended.iterations >= _MAX_ITER else [f"iteration_limit after {ended.iterations}"]
    if ended.outcome == "degenerate":
        return ["degenerate in spite of a floor"]
    centre = x.mean(axis=0)
    frame = coordinates.coordinates_for(case.family, centre, (x - centre).T @ (x - centre) / len(x), names)
    steps = em.iterate(expectation(x, frame), frame.inward(ended.parameters), em.Maximiser(frame, _FLOOR), "none")
    _, after = itertools.islice(steps, 2)
    gain = after.gain or 0.0
    return [f"{ended.outcome}, but a plain EM step gains {gain:.3g}"] if gain > _TOL else []


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GMM_SPARK_DATA"), help="the folder of the tables")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--k", nargs="+", type=int, default=(2, 8, 32))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--seeds", type=int, default=10, help="how many: 0, 1, ...")
    parser.add_argument("--engine", choices=("core", "spark", "both"), default="both")
    parser.add_argument("--starts", type=int, default=6, help="starts of a core fit; a Spark fit takes its default")
    parser.add_argument("--sample", type=int, default=10_000, help="rows on which a core fit searches for a start")
    parser.add_argument("--rows", type=int, help="of each table at most n, drawn at random; not through Spark")
    options = parser.parse_args(argv)
    if options.rows and options.engine != "core":
        parser.error("--rows goes with --engine core")
    if not options.data:
        parser.error("--data or GMM_SPARK_DATA must name the folder")
    return options


def report(engine: str, case: Case, ended: Ended, wrong: Sequence[str], seconds: float) -> None:
    """Print the line of one fit."""
    counts = f"{ended.passes:4d} {ended.floored:6d} {ended.reseeded:8d} {ended.masses:12d}"
    verdict = "; ".join(wrong) or "sound"
    which = f"{engine:6s} {case.table:7s} {case.k:3d} {case.family:9s} {case.seed:4d}"
    print(
        f"{which} {ended.outcome:15s} {ended.mean_log_likelihood:13.5f} {counts} {seconds:7.1f} {verdict}", flush=True
    )


def main(argv: Sequence[str]) -> int:
    """Run the matrix; return the exit status."""
    options = parsed(argv)
    spark = session() if options.engine != "core" else None
    print(
        "engine table     K family    seed outcome          nats per row passes floored reseeded point masses seconds"
    )
    bad = count = 0
    for seed, name, k, family in itertools.product(range(options.seeds), options.sets, options.k, options.families):
        case = Case(name, k, family, seed)
        sessions = [None] if options.engine == "core" else [spark] if options.engine == "spark" else [None, spark]
        for each in sessions if seed == 0 else sessions[:1]:
            if each is None or seed == 0:
                count += 1
                bad += not sound(case, each, options)
    print(f"{count} fits, {bad} not sound")
    return 1 if bad else 0


def sound(case: Case, spark: SparkSession | None, options: argparse.Namespace) -> bool:
    """Run one fit, through Spark if there is a session; print its line; return whether it is sound."""
    x, names = table(options.data, case.table, options.rows)
    engine, began = "spark" if spark else "core", time.perf_counter()
    try:
        ended = through_spark(spark, options.data, names, case) if spark else in_memory(x, names, case, options)
        seconds = time.perf_counter() - began
        wrong = faults(x, names, case, ended)
    except Exception:  # noqa: BLE001 - whatever it is, the matrix goes on and prints it
        print(f"{engine:5s} {case}: {traceback.format_exc()}", flush=True)
        return False
    report(engine, case, ended, wrong, seconds)
    return not wrong


def session() -> SparkSession:
    """Return a local session like a job's."""
    from pyspark.sql import SparkSession  # noqa: PLC0415

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    return builder.config("spark.log.level", "ERROR").config("spark.driver.memory", "2g").getOrCreate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
