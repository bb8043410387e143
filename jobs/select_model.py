"""Fit many Gaussian mixtures to a table at the same time, choose one, and write all with a table of their criteria.

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
    options = {"finalists": config.grid.finalists, **config.choice.model_dump()}
    with run.phase("select"), quality.note_refusals(run):
        selection = select_mixture(rows, mixture, config.grid.k, config.grid.families, store=finished, **options)
        run.add_seconds({f"select, {phase}": seconds for phase, seconds in selection.seconds.items()})
    table, model = selection_output.table_rows(selection), selection.bestModel
    run.note(**facts.fit_facts(model), chosen=selection.best.name, passes=selection.numPasses, candidates=table)
    estimate.check_convergence(config.fit, model.summary)
    with target.publication() as staging:
        selection_output.write_selection(task.spark, selection, staging)
        if quarantine is not None:
            quarantine.publish(rows, config.features, model)
    selection_output.clear(target.hidden.folder)
    return summary(config, selection, str(target.location))


def summary(config: SelectConfig, selection: ModelSelection, path: str) -> str:
    """Return the summary line of the selection."""
    result = selection.bestModel.summary
    return (
        f"select: {result.numRows} rows used, {sum(result.numInvalid.values())} left out, {len(selection.evaluations)} "
        f"candidates in {selection.numPasses} passes and {sum(selection.seconds.values()):.1f} s; "
        f"{selection.best.name} by {config.choice.criterion}, {result.outcome}, "
        f"mean log-likelihood {result.meanLogLikelihood:.6f}; model in {path}/model"
    )


if __name__ == "__main__":
    main("select", SelectConfig, select)
