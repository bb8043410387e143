"""The manifest: what a run was, what it read, what it wrote and how it ended, as one JSON document.

The model here is the definition; `manifest.schema.json` beside it is made from it, for programs of other languages.
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

MANIFEST = "_manifest.json"  # hidden from readers of tables, as every name with such a first character
SCHEMA_FILE = Path(__file__).with_name("manifest.schema.json")
# A manifest is untrusted input: larger ones are not even parsed, and none that we write is.
MOST_CHARACTERS, _MOST_VALUES = 32 << 20, 1 << 20  # characters, values
MOST_FILES = 100_000  # an output may have more; their bytes are counted


# JSON has no word for infinity: what is not finite is written as null.
Number = Annotated[float | None, BeforeValidator(plain)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Versions(_Part):
    """What the run ran on, as the driver sees it."""

    gmm_spark: str
    spark: str
    python: str
    numpy: str
    pyarrow: str
    java: str
    blas: str = Field(description="Name and version of numpy's BLAS.")
    blas_threads: dict[str, str | None] = Field(description="The variables that limit its threads: driver, executors.")


class Input(_Part):
    """Something that was read."""

    name: str = Field(description="Path or table, as the options name it.")
    kind: Literal["path", "table", "model"]
    format: str | None = None
    version: str | None = Field(default=None, description="Snapshot or version, where the format has one.")
    schema_: str | None = Field(default=None, alias="schema", description="Columns and types, as Spark's DDL.")
    files: int | None = Field(default=None, ge=0)
    bytes: int | None = Field(default=None, ge=0)
    files_sha256: str | None = Field(default=None, description="Of path, bytes and modification time of every file.")
    sha256: str | None = Field(default=None, description="A model's checksum.")


class RowCounts(_Part):
    """Rows and weight; null where the run did not come so far."""

    read: int | None = Field(default=None, ge=0)
    used: int | None = Field(default=None, ge=0)
    refused: dict[str, int] = Field(default={}, description="By reason, those that did not occur with 0.")
    written: int | None = Field(default=None, ge=0)
    weight: Number = None


class FitRecord(_Part):
    """How a fit ended."""

    model_sha256: str
    outcome: str
    message: str
    passes: int
    resumed_passes: int = Field(default=0, description="How many of them come from a run that was broken off.")
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
    """What was published."""

    path: str
    mode: str
    folder: str = Field(description="Where in the path this run's files are; empty where they are the path itself.")
    files: Annotated[tuple[File, ...], FailFast()] = Field(description="At most 100,000 of them.")
    bytes: int = Field(ge=0)


class Manifest(_Part):
    """One run of a job."""

    format: Literal[1] = 1
    job: str
    run_id: str
    status: int = Field(ge=0, le=255, description="The exit status: 0 is success, and then the output is published.")
    error: str | None = Field(default=None, description="What went wrong.")
    started: datetime
    finished: datetime
    versions: Versions
    configuration: dict[str, Any] = Field(description="All options, resolved; secrets are replaced.")
    configuration_sha256: str = Field(description="Of the options that decide what is written.")
    parents: dict[str, str] = Field(description="Ids of scheduler and lineage around this run.")
    inputs: Annotated[tuple[Input, ...], FailFast()] = ()
    rows: RowCounts = RowCounts()
    fit: FitRecord | None = None
    output: Output | None = None
    seconds: dict[str, float] = Field(description="By phase.")
    notes: dict[str, Any] = Field(default={}, description="Whatever else the job found out.")

    def to_json(self) -> str:
        """Return the document, a line per field."""
        return self.model_dump_json(indent=1, by_alias=True) + "\n"


def read_manifest(text: str, where: str) -> Manifest:
    """Return the manifest of a document, or refuse it.

    Raises:
        OutputError: it is no manifest.
    """
    try:
        return Manifest.model_validate(json_object(text, MOST_CHARACTERS, _MOST_VALUES))
    except ValidationError as error:  # its text, which repeats what is wrong, may be larger than the document
        raise _damaged(where, f"{error.error_count()} mistakes in its fields") from None
    except ValueError as error:
        raise _damaged(where, str(error)) from error


def _damaged(where: str, got: str) -> OutputError:
    return OutputError(
        f"the manifest {where}",
        got=got,
        expected="a manifest as gmm_spark wrote it",
        do="Move it away if it is damaged; without it a run cannot know what was published there.",
    )


def schema() -> str:
    """Return the JSON Schema of a manifest, as `manifest.schema.json` holds it."""
    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema(by_alias=True)}
    return json.dumps(tree, indent=1) + "\n"
