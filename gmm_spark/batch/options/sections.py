"""The options by section. `gmm_spark.options` defines default, help and check of fit options, this module the others.

Names are those of the Python API in snake_case; types are in `option_types`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from gmm_spark.batch.options.option_types import Amount, ColumnsOrAll, Count, Long, Names, Text, Value
from gmm_spark.em import Acceleration
from gmm_spark.mixture.parameters import Family
from gmm_spark.options import OPTIONS, InitMode, Resume
from gmm_spark.statistics.engines import Precision


class Section(BaseModel):
    """A group of options: immutable, unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("a number or text (YAML reads yes, no, on and off as true and false: put words in quotes)")
        return value


def fit_option(name: str, more: str = "", **own: Any) -> Any:  # noqa: ANN401 - a field of whatever type
    """Return the pydantic field for an option of a fit.

    Args:
        name: the option's name in `OPTIONS`.
        more: text to add to the help.
        own: arguments of the field that differ in a job, such as the default.
    """
    option = OPTIONS[name]
    # An option that may also be a word has its bounds in its type.
    bounds = {"ge": option.least, "le": option.most} if option.kinds and not option.words else {}
    finite = {name: value for name, value in bounds.items() if math.isfinite(value)}
    if float in option.kinds and not option.words:
        finite["allow_inf_nan"] = False
    return Field(**{"default": option.default, "description": option.doc + more, **finite, **own})


class LogsConfig(Section):
    """What the job logs while it runs, on stderr."""

    format: Literal["text", "json", "auto"] = Field(
        default="text", description="One line per event: text, json, or auto (text if stderr is a terminal, else JSON)."
    )


def _last_of_each(options: dict[str, Value]) -> dict[str, Value]:
    """Keep the last of the options whose names differ only in case: environment variables change the case of names."""
    last = {name.casefold(): name for name in options}
    if not all(map(str.strip, options)):
        raise ValueError("a name for each option")
    return {name: value for name, value in options.items() if last[name.casefold()] == name}


class InputConfig(Section):
    """The rows that the job reads."""

    path: Text | None = Field(
        default=None,
        description="File or folder to read, on any filesystem that Spark reaches; may contain * patterns.",
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
        default=None, description="SQL condition on the rows. It is run as code: never take it from untrusted input."
    )

    @model_validator(mode="after")
    def _one_place(self) -> InputConfig:
        if (self.path is None) == (self.table is None):
            raise ValueError("exactly one of input.path and input.table (null unsets one that a file has set)")
        if self.table is not None and (self.format, self.schema_ddl) != ("parquet", None):
            raise ValueError("no input.format and no input.schema_ddl beside input.table: the catalog knows both")
        return self


class FeaturesConfig(Section):
    """The columns that the mixture describes."""

    columns: Names | None = fit_option("input_cols", min_length=1)
    column: Text | None = fit_option("features_col", default=None)
    weight: Text | None = fit_option("weight_col")

    @model_validator(mode="after")
    def _one_form(self) -> FeaturesConfig:
        if (self.columns is None) == (self.column is None):
            raise ValueError("exactly one of features.columns and features.column")
        return self


class MixtureConfig(Section):
    """The mixture to fit."""

    k: int = fit_option("k")
    family: Family = fit_option("family")


class EstimationConfig(Section):
    """How mixtures are fitted."""

    max_iter: int = fit_option("max_iter")
    tol: float = fit_option("tol")
    seed: int = fit_option("seed")
    init_mode: InitMode = fit_option("init_mode")
    starts: int = fit_option("starts")
    acceleration: Acceleration = fit_option("acceleration")
    covariance_floor: float = fit_option("covariance_floor")
    covariance_prior: Amount | Literal["auto"] = fit_option("covariance_prior")
    min_component_weight: Amount | Literal["auto"] = fit_option("min_component_weight")
    noise: bool = fit_option("noise")
    precision: Precision = fit_option("precision")
    invalid: Literal["fail", "drop", "quarantine"] = Field(
        default="fail",
        description="Rows with null, NaN, infinite or misshapen features: stop (fail), leave them out and count them "
        "(drop), or also write them to quality.quarantine_path (quarantine).",
    )
    require_convergence: bool = Field(
        default=False, description="Publish nothing and end with status 5 unless the fit converged."
    )


