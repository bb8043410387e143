"""Fit a Gaussian mixture to a table and write the model directory.

spark-submit jobs/fit.py --config conf/fit.yaml --input.path=data/flights --output.path=models/flights
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from gmm_spark.batch.options.jobs import FitConfig
from gmm_spark.batch.options.layers import load
from gmm_spark.batch.runtime import logs
from gmm_spark.batch.runtime.status import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark import GaussianMixtureModel


def fit(argv: Sequence[str]) -> str:
    """Fit as the command line says; return the summary."""
    config = load(FitConfig, argv, prog="fit.py")
    logs.adopt(config)
    # Spark is imported only now, so that a mistake in the options is reported within a second.
    from gmm_spark.batch.publish import target as publish  # noqa: PLC0415
    from gmm_spark.batch.runtime.run import job_run  # noqa: PLC0415
    from gmm_spark.batch.steps import dry_run, estimate, facts, initial_model, input_table, quality  # noqa: PLC0415
    from gmm_spark.spark.fit.checkpoint_store import Checkpoints  # noqa: PLC0415
    from gmm_spark.spark.session import job_session  # noqa: PLC0415

    spark = job_session("gmm_spark fit")
    if config.dry_run:
        return dry_run.of_fit(spark, config)
    with (
        job_run("fit", config, spark) as run,
        publish.claimed(run, spark, config.output, partial(input_table.locations, spark, config.input)) as target,
    ):
        if target.done:
            return target.done
        initial_model.check_places(spark, config, target.location)
        rows = input_table.read(spark, config.input)
        run.note(inputs=[facts.watched(run, rows, config.input)])
        aside = quality.quarantine_of(target, config.quality.quarantine_path, rows)
        kept = str(target.office.folder.child("checkpoint"))
        with run.phase("fit"), quality.counted(run):
            model = initial_model.fitted(config, rows, kept)
            run.took({f"fit, {phase}": seconds for phase, seconds in model.summary.seconds.items()})
        run.note(**facts.of_fit(model))
        estimate.check_convergence(config.fit, model.summary)
        with target.publication() as staging:
            model.write().overwrite().save(staging)  # a folder of this run alone
            if aside is not None:
                aside.publish(rows, config.features, model)
        Checkpoints(kept).clear(spark)
        return summary(model, str(target.location))


def summary(model: GaussianMixtureModel, path: str) -> str:
    """Return the one line that says how the fit went."""
    result = model.summary
    left_out = ", ".join(f"{count} {reason}" for reason, count in result.numInvalid.items())
    return (
        f"fit: {result.numRows} rows used, {sum(result.numInvalid.values())} left out ({left_out}), "
        f"{len(model.weights)} components, "
        f"{result.outcome} after {result.numPasses} passes in {sum(result.seconds.values()):.1f} s"
        f"{f' ({result.resumedPasses} of them from a checkpoint)' if result.resumedPasses else ''}, "
        f"mean log-likelihood {result.meanLogLikelihood:.6f}; model in {path}"
    )


if __name__ == "__main__":
    run("fit", fit, sys.argv[1:])
