"""How well fits recover known labels: ours, scikit-learn's default, and its best of n_init=5; a Markdown table.

    clusters.py [--data iris,wine] [--families full,diag] [--option covariance_prior=0] [--results file.jsonl]
    clusters.py --data small --figures seconds,log_likelihood,passes     # how long fits of small tables take

Standardised features, as many components as labels; in memory, without Spark. Each seed is a repeat, in which the
three fits take turns. Figures: ari, the adjusted Rand index; log_likelihood in nats per row; least, the rows of the
smallest component; seconds of processor time, which other load on the machine changes less than the clock; passes,
reads of all rows by one mixture in our fit, including the search. `--results` writes each fit as a line, and a fit
that is in the file is not repeated: a long run can be stopped and continued, and two versions can be compared.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark.mixture.parameters import FAMILIES
from gmm_spark.options import Options
from gmm_spark.statistics import kernel
from scripts.benchmarks import data, fits, harness

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters

Figures = dict[str, Any]  # the figures of one fit

_FIGURES = {"ari": ".2f", "log_likelihood": ".3f", "least": ".0f", "seconds": ".2g", "passes": ".0f"}
_SMALL = ("iris", "wine", "breast cancer", "digits", "penguins", "satellite", "chevron")
_PEERS = {"scikit-learn": 1, "best of five": fits.BEST_OF}
_WORSE = 0.05  # of an adjusted Rand index: seeds differ by less


def fit(name: str, family: Family, seed: int, engine: str, given: dict[str, Any]) -> Figures | None:
    """Fit a table of this name once, and return the figures; None if scikit-learn fails."""
    x, labels = data.labelled_tables()[name](seed)
    x, options = fits.standardise(x), Options(len(np.unique(labels)), family, seed=seed, **given)
    with fits.count_reads(len(x)) as reads:
        timing = harness.Clock().time(partial(_parameters, x, options, engine))
    if timing.result is None:
        return None
    return {
        "passes": reads.count,
        "log_likelihood": fits.mean_log_likelihood(x, timing.result),
        "ari": fits.adjusted_rand(labels, x, timing.result),
        "least": float(kernel.posteriors(x, timing.result)[0].sum(axis=0).min()),
        "seconds": timing.cpu,
    }


def _parameters(x: FloatArray, options: Options, engine: str) -> Parameters | None:
    if engine in _PEERS:
        return fits.fit_sklearn(x, options, _PEERS[engine])
    return fits.fit_in_memory(x, options).parameters


class Results:
    """The figures of fits by their keys, stored in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self._known = {self._name(each["key"]): each["fit"] for each in map(json.loads, lines)}

    def of(self, key: Figures, fit: Callable[[], Figures | None]) -> Figures:
        """Return the fit with this key; run it if there is none."""
        name = self._name(key)
        if name not in self._known:
            self._known[name] = fit()
            if self._path:
                with self._path.open("a") as file:
                    file.write(json.dumps({"key": key, "fit": self._known[name]}) + "\n")
        return self._known[name] or {"log_likelihood": -np.inf, "ari": 0.0, "least": 0.0, "seconds": np.nan}

    @staticmethod
    def _name(key: Figures) -> str:
        return json.dumps(key, sort_keys=True)


def compare(name: str, family: Family, options: argparse.Namespace, results: Results) -> dict[str, list[Figures]]:
    """Fit a table with each engine in turn, seed by seed; print its row and return the fits by engine."""

    def run(engine: str, seed: int) -> Figures:
        key = {"data": name, "family": family, "seed": seed, "engine": engine}
        return results.of(key, partial(fit, name, family, seed, engine, dict(options.option)))

    (x, labels), engines = data.labelled_tables()[name](0), (options.name, *_PEERS)
    timings = harness.interleave({engine: partial(run, engine) for engine in engines}, options.seeds)
    found = {engine: [each.result for each in timings[engine]] for engine in engines}
    times = harness.ratio(*([each["seconds"] for each in found[engine]] for engine in (options.name, "best of five")))
    cells = (
        format(harness.Spread.of(each[figure] for each in found[engine]), _FIGURES[figure])
        for engine in engines
        for figure in _of_engine(engine, options.figures)
    )
    harness.say(name, f"{len(x):,} x {x.shape[1]}", len(np.unique(labels)), family, *cells, times)
    return found


def _of_engine(engine: str, figures: Sequence[str]) -> list[str]:
    return [figure for figure in figures if figure != "passes" or engine not in _PEERS]


def summarise(rows: list[dict[str, list[Figures]]], engines: Sequence[str]) -> None:
    """Print the mean index of each engine over all fits, and on how many tables ours is lower."""
    means = [fmean(each["ari"] for found in rows for each in found[engine]) for engine in engines]
    harness.say("mean ARI of all fits", "", *(f"{each:.4f}" for each in means))
    medians = np.array([[median(each["ari"] for each in found[engine]) for engine in engines] for found in rows])
    behind = medians[:, 0] - medians[:, -1]
    worse = f"worse by > {_WORSE}: {sum(behind < -_WORSE)}"
    harness.say("ours - best of five, median seed", "", f"least {behind.min():.3f}", worse)


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the fits of the tables and families on the command line."""
    parser = harness.parser(__doc__, {"data": ["wine"], "families": ["tied"]}, repeats="seeds")
    known = data.labelled_tables()
    tables = harness.list_of([*known, "small"])
    parser.add_argument(
        "--data", type=tables, default=list(known), help="tables, comma separated; small: all small ones"
    )
    parser.add_argument("--families", type=harness.list_of(FAMILIES), default=fits.SKLEARNS, help="comma separated")
    parser.add_argument("--results", type=Path, help="JSON lines: fits in it are not repeated")
    parser.add_argument("--name", default="ours", help="of our fits, to distinguish settings in --results")
    parser.add_argument(
        "--option", type=fits.option, action="append", default=[], help="of our fits: covariance_prior=0"
    )
    figures = list(_FIGURES)[:-1]
    parser.add_argument("--figures", type=harness.list_of(_FIGURES), default=figures, help="comma separated; see above")
    options = harness.parse_options(parser, argv)
    engines, results = (options.name, *_PEERS), Results(options.results)
    heads = (f"{engine}: {figure}" for engine in engines for figure in _of_engine(engine, options.figures))
    harness.head("data", "n x d", "K", "family", *heads, "s, ours / best of five")
    names = [name for each in options.data for name in (_SMALL if each == "small" else (each,))]
    rows = [compare(name, family, options, results) for name in names for family in options.families]
    summarise(rows, engines)


if __name__ == "__main__":
    main()
