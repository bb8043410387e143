"""The candidates of a selection as files: each saved as its fit ends, so that a rerun skips it; published together.

A selection's output holds

    model/              the model that was chosen
    models/<name>/      the model of each candidate
    table/              Parquet: a row for each candidate
    table.txt           the same for people
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
    """The finished fits of a selection: one file per fit, in a folder named by the fingerprint of data and options.

    Args:
        folder: where it is.
    """

    folder: Location

    @staticmethod
    def beside(hidden: Location, fingerprint: str) -> FinishedFits:
        """Return those in the hidden folder of an output, which is made where it is missing."""
        folder = hidden.child(_PREFIX + fingerprint)
        folder.make_folder()
        return FinishedFits(folder)

    def load(self) -> list[FittedCandidate]:
        """Return the fits of an earlier run; a file that is damaged counts as none."""
        found = [fitted for file in self.folder.children() if (fitted := _read(file)) is not None]
        if found:
            _LOG.info("%d fits of an earlier run are taken as they are", len(found))
        return found

    def save(self, fitted: FittedCandidate) -> None:
        """Store a finished fit."""
        candidate = fitted.candidate
        header, components = encode_model(StoredModel(fitted.parameters, _numbered(fitted), fields_of(fitted.summary)))
        record = {"family": candidate.family, "k": candidate.k, "start": candidate.start, "fold": fitted.fold}
        fold = "" if fitted.fold is None else f"-fold{fitted.fold}"
        file = self.folder.child(f"{candidate.name}{fold}.json")
        file.replace("\n".join([json.dumps({**record, "header": header}), *components]))


def clear(hidden: Location) -> None:
    """Remove all finished fits from the hidden folder of an output; only for the holder of its lock."""
    for each in hidden.children():
        if each.name.startswith(_PREFIX):
            each.discard()


def table_rows(found: ModelSelection) -> list[dict[str, Any]]:
    """Return the table of a selection, with the path of each model within the output."""
    fitted = {candidate.name for candidate in found.models}
    return [{**row, "model": f"models/{row['name']}" if row["name"] in fitted else None} for row in found.table]


def write_selection(spark: SparkSession, found: ModelSelection, path: str) -> None:
    """Write the output of a selection.

    Args:
        spark: the session.
        found: the selection.
        path: a folder, which is made.
    """
    folder, table = locate(spark, path), table_rows(found)
    for candidate, model in found.models.items():
        _write_model(spark, model, folder.child(f"models/{candidate.name}"))
    _write_model(spark, found.bestModel, folder.child("model"))
    frame = spark.createDataFrame(pa.Table.from_pylist(table, _SCHEMA))
    frame.coalesce(1).write.parquet(str(folder.child("table")))
    folder.child("table.txt").replace(candidates_table(table))


def _write_model(spark: SparkSession, model: GaussianMixtureModel, folder: Location) -> None:
    # As plain files, not by Spark: two jobs for each of many small models would take longer than their fits.
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
        _LOG.warning("%s is fitted again: %s", file, error)
        return None


def _numbered(fitted: FittedCandidate) -> tuple[str, ...]:
    return tuple(f"x{i}" for i in range(fitted.parameters.d))
