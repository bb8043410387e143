"""The options by section. Those of a fit have default, help and check from `gmm_spark.options`, the others here alone.

Names are those of the Python face in snake_case; types are in `option_types`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from gmm_spark.batch.options.option_types import Amount, Count, Kept, Long, Names, Text, Value
from gmm_spark.em import Acceleration
from gmm_spark.mixture.parameters import Family
from gmm_spark.options import OPTIONS, InitMode, Resume
from gmm_spark.statistics.engines import Precision


class Section(BaseModel):
    """A group of options: immutable, and closed to names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("a number or text (YAML reads yes, no, on and off as true and false: put words in quotes)")
        return value


def of_fit(name: str, more: str = "", **own: Any) -> Any:  # noqa: ANN401 - a field of whatever type
    """Return the field for an option of a fit.

    Args:
        name: of the option in `OPTIONS`.
        more: what the help says besides.
        own: what is of another kind in a job, such as its default.
    """
    each = OPTIONS[name]
    # The bounds of an option that may be a word too are in its type.
    bounds = {"ge": each.least, "le": each.most} if each.kinds and not each.words else {}
    finite = {name: value for name, value in bounds.items() if math.isfinite(value)}
    if float in each.kinds and not each.words:
        finite["allow_inf_nan"] = False
    return Field(**{"default": each.default, "description": each.doc + more, **finite, **own})


class LogsConfig(Section):
    """What the job logs while it runs, on stderr."""

    format: Literal["text", "json", "auto"] = Field(
        default="text", description="One line an event as text, as JSON, or auto: JSON unless stderr is a terminal."
    )


def _last_of_each(options: dict[str, Value]) -> dict[str, Value]:
    """Return the options without those that a later layer gives in another case, as environment variables do."""
    last = {name.casefold(): name for name in options}
    if not all(map(str.strip, options)):
        raise ValueError("a name for each option")
    return {name: value for name, value in options.items() if last[name.casefold()] == name}


class InputConfig(Section):
    """The rows that the job reads."""

    path: Text | None = Field(
        default=None, description="File or folder to read, on any filesystem that Spark reaches; may hold * patterns."
    )
    table: Text | None = Field(default=None, description="Name of a catalog table to read, instead of a path.")
    format: Text = Field(
        default="parquet",
        description="Spark's name of the format of the files under input.path: parquet, orc, csv, json, delta ...",
    )
    schema_ddl: Text | None = Field(
        default=None,
        description="Columns and types of the files, such as 'x DOUBLE, y DOUBLE'; null reads them from the files.",
    )
    options: Annotated[dict[str, Value], AfterValidator(_last_of_each)] = Field(
        default={}, description="Options for Spark's reader: header=true, or --input.options.header=true."
    )
    where: Text | None = Field(
        default=None, description="Rows to keep, as an SQL condition. It is run as code: never from untrusted input."
    )

    @model_validator(mode="after")
    def _one_place(self) -> InputConfig:
        if (self.path is None) == (self.table is None):
            raise ValueError("exactly one of input.path and input.table (null unsets one that a file has set)")
        if self.table is not None and (self.format, self.schema_ddl) != ("parquet", None):
            raise ValueError("no input.format and no input.schema_ddl beside input.table: a table knows its own")
        return self


class FeaturesConfig(Section):
    """The columns that the mixture describes."""

    columns: Names | None = of_fit("input_cols", min_length=1)
    column: Text | None = of_fit("features_col", default=None)
    weight: Text | None = of_fit("weight_col")

    @model_validator(mode="after")
    def _one_form(self) -> FeaturesConfig:
        if (self.columns is None) == (self.column is None):
            raise ValueError("exactly one of features.columns and features.column")
        return self


class MixtureConfig(Section):
    """The mixture to fit."""

    k: int = of_fit("k")
    family: Family = of_fit("family")


class EstimationConfig(Section):
    """How mixtures are fitted."""

    max_iter: int = of_fit("max_iter")
    tol: float = of_fit("tol")
    seed: int = of_fit("seed")
    init_mode: InitMode = of_fit("init_mode")
    starts: int = of_fit("starts")
    acceleration: Acceleration = of_fit("acceleration")
    covariance_floor: float = of_fit("covariance_floor")
    covariance_prior: Amount | Literal["auto"] = of_fit("covariance_prior")
    min_component_weight: Amount | Literal["auto"] = of_fit("min_component_weight")
    noise: bool = of_fit("noise")
    precision: Precision = of_fit("precision")
    invalid: Literal["fail", "drop", "quarantine"] = Field(
        default="fail",
        description="Rows with null, NaN, infinite or misshapen features: stop, or leave them out and count them, "
        "or also write them to quality.quarantine_path.",
    )
    require_convergence: bool = Field(
        default=False, description="Publish nothing and end with status 5 unless the fit converged."
    )


