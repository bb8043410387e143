"""Fit a Gaussian mixture to a table and write the model directory.

spark-submit jobs/fit.py --config conf/fit.yaml --input.path=data/flights --output.path=models/flights
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.batch.job import Task, main
from gmm_spark.batch.options.jobs import FitConfig

if TYPE_CHECKING:
    from gmm_spark import GaussianMixtureModel


def fit(task: Task[FitConfig]) -> str:
    """Fit and publish the model; return the summary."""
    from gmm_spark.batch.steps import estimate, facts, input_table, quality
    from gmm_spark.spark.fit.checkpoint_store import Checkpoints

    config, run, target = task.config, task.run, task.target
    estimate.check_earlier_models(task.spark, config, target.location)
    rows = input_table.read(task.spark, config.input)
    run.note(inputs=[facts.watch_input(run, rows, config.input)])
    quarantine = quality.quarantine_of(target, config.quality.quarantine_path, rows)
    checkpoint = str(target.hidden.folder.child("checkpoint"))
    with run.phase("fit"), quality.note_refusals(run):
        model = estimate.fit_table(config, rows, checkpoint)
        run.add_seconds({f"fit, {phase}": seconds for phase, seconds in model.summary.seconds.items()})
    run.note(**facts.fit_facts(model))
    estimate.check_convergence(config.fit, model.summary)
    with target.publication() as staging:
        model.write().overwrite().save(staging)  # only this run uses the staging folder
        if quarantine is not None:
            quarantine.publish(rows, config.features, model)
    Checkpoints(checkpoint).clear(task.spark)
    return summary(model, str(target.location))


def summary(model: GaussianMixtureModel, path: str) -> str:
    """Return the summary line of the fit."""
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
    main("fit", FitConfig, fit)
