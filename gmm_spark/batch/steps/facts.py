"""The parts of a manifest about inputs, fits and scored rows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from gmm_spark.batch.files import relations, snapshot
from gmm_spark.batch.files.locate import locate, matches
from gmm_spark.batch.manifest.manifest import FitRecord, Input
from gmm_spark.batch.manifest.provenance import digest
from gmm_spark.batch.options.redaction import scrub
from gmm_spark.batch.publish.published_runs import pointer_of
from gmm_spark.batch.steps import input_table
from gmm_spark.errors import ModelError
from gmm_spark.spark.ml.model import GaussianMixtureModel, stored_model
from gmm_spark.statistics.survey import REASONS
from gmm_spark.store.model_directory import encode_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.batch.files.locate import Location
    from gmm_spark.batch.files.snapshot import FileState
    from gmm_spark.batch.options.sections import InputConfig
    from gmm_spark.batch.runtime.run import Run


def watch_input(run: Run, rows: DataFrame, config: InputConfig) -> Input:
    """Return the manifest's entry of a table, and make the run check its files before it publishes."""
    before = snapshot.take_snapshot(rows)
    if before is not None:
        run.checks.append(partial(snapshot.check_unchanged, before, input_table.rereader(rows, config)))
    elif (version := relations.version(rows)) is not None:
        run.checks.append(partial(snapshot.check_version, version, input_table.rereader(rows, config)))
    return input_facts(rows, config, None if before is None else before.files)


def input_facts(rows: DataFrame, config: InputConfig, files: Mapping[str, FileState] | None) -> Input:
    """Return the manifest's entry of a table: its schema, its version if it has one, and its files."""
    return Input(
        name=scrub(str(config.path or config.table)),
        kind="table" if config.path is None else "path",
        format=config.format if config.path else None,
        version=_version(rows, config),
        schema=rows.schema.simpleString(),
        files=None if files is None else len(files),
        bytes=None if files is None else sum(file.size for file in files.values()),
        files_sha256=None
        if files is None
        else digest([f"{path} {file.size} {file.modified}" for path, file in files.items()]),
    )


def load_model(spark: SparkSession, path: str) -> tuple[GaussianMixtureModel, Input]:
    """Return a model and its entry in the manifest, with the run if the path has runs.

    Raises:
        ModelError: the model is missing or damaged.
    """
    model, place = GaussianMixtureModel.load(path), locate(spark, path, ModelError)
    return model, Input(name=scrub(str(place)), kind="model", version=_run_of(place), sha256=_checksum(model))


def fit_facts(model: GaussianMixtureModel) -> dict[str, Any]:
    """Return the manifest's `rows` and `fit` of a fitted model, and its warnings for the notes."""
    summary = model.summary
    refused = dict(summary.numInvalid)
    rows = {
        "read": summary.numRows + sum(refused.values()),
        "used": summary.numRows,
        "refused": refused,
        "weight": summary.weight,
    }
    fit = FitRecord(
        model_sha256=_checksum(model),
        outcome=summary.outcome,
        message=summary.message,
        passes=summary.numPasses,
        resumed_passes=summary.resumedPasses,
        iterations=summary.numIter,
        mean_log_likelihood=summary.meanLogLikelihood,
        history=summary.history,
        floor_hits=summary.floorHits,
    )
    return {"rows": rows, "fit": fit, "warnings": list(summary.warnings)}


def score_facts(counts: dict[str, int]) -> dict[str, Any]:
    """Return the manifest's `rows` of a scored table, which contains the unusable rows too.

    Args:
        counts: rows by status.
    """
    total = sum(counts.values())
    refused = {reason: counts.get(reason, 0) for reason in REASONS[1:]}
    return {"read": total, "used": counts.get(REASONS[0], 0), "refused": refused, "written": total}


def _checksum(model: GaussianMixtureModel) -> str:
    return str(encode_model(stored_model(model))[0]["sha256"])


def _version(rows: DataFrame, config: InputConfig) -> str | None:
    """Return the run that a gmm_spark output points to, or the version of a table's snapshot as Spark reports it."""
    if config.path is not None and len(places := matches(rows.sparkSession, config.path)) == 1:
        return _run_of(places[0])
    return relations.version(rows)


def _run_of(place: Location) -> str | None:
    pointer = pointer_of(place)
    return None if pointer is None else pointer.folder.rpartition("/")[2]
