"""A fit whose driver goes away goes on from its last checkpoint, and ends as if nothing had happened."""

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


class BrokenOff(BaseException):
    """The end of a driver, as near as a test in its process can come to it."""


class Breaker(logging.Handler):
    """Ends the fit when it logs a pass."""

    def __init__(self, number: int) -> None:
        super().__init__(logging.INFO)
        self.number = number

    def emit(self, record: logging.LogRecord) -> None:
        """Break off."""
        if record.getMessage().startswith(f"pass {self.number}:"):
            raise BrokenOff


@pytest.fixture
def df(spark: SparkSession, tmp_path: Path) -> Iterator[DataFrame]:
    """Give a table that reads the same each time."""
    table(spark, **numbered(clusters())).write.parquet(f"{tmp_path}/table")
    logging.getLogger("gmm_spark").setLevel(logging.INFO)
    yield spark.read.parquet(f"{tmp_path}/table")
    logging.getLogger("gmm_spark").setLevel(logging.NOTSET)


def fit(df: DataFrame, kept: Path | None = None, **params: Any) -> GaussianMixtureModel:  # noqa: ANN401 - params
    """Fit from the known start; with a checkpoint after each pass, if anywhere."""
    place = {} if kept is None else {"checkpointDir": str(kept), "checkpointSeconds": 0.0}
    return GaussianMixture(**{**LIMITED, **place, **params}).setInitialModel(start()).fit(df)


def break_off(df: DataFrame, kept: Path, number: int, **params: Any) -> None:  # noqa: ANN401 - params
    """Fit until the nth pass is logged."""
    breaker = Breaker(number)
    logging.getLogger("gmm_spark").addHandler(breaker)
    try:
        with pytest.raises(BrokenOff):
            fit(df, kept, **params)
    finally:
        logging.getLogger("gmm_spark").removeHandler(breaker)


def files(kept: Path) -> list[Path]:
    """Return the files of checkpoints that hold anything."""
    return [file for file in kept.glob("*/part-*") if file.stat().st_size]


def test_a_fit_that_was_broken_off_goes_on(df: DataFrame, tmp_path: Path) -> None:
    """The rerun repeats one pass, ends with the bits of an unbroken fit, and leaves no checkpoint behind."""
    kept = tmp_path / "kept"
    break_off(df, kept, 4)
    assert len(files(kept)) == 2
    ended = fit(df, kept, resume="require")
    assert ended.summary.resumedPasses == 3
    ended._summary = replace(ended.summary, resumedPasses=0)  # noqa: SLF001 - the one thing that may differ
    assert_same_bits(ended, fit(df))
    assert files(kept) == []


@pytest.mark.classic_only
def test_another_fit_is_not_gone_on_with(df: DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With other options or other rows `require` refuses and names what differs, `auto` says so and starts again."""
    kept = tmp_path / "kept"
    break_off(df, kept, 2)
    with pytest.raises(CheckpointError, match="tol 1e-09 in the checkpoint, 1e-08 in this fit"):
        fit(df, kept, resume="require", tol=1e-8)
    with pytest.raises(CheckpointError, match="rows 600 in the checkpoint, 599 in this fit"):
        fit(df.where(f"x0 <> {float(clusters()[0, 0])!r}"), kept, resume="require")
    other = fit(df, kept, tol=1e-8)
    assert other.summary.resumedPasses == 0
    assert "starting again" in caplog.text
    assert "tol 1e-09 in the checkpoint, 1e-08 in this fit" in caplog.text


@pytest.mark.classic_only
def test_a_damaged_checkpoint_is_not_gone_on_with(
    df: DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The one before it is taken; with both damaged `require` refuses, `auto` starts again to the same model."""
    kept = tmp_path / "kept"
    break_off(df, kept, 4)
    latest = max(files(kept), key=lambda file: file.stat().st_mtime)
    latest.write_bytes(latest.read_bytes()[:-40])  # Hadoop's own checksum of the file is wrong now
    (other,) = set(files(kept)) - {latest}
    bomb = other.with_name("part-0.txt.gz")
    bomb.write_bytes(gzip.compress(b"x" * 1000))  # of any size once it is unpacked: not one of gmm_spark, and not read
    break_off(df, kept, 3, resume="require")  # it goes on from pass 2, and so to pass 3 once more
    bomb.unlink(missing_ok=True)
    for file in files(kept):
        file.with_name(f".{file.name}.crc").unlink()
        file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="cut short or changed"):
        fit(df, kept, resume="require")
    assert_same_bits(fit(df, kept), fit(df))
    assert "starting again" in caplog.text


@pytest.mark.slow
@pytest.mark.classic_only
def test_never_does_not_look_and_require_wants_one(df: DataFrame, tmp_path: Path) -> None:
    """resume="never" starts again beside a checkpoint; resume="require" refuses to begin where there is none."""
    kept = tmp_path / "kept"
    with pytest.raises(CheckpointError, match="got none"):
        fit(df, kept, resume="require")
    break_off(df, kept, 3)
    assert fit(df, kept, resume="never", keepLastCheckpoint=True).summary.resumedPasses == 0
    assert fit(df, kept, resume="require").summary.resumedPasses == 6  # the whole fit, which was kept on request


@pytest.mark.slow
@pytest.mark.classic_only
def test_a_checkpoint_that_fails_does_not_fail_the_fit(
    df: DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be written the log says so at each pass, and the model is the same."""
    (tmp_path / "file").write_text("not a folder")
    ended = fit(df, tmp_path / "file" / "kept")
    assert "no checkpoint of pass 2" in caplog.text
    assert_same_bits(ended, fit(df))


@pytest.mark.slow
@pytest.mark.classic_only
def test_the_search_for_starts_is_not_repeated(df: DataFrame, tmp_path: Path) -> None:
    """A fit without a given model goes on from the start that it had found, at once."""
    kept = tmp_path / "kept"
    params: dict[str, Any] = {**LIMITED, "starts": 3, "checkpointDir": str(kept), "checkpointSeconds": 0.0}
    breaker = Breaker(1)
    logging.getLogger("gmm_spark").addHandler(breaker)
    try:
        with pytest.raises(BrokenOff):
            GaussianMixture(**params).fit(df)
    finally:
        logging.getLogger("gmm_spark").removeHandler(breaker)
    ended = GaussianMixture(**params, resume="require").fit(df)
    assert "starts" not in ended.summary.seconds
    assert_same_bits(ended, GaussianMixture(**{**LIMITED, "starts": 3}).fit(df))