class FittingConfig(EstimationConfig):
    """How one mixture is fitted."""

    resume: Resume = fit_option("resume")
    checkpoint_seconds: float = fit_option("seconds")


class QualityConfig(Section):
    """The limits of unusable rows."""

    max_invalid_fraction: float = fit_option(
        "max_invalid_fraction", " Then nothing is published, and the job ends with status 4."
    )


class FitQualityConfig(QualityConfig):
    """The limits of unusable rows, and where these rows are written."""

    quarantine_path: Text | None = Field(
        default=None,
        description="Table for unusable rows, unchanged but with a column _errors; each run adds a folder run_id=...",
    )


class ScoreQualityConfig(QualityConfig):
    """The limits of rows without a posterior. If no row has a posterior, nothing is published in any case."""

    warn_invalid_fraction: float = Field(
        default=0.05,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of rows without a posterior above which log, summary and manifest have a warning.",
    )


class StartConfig(Section):
    """What the fit takes from an earlier model."""

    model: Text | None = Field(
        default=None,
        description="Model directory from which EM starts, on all rows; null searches for a start.",
    )
    align_to: Text | None = Field(
        default=None,
        description="Model directory that sets the component numbers: each component gets the number of the most "
        "similar component there; null orders components by weight.",
    )


class ModelConfig(Section):
    """The fitted model to use."""

    path: Text = Field(description="Model directory that the fit job wrote.")


class OutputConfig(Section):
    """Where the result is written."""

    path: Text = Field(description="Folder to write, on any filesystem that Spark reaches.")
    mode: Literal["create", "overwrite", "runs"] = Field(
        default="create",
        description="An existing folder is refused (create), replaced by the complete new one (overwrite), or gets "
        "a new subfolder for each run and a pointer to the last (runs).",
    )
    retain: Count | None = Field(
        default=None, ge=1, description="Number of run folders that output.mode=runs keeps; null keeps all."
    )

    replace_foreign: bool = Field(
        default=False,
        description="Also replace an output that is neither of gmm_spark nor a plain Parquet table: a file, a folder "
        "with other content, a Delta, Iceberg or Hudi table. All of it is lost.",
    )

    @model_validator(mode="after")
    def _retains_runs(self) -> OutputConfig:
        if self.retain is not None and self.mode != "runs":
            raise ValueError("output.retain with output.mode=runs only")
        if self.replace_foreign and self.mode not in {"overwrite", "partitions"}:
            raise ValueError("output.replace_foreign with output.mode=overwrite or partitions only")
        return self


class ScoredConfig(OutputConfig):
    """Where and in what form the scored rows are written. The format is Parquet."""

    mode: Literal["create", "overwrite", "runs", "partitions"] = Field(  # type: ignore[assignment] # wider here
        default="create",
        description="An existing folder is refused (create), replaced by the complete new one (overwrite), gets a new "
        "subfolder for each run and a pointer to the last (runs), or has only the partitions of the result replaced "
        "(partitions).",
    )

    keep: ColumnsOrAll = Field(default="all", description="Input columns to keep, in this order, or the word all.")
    partition_by: Names | None = Field(
        default=None, description="Columns that become folders; null: as in the input, []: none."
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
        description="Name of this run; null: the scheduler's id or a new one. The same name again does nothing.",
    )


class SampleConfig(Section):
    """The rows to draw."""

    rows: Long = Field(description="Number of rows to draw from the mixture.", ge=1)
    seed: Long = Field(default=0, ge=-(2**63), description="Seed of the draw.")
