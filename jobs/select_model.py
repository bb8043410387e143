"""Fit many Gaussian mixtures to a table together, choose one, and write them all with their table.

spark-submit jobs/select_model.py --input.path=data/flights --features.columns=distance,air_time \
    --grid.k=2-8 --grid.families=full,tied --output.path=models/flights
"""

from __future__ import annotations

import sys
from functools import partial
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.batch.options.jobs import SelectConfig
    from gmm_spark.spark.ml.select import ModelSelection


def select(argv: Sequence[str]) -> str:
    """Select as the command line says; return the summary."""
    from gmm_spark.batch.options.jobs import SelectConfig  # noqa: PLC0415
    from gmm_spark.batch.options.layers import load  # noqa: PLC0415
    from gmm_spark.batch.runtime import logs  # noqa: PLC0415 - not above: see the end of this file

    config = load(SelectConfig, argv, prog="select_model.py")
    logs.adopt(config)
    # Spark is imported only now, so that a mistake in the options is reported within a second.
    from gmm_spark.batch.files.locate import locate  # noqa: PLC0415
    from gmm_spark.batch.publish import target as publish  # noqa: PLC0415
    from gmm_spark.batch.runtime.run import job_run  # noqa: PLC0415
    from gmm_spark.batch.steps import dry_run, estimate, facts, input_table, quality, selection_output  # noqa: PLC0415
    from gmm_spark.report.selection_table import candidates_table  # noqa: PLC0415
    from gmm_spark.spark.ml import select as selector  # noqa: PLC0415
    from gmm_spark.spark.session import job_session  # noqa: PLC0415

    spark = job_session("gmm_spark select")
    if config.dry_run:
        return dry_run.of_select(spark, config)
    with (
        job_run("select", config, spark) as run,
        publish.claimed(run, spark, config.output, partial(input_table.locations, spark, config.input)) as target,
    ):
        if target.done:
            return target.done
        rows = input_table.read(spark, config.input)
        run.note(inputs=[facts.watched(run, rows, config.input)])
        aside = quality.quarantine_of(target, config.quality.quarantine_path, rows)
        most_invalid = config.quality.max_invalid_fraction
        mixture = estimate.estimator(config.features, config.fit, maxInvalidFraction=most_invalid)
        shelf = partial(selection_output.FolderShelf.within, target.office.folder)
        how = {"finalists": config.grid.finalists, **config.choice.model_dump()}
        with run.phase("select"), quality.counted(run):
            found = selector.select(rows, mixture, config.grid.k, config.grid.families, shelf=shelf, **how)
            run.took({f"select, {phase}": seconds for phase, seconds in found.seconds.items()})
        table = selection_output.rows(found)
        run.note(**facts.of_fit(found.bestModel), chosen=found.best.name, passes=found.numPasses, candidates=table)
        estimate.check_convergence(config.fit, found.bestModel.summary)
        with target.publication() as staging:
            selection_output.write(spark, found, locate(spark, staging), candidates_table(table))
            if aside is not None:
                aside.publish(rows, config.features, found.bestModel)
        selection_output.clear(target.office.folder)
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
    from gmm_spark.batch.runtime.status import run

    run("select", select, sys.argv[1:])
