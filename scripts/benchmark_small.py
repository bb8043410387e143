"""Seconds of fits of small tables: ours, scikit-learn's default, and its best of n_init=5; a Markdown table.

    benchmark_small.py [--data iris,digits] [--families full,diag] [--seeds 5] [--option prior=0]

The tables, their K and how they are fitted are those of `benchmark_clusters.py`: standardised, in memory, without
Spark. The three take turns, seed by seed, in one process and with as many BLAS threads as the environment allows, and
the table has medians over the seeds. Seconds are of this process's CPU, which another load on the machine moves less
than the clock. Passes: reads of all rows by one mixture in our fit, the search among them.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, get_args
from unittest import mock

import numpy as np
from benchmark_clusters import ours, theirs
from benchmark_data import head, labelled, say

from gmm_spark.mixture.parameters import Family
from gmm_spark.options import Options
from gmm_spark.statistics import kernel, least_likely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.statistics.block import Block
    from gmm_spark.statistics.moments import Moments

_SMALL = "iris,wine,breast cancer,digits,penguins,satellite,chevron"
_ENGINES = ("ours", "scikit-learn", "best of five")


class Passes:
    """`kernel.accumulate`, counting reads: rows of the blocks times candidates, by the rows of the table."""

    def __init__(self, rows: int) -> None:
        self._accumulate, self._rows, self.count = kernel.accumulate, rows, 0.0

    def __call__(
        self, blocks: Sequence[Block], candidates: Sequence[Parameters], reservoir_size: int = least_likely.SIZE
    ) -> tuple[Moments, ...]:
        """Return what the kernel returns."""
        self.count += len(candidates) * sum(block.z.shape[1] for block in blocks) / self._rows
        return self._accumulate(blocks, candidates, reservoir_size=reservoir_size)


def timed(fit: Callable[[], dict[str, Any] | None]) -> tuple[float, float]:
    """Return the CPU seconds of a fit and its log-likelihood per row; minus infinity where there is none."""
    began = time.process_time()
    found = fit()
    return time.process_time() - began, found["log_likelihood"] if found else -np.inf


def compare(name: str, family: Family, arguments: argparse.Namespace) -> None:
    """Print one row: a table and a family."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    passes = []
    for seed in range(arguments.seeds):
        x, labels = labelled()[name](seed)
        x = (x - x.mean(axis=0)) / x.std(axis=0)
        options = Options(len(np.unique(labels)), family, seed=seed, **arguments.ours)
        counted = Passes(len(x))
        with mock.patch.object(kernel, "accumulate", counted):
            found["ours"].append(timed(partial(ours, x, labels, options)))
        passes.append(counted.count)
        for engine, tries in zip(_ENGINES[1:], (1, 5), strict=True):
            found[engine].append(timed(partial(theirs, x, labels, options, tries)))
    seconds = [median(each[0] for each in found[engine]) for engine in _ENGINES]
    values = [median(each[1] for each in found[engine]) for engine in _ENGINES]
    shape = f"{x.shape[0]:,} x {x.shape[1]}"
    say(name, shape, options.k, family, *seconds, seconds[0] / seconds[2], *values, round(median(passes)))


def main() -> None:
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=_SMALL, help="tables, comma separated")
    parser.add_argument("--families", default="full,tied,diag,spherical", help="comma separated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--option", action="append", default=[], help="of our fits, such as prior=0; may be repeated")
    arguments = parser.parse_args()
    arguments.ours = {name: float(value) for name, value in (each.split("=") for each in arguments.option)}
    warnings.simplefilter("ignore")
    known = {family: family for family in get_args(Family)}
    figures = [f"{engine}: {what}" for what in ("s", "log-lik.") for engine in _ENGINES]
    head("data", "n x d", "K", "family", *figures[:3], "ours / best of five", *figures[3:], "passes")
    for name in arguments.data.split(","):
        for family in arguments.families.split(","):
            compare(name, known[family], arguments)


if __name__ == "__main__":
    main()
