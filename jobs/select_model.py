"""Fit many Gaussian mixtures to a table together, choose one, and write them all with their table.

spark-submit jobs/select_model.py --input.path=data/flights --features.columns=distance,air_time \
    --grid.k=2-8 --grid.families=full,tied --output.path=models/flights
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gmm_spark.batch.job import Task, main
from gmm_spark.batch.options.jobs import SelectConfig

if TYPE_CHECKING:
    from gmm_spark.spark.ml.select import ModelSelection


def select(task: Task[SelectConfig]) -> str:
    """Select and publish the models; return the summary."""
    from gmm_spark.batch.steps import estimate, facts, input_table, quality, selection_output
    from gmm_spark.spark.ml.select import select as select_mixture

    config, run, target = task.config, task.run, task.target
    rows = input_table.read(task.spark, config.input)
    run.note(inputs=[facts.watch_input(run, rows, config.input)])
    quarantine = quality.quarantine_of(target, config.quality.quarantine_path, rows)
    most_invalid = config.quality.max_invalid_fraction
    mixture = estimate.estimator(config.features, config.fit, maxInvalidFraction=most_invalid)
    finished = partial(selection_output.FinishedFits.beside, target.hidden.folder)
    how = {"finalists": config.grid.finalists, **config.choice.model_dump()}
    with run.phase("select"), quality.note_refusals(run):
        found = select_mixture(rows, mixture, config.grid.k, config.grid.families, store=finished, **how)
        run.add_seconds({f"select, {phase}": seconds for phase, seconds in found.seconds.items()})
    table = selection_output.table_rows(found)
    run.note(**facts.of_fit(found.bestModel), chosen=found.best.name, passes=found.numPasses, candidates=table)
    estimate.check_convergence(config.fit, found.bestModel.summary)
    with target.publication() as staging:
        selection_output.write_selection(task.spark, found, staging)
        if quarantine is not None:
            quarantine.publish(rows, config.features, found.bestModel)
    selection_output.clear(target.hidden.folder)
    return summary(config, found, str(target.location))


def summary(config: SelectConfig, found: ModelSelection, path: str) -> str:
    """Return the one line that says how the selection went."""
    result = found.bestModel.summary
    return (
        f"select: {result.numRows} rows used, {sum(result.numInvalid.values())} left out, {len(found.evaluations)} "
        f"candidates in {found.numPasses} passes and {sum(found.seconds.values()):.1f} s; {found.best.name} by "
        f"{config.choice.criterion}, {result.outcome}, mean log-likelihood {result.meanLogLikelihood:.6f}; "
        f"model in {path}/model"
    )


if __name__ == "__main__":
    main("select", SelectConfig, select)
