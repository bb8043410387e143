#!/usr/bin/env python
"""The kernel alone, without Spark: one core, one BLAS thread, as a fraction of dgemm at the same moment.

    .venv/bin/python scripts/benchmark_kernel.py                           # the table
    .venv/bin/python scripts/benchmark_kernel.py --shapes 64,4 64,8 --both # by product and by factor

`of dgemm` counts 4F flops a row and component, F the features of the layout; `of limit` is the time of
these flops at dgemm's speed, and of one read of the rows at memcpy's, over the time that a pass took.
Times are CPU seconds of the thread, the least of repeats that are interleaved with dgemm and memcpy: other
programs on the machine cost neither.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args
from unittest import mock

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np

from gmm_spark.mixture.parameters import FAMILIES, Family, Parameters
from gmm_spark.statistics import engines, kernel
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.layouts import feature_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from gmm_spark.mixture.parameters import FloatArray

SHAPES = (
    "16,64",
    "32,32",
    "64,64",
    "2,3",
    "4,8",
    "16,16",
    "32,16",
    "64,16",
    "128,16",
    "256,8",
    "16,4",
    "32,4",
    "64,4",
    "128,4",
    "256,4",
    "16,16,diag",
    "16,16,tied",
)
FLOPS = 3e9  # of a pass: a tenth of a second


@dataclass(frozen=True)
class Shape:
    """A mixture's shape."""

    d: int
    k: int
    family: Family = "full"

    @staticmethod
    def parse(text: str) -> Shape:
        """Read d,k or d,k,family."""
        d, k, *family = text.split(",")
        if family and family[0] not in FAMILIES:
            raise argparse.ArgumentTypeError(f"{family[0]} is none of {', '.join(FAMILIES)}")
        return Shape(int(d), int(k), family[0]) if family else Shape(int(d), int(k))  # type: ignore[arg-type]

    def mixture(self) -> Parameters:
        """Return a mixture of overlapping components in whitened coordinates."""
        generator = np.random.default_rng(0)
        axes = np.linalg.qr(generator.standard_normal((self.k, self.d, self.d)))[0]
        axes = axes if self.family == "full" else np.broadcast_to(np.eye(self.d), axes.shape)
        deviations = generator.uniform(0.7, 1.3, (1 if self.family == "tied" else self.k, 1, self.d))
        covariances = np.broadcast_to((axes * deviations**2) @ axes.transpose(0, 2, 1), (self.k, self.d, self.d))
        means = 0.5 * generator.standard_normal((self.k, self.d))
        return Parameters(np.full(self.k, 1 / self.k), means, covariances, self.family)


def seconds(run: Callable[[], object]) -> float:
    """Return the CPU seconds of this thread."""
    began = time.thread_time()
    run()
    return time.thread_time() - began


def measured(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the least seconds of each, interleaved."""
    for run in runs.values():
        run()
    times = [{name: seconds(run) for name, run in runs.items()} for _ in range(repeats)]
    return {name: min(each[name] for each in times) for name in runs}


def references() -> tuple[dict[str, Callable[[], object]], float, float]:
    """Return dgemm and memcpy, and their flops and bytes."""
    one, other, product = (np.random.default_rng(0).random((512, 512)) for _ in range(3))
    source, target = np.ones(4 << 20), np.ones(4 << 20)
    runs: dict[str, Callable[[], object]] = {
        "dgemm": lambda: np.matmul(one, other, out=product),
        "memcpy": lambda: np.copyto(target, source),
    }
    return runs, 2 * 512.0**3, float(source.nbytes)


def line(shape: Shape, choice: engines.Choice, z: FloatArray, repeats: int) -> str:
    """Measure one shape on one path."""
    mixture, rows = shape.mixture(), Block(z)
    block = Block(z, None, rows.total)
    runs, flops, size = references()

    def run_pass() -> object:
        return kernel.accumulate([block], [mixture], precision=choice.precision)

    with mock.patch.object(kernel, "choose", return_value=choice):
        least = measured({**runs, "pass": run_pass}, repeats)
    features = feature_count(shape.d, choice.layout)
    products = 4 * features * shape.k * z.shape[1] * least["dgemm"] / flops
    limit = products + z.nbytes * least["memcpy"] / size
    each = least["pass"] / z.shape[1] / shape.k * 1e9
    return (
        f"{shape.d:4} {shape.k:3} {shape.family:9} {features:6} {choice.path:10} {choice.precision:8} {each:9.2f} "
        f"{flops / least['dgemm'] / 1e9:6.1f} {products / least['pass']:9.2f} {limit / least['pass']:9.2f}"
    )


def main(arguments: list[str]) -> None:
    """Print a line for each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", type=Shape.parse, default=[Shape.parse(each) for each in SHAPES])
    parser.add_argument("--precision", choices=get_args(engines.Precision), default="float64")
    parser.add_argument("--store", choices=get_args(engines.Precision), default="float64", help="how z is stored")
    parser.add_argument("--both", action="store_true", help="by product and by factor, whichever is chosen")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args(arguments)
    print("   d   k family         F path       products   ns/row/k  GF/s  of dgemm  of limit")
    for shape in options.shapes:
        choice = engines.choose([shape.mixture()], options.precision)
        n = int(np.clip(FLOPS / (4 * shape.k * feature_count(shape.d, choice.layout)), 8192, 1 << 17)) // 768 * 768
        z = np.random.default_rng(1).standard_normal((shape.d, n)).astype(options.store)
        paths = [replace(choice, path=path) for path in ("product", "factor")] if options.both else [choice]
        for each in paths:
            print(line(shape, each, z, options.repeats), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
