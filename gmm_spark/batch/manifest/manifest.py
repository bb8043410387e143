"""The manifest: a run's options, inputs, output and result as one JSON document.

This module is the definition; `manifest.schema.json` is generated from it, for programs in other languages.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError

from gmm_spark.errors import OutputError
from gmm_spark.store.plain import plain
from gmm_spark.store.untrusted import json_object

MANIFEST = "_manifest.json"  # readers of tables skip names that start with _
SCHEMA_FILE = Path(__file__).with_name("manifest.schema.json")
# A manifest is untrusted input: a larger one is not parsed; gmm_spark never writes one.
MOST_CHARACTERS, _MOST_VALUES = 32 << 20, 1 << 20  # characters, values
MOST_FILES = 100_000  # files beyond these are not listed, but their bytes are counted


# JSON has no infinity: a number that is not finite is written as null.
Number = Annotated[float | None, BeforeValidator(plain)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Versions(_Part):
    """The software of the run, as the driver sees it."""

    gmm_spark: str
    spark: str
    python: str
    numpy: str
    pyarrow: str
    java: str
    blas: str = Field(description="Name and version of numpy's BLAS.")
    blas_threads: dict[str, str | None] = Field(description="The variables that limit its threads: driver, executors.")


class Input(_Part):
    """A table or a model that the run has read."""

    name: str = Field(description="Path or table, as in the options.")
    kind: Literal["path", "table", "model"]
    format: str | None = None
    version: str | None = Field(default=None, description="Snapshot or version, if the format has one.")
    schema_: str | None = Field(default=None, alias="schema", description="Columns and types, as Spark's DDL.")
    files: int | None = Field(default=None, ge=0)
    bytes: int | None = Field(default=None, ge=0)
    files_sha256: str | None = Field(default=None, description="Of path, bytes and modification time of every file.")
    sha256: str | None = Field(default=None, description="A model's checksum.")


class RowCounts(_Part):
    """Rows and weight; null if the run ended before it counted them."""

    read: int | None = Field(default=None, ge=0)
    used: int | None = Field(default=None, ge=0)
    refused: dict[str, int] = Field(default={}, description="By reason, zero counts included.")
    written: int | None = Field(default=None, ge=0)
    weight: Number = None


class FitRecord(_Part):
    """How a fit ended."""

    model_sha256: str
    outcome: str
    message: str
    passes: int
    resumed_passes: int = Field(default=0, description="How many of the passes an interrupted run made.")
    iterations: int
    mean_log_likelihood: Number
    history: Annotated[tuple[Number, ...], FailFast()] = Field(
        description="Mean log-likelihood of each pass, in nats per unit of weight."
    )
    floor_hits: int


class File(_Part):
    """A file of the output."""

    path: str = Field(description="Relative to the output.")
    bytes: int = Field(ge=0)


class Output(_Part):
    """The published output."""

    path: str
    mode: str
    folder: str = Field(description="Subfolder of the path with this run's files; empty if there is none.")
    files: Annotated[tuple[File, ...], FailFast()] = Field(description="At most 100,000 files.")
    bytes: int = Field(ge=0)


class Manifest(_Part):
    """One run of a job."""

    format: Literal[1] = 1
    job: str
    run_id: str
    status: int = Field(ge=0, le=255, description="The exit status: with 0 the output is published.")
    error: str | None = Field(default=None, description="The error message of a failed run.")
    started: datetime
    finished: datetime
    versions: Versions
    configuration: dict[str, Any] = Field(description="All options, resolved; secrets are replaced.")
    configuration_sha256: str = Field(description="Of the options that decide the content of the output.")
    parents: dict[str, str] = Field(description="Ids of this run in scheduler and lineage.")
    inputs: Annotated[tuple[Input, ...], FailFast()] = ()
    rows: RowCounts = RowCounts()
    fit: FitRecord | None = None
    output: Output | None = None
    seconds: dict[str, float] = Field(description="By phase.")
    notes: dict[str, Any] = Field(default={}, description="Any other results of the job.")

    def to_json(self) -> str:
        """Return the document, a line per field."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"


def read_manifest(text: str, where: str) -> Manifest:
    """Return the manifest in a document, or refuse it.

    Raises:
        OutputError: the document is no manifest.
    """
    try:
        return Manifest.model_validate(json_object(text, MOST_CHARACTERS, _MOST_VALUES))
    except ValidationError as error:  # its text repeats all wrong values and may be larger than the document
        raise _damaged(where, f"{error.error_count()} mistakes in its fields") from None
    except ValueError as error:
        raise _damaged(where, str(error)) from error


def _damaged(where: str, got: str) -> OutputError:
    return OutputError(
        f"the manifest {where}",
        got=got,
        expected="a manifest as gmm_spark wrote it",
        do="Move the file away if it is damaged; then gmm_spark no longer knows which run has published this output.",
    )


def schema() -> str:
    """Return the JSON Schema of a manifest, the text of `manifest.schema.json`."""
    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema(by_alias=True)}
    return json.dumps(tree, indent=1) + "\n"
