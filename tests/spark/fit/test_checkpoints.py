"""A fit whose driver dies resumes from its last checkpoint, and gives the same model."""

from __future__ import annotations

import gzip
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.errors import CheckpointError
from tests.spark.frames import assert_same_bits, clusters, names, numbered, start, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

LIMITED: dict[str, Any] = {"k": 3, "inputCols": names(3), "maxIter": 5, "tol": 1e-9}


class DriverDeath(BaseException):
    """Simulates the death of the driver within the process of the test."""


class Breaker(logging.Handler):
    """Ends the fit when it logs the nth pass."""

    def __init__(self, number: int) -> None:
        super().__init__(logging.INFO)
        self.number = number

    def emit(self, record: logging.LogRecord) -> None:
        """Raise at the nth pass."""
        if record.getMessage().startswith(f"pass {self.number}:"):
            raise DriverDeath


@pytest.fixture
def df(spark: SparkSession, tmp_path: Path) -> Iterator[DataFrame]:
    """Give a table that gives the same rows at each read."""
    table(spark, **numbered(clusters())).write.parquet(f"{tmp_path}/table")
    logging.getLogger("gmm_spark").setLevel(logging.INFO)
    yield spark.read.parquet(f"{tmp_path}/table")
    logging.getLogger("gmm_spark").setLevel(logging.NOTSET)


def fit(df: DataFrame, folder: Path | None = None, **params: Any) -> GaussianMixtureModel:  # noqa: ANN401 - params
    """Fit from the start of `frames`, with a checkpoint after each pass if there is a folder."""
    place = {} if folder is None else {"checkpointDir": str(folder), "checkpointSeconds": 0.0}
    return GaussianMixture(**{**LIMITED, **place, **params}).setInitialModel(start()).fit(df)


def break_off(df: DataFrame, folder: Path, number: int, **params: Any) -> None:  # noqa: ANN401 - params
    """Fit until the nth pass is logged, then die."""
    breaker = Breaker(number)
    logging.getLogger("gmm_spark").addHandler(breaker)
    try:
        with pytest.raises(DriverDeath):
            fit(df, folder, **params)
    finally:
        logging.getLogger("gmm_spark").removeHandler(breaker)


def files(folder: Path) -> list[Path]:
    """Return the checkpoint files that are not empty."""
    return [file for file in folder.glob("*/part-*") if file.stat().st_size]


def test_an_interrupted_fit_resumes(df: DataFrame, tmp_path: Path) -> None:
    """The rerun repeats one pass, gives the same bits as an uninterrupted fit, and leaves no checkpoint."""
    folder = tmp_path / "checkpoints"
    break_off(df, folder, 4)
    assert len(files(folder)) == 2
    resumed = fit(df, folder, resume="require")
    assert resumed.summary.resumedPasses == 3
    resumed._summary = replace(resumed.summary, resumedPasses=0)  # noqa: SLF001 - the only field that may differ
    assert_same_bits(resumed, fit(df))
    assert files(folder) == []


@pytest.mark.classic_only
def test_a_checkpoint_of_another_fit_is_not_used(
    df: DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With other options or rows `require` raises with the difference, `auto` logs it and starts again."""
    folder = tmp_path / "checkpoints"
    break_off(df, folder, 2)
    with pytest.raises(CheckpointError, match="tol 1e-09 in the checkpoint, 1e-08 in this fit"):
        fit(df, folder, resume="require", tol=1e-8)
    with pytest.raises(CheckpointError, match="rows 600 in the checkpoint, 599 in this fit"):
        fit(df.where(f"x0 <> {float(clusters()[0, 0])!r}"), folder, resume="require")
    other = fit(df, folder, tol=1e-8)
    assert other.summary.resumedPasses == 0
    assert "starting again" in caplog.text
    assert "tol 1e-09 in the checkpoint, 1e-08 in this fit" in caplog.text


@pytest.mark.classic_only
def test_a_damaged_checkpoint_is_not_used(df: DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The fit resumes from the previous one; if both are damaged `require` raises, `auto` starts again: same model."""
    folder = tmp_path / "checkpoints"
    break_off(df, folder, 4)
    latest = max(files(folder), key=lambda file: file.stat().st_mtime)
    latest.write_bytes(latest.read_bytes()[:-40])  # Hadoop's own checksum of the file is wrong now
    (other,) = set(files(folder)) - {latest}
    bomb = other.with_name("part-0.txt.gz")
    bomb.write_bytes(gzip.compress(b"x" * 1000))  # could unpack to any size: such a file is not read
    break_off(df, folder, 3, resume="require")  # resumes from pass 2, and dies at pass 3 again
    bomb.unlink(missing_ok=True)
    for file in files(folder):
        file.with_name(f".{file.name}.crc").unlink()
        file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="cut short or changed"):
        fit(df, folder, resume="require")
    assert_same_bits(fit(df, folder), fit(df))
    assert "starting again" in caplog.text


@pytest.mark.slow
@pytest.mark.classic_only
def test_never_ignores_checkpoints_and_require_needs_one(df: DataFrame, tmp_path: Path) -> None:
    """resume="never" ignores a checkpoint; resume="require" raises an error without one."""
    folder = tmp_path / "checkpoints"
    with pytest.raises(CheckpointError, match="got none"):
        fit(df, folder, resume="require")
    break_off(df, folder, 3)
    assert fit(df, folder, resume="never", keepLastCheckpoint=True).summary.resumedPasses == 0
    assert fit(df, folder, resume="require").summary.resumedPasses == 6  # the whole fit, stored on request


@pytest.mark.slow
@pytest.mark.classic_only
def test_a_checkpoint_that_fails_does_not_fail_the_fit(
    df: DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If no checkpoint can be written, each pass logs a warning, and the model is the same."""
    (tmp_path / "file").write_text("not a folder")
    resumed = fit(df, tmp_path / "file" / "checkpoints")
    assert "no checkpoint of pass 2" in caplog.text
    assert_same_bits(resumed, fit(df))


@pytest.mark.slow
@pytest.mark.classic_only
def test_the_search_for_starts_is_not_repeated(df: DataFrame, tmp_path: Path) -> None:
    """A fit that died after its search for a start resumes without another search."""
    folder = tmp_path / "checkpoints"
    params: dict[str, Any] = {**LIMITED, "starts": 3, "checkpointDir": str(folder), "checkpointSeconds": 0.0}
    breaker = Breaker(1)
    logging.getLogger("gmm_spark").addHandler(breaker)
    try:
        with pytest.raises(DriverDeath):
            GaussianMixture(**params).fit(df)
    finally:
        logging.getLogger("gmm_spark").removeHandler(breaker)
    resumed = GaussianMixture(**params, resume="require").fit(df)
    assert "starts" not in resumed.summary.seconds
    assert_same_bits(resumed, GaussianMixture(**{**LIMITED, "starts": 3}).fit(df))
