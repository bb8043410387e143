"""How well fits recover known labels: ours, scikit-learn's default, and its best of n_init=5; a Markdown table.

    benchmark_clusters.py [--data iris,wine] [--families full,diag] [--seeds 5] [--prior auto] [--results file.jsonl]

Standardised features, as many components as labels. In memory, without Spark, as `benchmark_quality.py` fits, and in
one run: seed by seed the three fits take turns, and the table has medians. `--results` keeps each fit as a line, and a
fit that is there already is not repeated: so a long run may be ended and gone on with, and two versions compared.
Adjusted Rand index: Hubert and Arabie, J. Classification 2, 1985.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from benchmark_data import head, labelled, of_sklearn, say
from benchmark_quality import Table, fitted_in_memory
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_spark.mixture.parameters import Family
from gmm_spark.options import Options
from gmm_spark.statistics import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray, Parameters

Fitted = dict[str, Any]

_WORSE = 0.05  # of an adjusted Rand index: more than the seeds differ by


def scored(x: FloatArray, labels: NDArray[Any], parameters: Parameters, seconds: float) -> Fitted:
    """Return what a fit in the units of the (n, d) rows came to."""
    posterior, log_density = kernel.posteriors(x, parameters)
    return {
        "log_likelihood": float(log_density.mean()),
        "ari": float(adjusted_rand_score(labels, posterior.argmax(axis=1))),
        "least": float(posterior.sum(axis=0).min()),
        "seconds": seconds,
    }


def ours(x: FloatArray, labels: NDArray[Any], options: Options) -> Fitted:
    """Fit as a fit on Spark does."""
    began = time.perf_counter()
    table = Table.of(x, options.family)
    fit = fitted_in_memory(table, options)
    seconds = time.perf_counter() - began
    return scored(x, labels, table.frame.outward(fit.best.parameters), seconds)


def theirs(x: FloatArray, labels: NDArray[Any], options: Options, tries: int) -> Fitted | None:
    """Fit with scikit-learn; None where it gives up."""
    began, mixture = (
        time.perf_counter(),
        SklearnMixture(options.k, covariance_type=options.family, n_init=tries, random_state=options.seed),
    )
    try:
        fitted = mixture.fit(x)
    except ValueError:
        return None
    seconds = time.perf_counter() - began
    return scored(x, labels, of_sklearn(fitted, options.family), seconds)


def fits(arguments: argparse.Namespace) -> Iterator[Fitted]:
    """Yield each fit that the command line asks for, those that are kept first read from the file."""
    known = {family: family for family in get_args(Family)}
    kept = Results(arguments.results)
    for name in arguments.data.split(","):
        for family in arguments.families.split(","):
            for seed in range(arguments.seeds):
                for engine in (arguments.name, "scikit-learn", "best of five"):
                    key = {"data": name, "family": family, "seed": seed, "engine": engine}
                    yield kept.of(key, partial(_fit, key, known[family], arguments))


def _fit(key: Fitted, family: Family, arguments: argparse.Namespace) -> Fitted | None:
    x, labels = labelled()[key["data"]](key["seed"])
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    options = Options(len(np.unique(labels)), family, seed=key["seed"], **arguments.ours)
    if key["engine"] == arguments.name:
        return ours(x, labels, options)
    return theirs(x, labels, options, {"scikit-learn": 1, "best of five": 5}[key["engine"]])


class Results:
    """Fits by what distinguishes them, kept in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self._known = {self._name(each["key"]): each["fit"] for each in map(json.loads, lines)}

    def of(self, key: Fitted, fit: Callable[[], Fitted | None]) -> Fitted:
        """Return the fit of this key with its key, made if it is not there."""
        name = self._name(key)
        if name not in self._known:
            self._known[name] = fit()
            if self._path:
                with self._path.open("a") as file:
                    file.write(json.dumps({"key": key, "fit": self._known[name]}) + "\n")
        return {**key, **(self._known[name] or {"log_likelihood": -np.inf, "ari": 0.0, "least": 0.0, "seconds": 0.0})}

    @staticmethod
    def _name(key: Fitted) -> str:
        return json.dumps(key, sort_keys=True)


def show(found: list[Fitted], engines: tuple[str, str, str]) -> None:
    """Print a row for each table and family: medians over the seeds; then the means over these rows."""
    head("data", "family", *(f"{engine}: {what}" for engine in engines for what in ("ARI", "log-lik.", "least", "s")))
    rows: dict[tuple[str, str], dict[str, list[Fitted]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        rows[each["data"], each["family"]][each["engine"]].append(each)
    for names, own in rows.items():
        say(*names, *(cell for engine in engines for cell in _cells(own[engine])))
    aris = np.array([[median(each["ari"] for each in own[engine]) for engine in engines] for own in rows.values()])
    means = [fmean(each["ari"] for each in found if each["engine"] == engine) for engine in engines]
    behind = aris[:, 0] - aris[:, 2]
    say("mean ARI of all fits", "", *(f"{each:.4f}" for each in means))
    say(
        "ours - best of five, median seed",
        "",
        f"least {behind.min():.3f}",
        f"worse by > {_WORSE}: {sum(behind < -_WORSE)}",
    )


def _cells(fits: list[Fitted]) -> Iterator[str]:
    aris = sorted(each["ari"] for each in fits)
    yield f"{median(aris):.3f} ({aris[0]:.2f}-{aris[-1]:.2f})"
    yield f"{median(each['log_likelihood'] for each in fits):.3f}"
    yield f"{median(each['least'] for each in fits):.0f}"
    yield f"{median(each['seconds'] for each in fits):.2f}"


def _pseudo_rows(text: str) -> float | str:
    return text if text == "auto" else float(text)


def main() -> None:
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=",".join(labelled()), help="tables, comma separated")
    parser.add_argument("--families", default="full,tied,diag,spherical", help="comma separated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, help="JSON lines: fits that are kept, and are not repeated")
    parser.add_argument("--name", default="ours", help="of our fits, to distinguish settings in --results")
    parser.add_argument("--option", action="append", default=[], help="of our fits: covariance_prior=0")
    arguments = parser.parse_args()
    arguments.ours = {name: _pseudo_rows(value) for name, value in (each.split("=") for each in arguments.option)}
    warnings.simplefilter("ignore")
    show(list(fits(arguments)), (arguments.name, "scikit-learn", "best of five"))


if __name__ == "__main__":
    main()
