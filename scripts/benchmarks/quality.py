"""Log-likelihood per row of our fits against scikit-learn's best of n_init=5, for every family; a Markdown table.

    scripts/benchmarks/quality.py [--data iris,faithful] [--families full,diag] [--seeds 10] [--floor 1e-6]

In memory, without Spark: the same starts, second look and EM that a fit on Spark runs, by maximum likelihood (no prior,
no least weight), with a uniform sample where the table is larger than the sample. scikit-learn gets the rows in the
user's units, with its own guard against singular covariances (reg_covar=1e-6). Each seed is a repeat, in which the two
take turns; both log-likelihoods are measured by our scoring path.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from gmm_spark.mixture.parameters import FAMILIES
from gmm_spark.options import Options
from scripts.benchmarks import data, fits, harness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.mixture.parameters import FloatArray, Parameters


def compare(name: str, x: FloatArray, options: Options, seeds: int) -> None:
    """Print one row: a table and a family."""

    def of(seed: int) -> Options:
        return replace(options, seed=seed, covariance_prior=0.0, min_component_weight=0.0)

    def ours(seed: int) -> Parameters:
        return fits.fit_in_memory(x, of(seed)).parameters

    def theirs(seed: int) -> Parameters | None:
        return fits.fit_sklearn(x, of(seed), fits.BEST_OF)

    timings = harness.interleave({"ours": ours, "theirs": theirs}, seeds)
    measured = partial(fits.mean_log_likelihood, x)
    differences = [
        measured(own.result) - measured(their.result)
        for own, their in zip(timings["ours"], timings["theirs"], strict=True)
    ]
    good = f"{sum(each >= -fits.NEAR for each in differences)} of {seeds}"
    ratio = harness.ratio((each.wall for each in timings["ours"]), (each.wall for each in timings["theirs"]))
    harness.say(
        name,
        options.family,
        options.k,
        good,
        harness.Spread.of(differences),
        *map(harness.wall, timings.values()),
        ratio,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Compare what the command line names."""
    parser = harness.parser(__doc__, {"data": ["iris"], "families": ["tied"]}, repeats="seeds")
    tables = data.tables()
    del tables["synthetic"]
    parser.add_argument("--data", type=harness.list_of(tables), default=list(tables), help="tables, comma separated")
    parser.add_argument("--families", type=harness.list_of(FAMILIES), default=fits.SKLEARNS, help="comma separated")
    parser.add_argument("--floor", type=float, default=Options.covariance_floor, help="covarianceFloor of our fits")
    options = harness.parse_options(parser, argv)
    harness.head("table", "family", "K", "as good", "ours - theirs, nats per row", "our s", "scikit-learn's s", "ratio")
    for name in options.data:
        x = tables[name].read()
        for family in options.families:
            compare(name, x, Options(tables[name].k, family, covariance_floor=options.floor), options.seeds)


if __name__ == "__main__":
    main()
