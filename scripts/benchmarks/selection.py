"""One selection of many mixtures beside fitting them one after the other: seconds, passes and likelihoods.

    scripts/benchmarks/selection.py

30 candidates by default: K = 2 ... 11 of the families full, tied, diag, on 500,000 rows of 8 features of a known
mixture. Both by gmm_spark, in one session, from the same Parquet files, in turns; the same tol, seed and number of
starts. No candidate is retired, so that all are fitted to their end in both.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from gmm_spark import GaussianMixture
from gmm_spark.mixture.parameters import FAMILIES
from gmm_spark.selection.evaluation import grid
from gmm_spark.spark.ml.select import select
from scripts.benchmarks import data, harness, sessions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.em.summary import Summary
    from gmm_spark.selection.evaluation import Candidate

Summaries = dict["Candidate", "Summary"]


def compare(df: DataFrame, options: argparse.Namespace) -> None:
    """Measure both in turns, and print a row for each."""
    params, ks, chosen = {"tol": options.tol, "seed": 3, "featuresCol": "x"}, range(2, options.most + 1), list[str]()

    def together(_: int) -> tuple[Summaries, float]:
        found = select(df, GaussianMixture(**params), ks, options.families, retire=False)
        chosen.append(found.best.name)
        return {each: model.summary for each, model in found.models.items()}, found.numPasses

    def alone(_: int) -> tuple[Summaries, float]:
        found = {
            each: GaussianMixture(k=each.k, covarianceType=each.family, **params).fit(df).summary
            for each in grid(ks, options.families)
        }
        return found, sum(summary.numPasses for summary in found.values())

    GaussianMixture(k=2, maxIter=1, starts=1, seed=3, featuresCol="x").fit(df)  # to warm workers and caches for both
    timings = harness.interleave({"together": together, "alone": alone}, options.repeats, sessions.CLOCK)
    harness.head("", "candidates", "passes", "s", "processor s", "of the time of alone")
    for name, each in timings.items():
        found, passes = each[-1].result
        share = harness.ratio((one.wall for one in each), (one.wall for one in timings["alone"]))
        harness.say(name, len(found), passes, harness.wall(each), harness.cpu(each), share)
    (joint, _), (single, _) = (timings[each][-1].result for each in ("together", "alone"))
    gains = harness.Spread.of(joint[each].meanLogLikelihood - single[each].meanLogLikelihood for each in single)
    print(f"\nlog-likelihood per row, together minus alone, over the candidates: {gains:+.2e}; chosen {chosen[-1]}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both and print the ratio."""
    parser = harness.parser(__doc__, {"rows": 3000, "features": 2, "components": 2, "most": 3, "families": ["full"]})
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--components", type=int, default=6, help="of the mixture that the rows come from")
    parser.add_argument("--most", type=int, default=11, help="the largest K; the smallest is 2")
    families = ["full", "tied", "diag"]
    parser.add_argument("--families", type=harness.list_of(FAMILIES), default=families, help="comma separated")
    parser.add_argument("--tol", type=float, default=1e-4)
    parser.add_argument("--cores", type=int, default=sessions.CORES)
    options = harness.parse_options(parser, argv)
    x = data.draw_rows(options.rows, data.truth(options.features, options.components, distance=2.0))
    with tempfile.TemporaryDirectory(prefix="gmm_spark-benchmark-") as folder:
        compare(sessions.write_table(sessions.session(options.cores), x, folder, options.cores), options)


if __name__ == "__main__":
    main()