class FittingConfig(EstimationConfig):
    """How one mixture is fitted."""

    resume: Resume = of_fit("resume")
    checkpoint_seconds: float = of_fit("seconds")


class QualityConfig(Section):
    """How many unusable rows are too many."""

    max_invalid_fraction: float = of_fit(
        "max_invalid_fraction", " Then nothing is published, and the job ends with status 4."
    )


class FitQualityConfig(QualityConfig):
    """How many unusable rows are too many, and where they go."""

    quarantine_path: Text | None = Field(
        default=None,
        description="Table of unusable rows as they came, with a column _errors; each run adds a folder run_id=...",
    )


class ScoreQualityConfig(QualityConfig):
    """How many rows without a posterior are too many. Where no row has one, nothing is published in any case."""

    warn_invalid_fraction: float = Field(
        default=0.05,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of rows without a posterior above which log, summary and manifest warn.",
    )


class StartConfig(Section):
    """What the fit takes over from an earlier model."""

    model: Text | None = Field(
        default=None,
        description="Model directory to go on from: EM starts there, on all rows; null searches for a start.",
    )
    align_to: Text | None = Field(
        default=None,
        description="Model directory whose component numbers are kept: each component gets the number of the one that "
        "it resembles; null orders them by weight.",
    )


class ModelConfig(Section):
    """The fitted model to use."""

    path: Text = Field(description="Model directory that the fit job wrote.")


class OutputConfig(Section):
    """Where the result goes."""

    path: Text = Field(description="Folder to write, on any filesystem that Spark reaches.")
    mode: Literal["create", "overwrite", "runs"] = Field(
        default="create",
        description="An existing folder is refused (create), replaced by the complete new one (overwrite), or keeps "
        "a folder a run and a pointer to the last (runs).",
    )
    retain: Count | None = Field(
        default=None, ge=1, description="How many run folders output.mode=runs keeps; null keeps all."
    )

    replace_foreign: bool = Field(
        default=False,
        description="Replace also what gmm_spark did not write and what is no plain Parquet table: a file, a folder "
        "with anything else in it, a Delta, Iceberg or Hudi table. All of it is lost.",
    )

    @model_validator(mode="after")
    def _retains_runs(self) -> OutputConfig:
        if self.retain is not None and self.mode != "runs":
            raise ValueError("output.retain with output.mode=runs only")
        if self.replace_foreign and self.mode not in {"overwrite", "partitions"}:
            raise ValueError("output.replace_foreign with output.mode=overwrite or partitions only")
        return self


class ScoredConfig(OutputConfig):
    """Where the scored rows go, and in what form. The format is Parquet."""

    mode: Literal["create", "overwrite", "runs", "partitions"] = Field(  # type: ignore[assignment] # wider here
        default="create",
        description="An existing folder is refused (create), replaced by the complete new one (overwrite), keeps a "
        "folder a run and a pointer to the last (runs), or has those partitions replaced that are in the result "
        "(partitions).",
    )

    keep: Kept = Field(default="all", description="Input columns to keep, in this order, or the word all.")
    partition_by: Names | None = Field(
        default=None, description="Columns that become folders; null takes those of the input, [] none."
    )
    probability: Literal["float", "double"] = Field(
        default="float", description="Precision of the numbers in the column probability: float or double."
    )
    compression: Literal["snappy", "zstd", "gzip", "lz4", "none"] = Field(
        default="zstd", description="Codec of the Parquet files: snappy, zstd, gzip, lz4 or none."
    )


class RunConfig(Section):
    """Which run this is."""

    id: Annotated[str, Field(min_length=1, max_length=250, pattern=r"^[!-~]+$")] | None = Field(
        default=None,
        description="Name of this run; null takes the scheduler's, or makes one. Twice the same does nothing.",
    )


class SampleConfig(Section):
    """The rows to draw."""

    rows: Long = Field(description="Number of rows to draw from the mixture.", ge=1)
    seed: Long = Field(default=0, ge=-(2**63), description="Seed of the draw.")
