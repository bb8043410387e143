"""The candidates of a selection as files: each is saved when its fit ends, so that a rerun skips it.

The published output of a selection has

    model/              the chosen model
    models/<name>/      the model of each candidate
    table/              Parquet: a row per candidate
    table.txt           the same table as text
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gmm_spark.batch.files.locate import locate
from gmm_spark.em.summary import fields_of, summary_from
from gmm_spark.errors import ModelError
from gmm_spark.report.selection_table import candidates_table
from gmm_spark.selection.evaluation import Candidate
from gmm_spark.spark.ml.model import stored_model
from gmm_spark.spark.ml.model_files import directory_lines
from gmm_spark.spark.ml.select import TABLE
from gmm_spark.spark.selection.choice import FittedCandidate
from gmm_spark.store.model_directory import MOST_METADATA, MOST_VALUES, StoredModel, decode_model, encode_model
from gmm_spark.store.untrusted import json_object

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark.batch.files.location import Location
    from gmm_spark.spark.ml.model import GaussianMixtureModel
    from gmm_spark.spark.ml.select import ModelSelection

_LOG = logging.getLogger(__name__)
_PREFIX = "candidates-"
_SCHEMA = TABLE.append(pa.field("model", pa.string()))


@dataclass(frozen=True)
class FinishedFits:
    """The finished fits of a selection: one file per fit.

    Args:
        folder: their folder, named by the fingerprint of data and options.
    """

    folder: Location

    @staticmethod
    def beside(hidden: Location, fingerprint: str) -> FinishedFits:
        """Return the finished fits in the hidden folder of an output; create their folder if it does not exist."""
        folder = hidden.child(_PREFIX + fingerprint)
        folder.make_folder()
        return FinishedFits(folder)

    def load(self) -> list[FittedCandidate]:
        """Return the fits of an earlier run; damaged files are ignored."""
        fits = [fitted for file in self.folder.children() if (fitted := _read(file)) is not None]
        if fits:
            _LOG.info("using %d finished fits of an earlier run", len(fits))
        return fits

    def save(self, fitted: FittedCandidate) -> None:
        """Save a finished fit."""
        candidate = fitted.candidate
        header, components = encode_model(StoredModel(fitted.parameters, _numbered(fitted), fields_of(fitted.summary)))
        record = {"family": candidate.family, "k": candidate.k, "start": candidate.start, "fold": fitted.fold}
        fold = "" if fitted.fold is None else f"-fold{fitted.fold}"
        file = self.folder.child(f"{candidate.name}{fold}.json")
        file.replace("\n".join([json.dumps({**record, "header": header}), *components]))


def clear(hidden: Location) -> None:
    """Remove all finished fits from the hidden folder of an output; only the holder of its lock may call this."""
    for entry in hidden.children():
        if entry.name.startswith(_PREFIX):
            entry.discard()


def table_rows(selection: ModelSelection) -> list[dict[str, Any]]:
    """Return the table of a selection, with the path of each model within the output."""
    fitted = {candidate.name for candidate in selection.models}
    return [{**row, "model": f"models/{row['name']}" if row["name"] in fitted else None} for row in selection.table]


def write_selection(spark: SparkSession, selection: ModelSelection, path: str) -> None:
    """Write the output of a selection.

    Args:
        spark: the session.
        selection: the result.
        path: the new folder.
    """
    folder, table = locate(spark, path), table_rows(selection)
    for candidate, model in selection.models.items():
        _write_model(spark, model, folder.child(f"models/{candidate.name}"))
    _write_model(spark, selection.bestModel, folder.child("model"))
    frame = spark.createDataFrame(pa.Table.from_pylist(table, _SCHEMA))
    frame.coalesce(1).write.parquet(str(folder.child("table")))
    folder.child("table.txt").replace(candidates_table(table))


def _write_model(spark: SparkSession, model: GaussianMixtureModel, folder: Location) -> None:
    # Written as plain files: with Spark, two jobs for each of many small models would take longer than their fits.
    for name, lines in directory_lines(spark, model, stored_model(model)).items():
        part = folder.child(f"{name}/part-00000")
        part.parent().make_folder()
        part.replace("".join(f"{line}\n" for line in lines))


def _read(file: Location) -> FittedCandidate | None:
    try:
        first, *components = (file.read() or "").split("\n")
        record = json_object(first, MOST_METADATA, MOST_VALUES)
        stored = decode_model(record["header"], components, str(file))
        candidate = Candidate(record["family"], int(record["k"]), int(record["start"]))
        return FittedCandidate(candidate, record["fold"], stored.parameters, summary_from(dict(stored.summary)))
    except (ModelError, ValueError, KeyError, TypeError) as error:
        _LOG.warning("the candidate in %s is fitted again: %s", file, error)
        return None


def _numbered(fitted: FittedCandidate) -> tuple[str, ...]:
    return tuple(f"x{i}" for i in range(fitted.parameters.d))
