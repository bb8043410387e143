"""The options of each job, by section; `layers.py` reads them from file, environment and command line."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations when it runs

from pydantic import PrivateAttr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gmm_spark.batch.options.choices import ChoiceConfig, GridConfig
from gmm_spark.batch.options.sections import (
    EstimationConfig,
    FeaturesConfig,
    FitQualityConfig,
    FittingConfig,
    InputConfig,
    LogsConfig,
    MixtureConfig,
    ModelConfig,
    OutputConfig,
    RunConfig,
    SampleConfig,
    ScoredConfig,
    ScoreQualityConfig,
    StartConfig,
)


class JobConfig(BaseSettings):
    """The options of one job, as `layers.load_options` returns them; equal layers give equal configurations."""

    logs: LogsConfig = LogsConfig()

    _references: Mapping[tuple[str, ...], str] = PrivateAttr(default={})
    _environment: Mapping[str, str] = PrivateAttr(default={})
    _dry_run: bool = PrivateAttr(default=False)

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="GMM_SPARK_", env_nested_delimiter="__", env_parse_none_str="null"
    )

    run: RunConfig = RunConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature, as the next two
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which arrives as keyword arguments."""
        return env_settings, init_settings

    @property
    def references(self) -> Mapping[tuple[str, ...], str]:
        """The text of each option that contains `${env:NAME}` in the file, by the option's path."""
        return self._references

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables that the file refers to."""
        return self._environment

    @property
    def dry_run(self) -> bool:
        """Whether the job only prints what it would do."""
        return self._dry_run

    def note_origin(
        self, references: Mapping[tuple[str, ...], str], environment: Mapping[str, str], *, dry_run: bool
    ) -> None:
        """Store where values come from, so that they are printed without secrets, and whether this is a dry run."""
        self._references, self._environment, self._dry_run = dict(references), dict(environment), dry_run


class EstimatingConfig(JobConfig):
    """The options that all jobs which fit mixtures have."""

    input: InputConfig
    features: FeaturesConfig
    fit: EstimationConfig = EstimationConfig()
    quality: FitQualityConfig = FitQualityConfig()
    output: OutputConfig

    @model_validator(mode="after")
    def _quarantine_has_a_place(self) -> EstimatingConfig:
        if (self.fit.invalid == "quarantine") != (self.quality.quarantine_path is not None):
            raise ValueError("fit.invalid=quarantine and quality.quarantine_path together, or neither")
        return self


class FitConfig(EstimatingConfig):
    """Fit a Gaussian mixture to a table and write the model directory."""

    mixture: MixtureConfig = MixtureConfig()
    start: StartConfig = StartConfig()
    fit: FittingConfig = FittingConfig()


class SelectConfig(EstimatingConfig):
    """Fit many Gaussian mixtures to a table at the same time and choose one of them."""

    grid: GridConfig
    choice: ChoiceConfig = ChoiceConfig()


class ScoreConfig(JobConfig):
    """Write P(Z = k | x) for every row of a table, as Parquet."""

    input: InputConfig
    model: ModelConfig
    quality: ScoreQualityConfig = ScoreQualityConfig()
    output: ScoredConfig


class SimulateConfig(JobConfig):
    """Draw rows from a fitted model and write them as Parquet."""

    model: ModelConfig
    sample: SampleConfig
    output: OutputConfig
