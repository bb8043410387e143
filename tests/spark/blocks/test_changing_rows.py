"""A table that gives other rows at the second read is refused; one that gives the same rows is never refused."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gmm_spark import GaussianMixture
from gmm_spark.errors import InputError
from gmm_spark.spark.fit import train
from gmm_spark.spark.ml import select
from gmm_spark.spark.selection import fit_grid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from pyspark.sql import SparkSession

ROWS = 400


def rows() -> NDArray[np.float64]:
    """Return two clusters in two columns, one of them far from the origin, and a weight of 1."""
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 3)) + np.r_[1e6, -3.0, 2.0]
    x[::2, :2] += 7
    x[:, 2] = 1
    return np.asarray(x)


def write(file: Path, x: NDArray[np.float64]) -> None:
    """Write the rows to a file whose size depends only on their number: Spark relies on the size it has listed."""
    table = pa.table(dict(zip(("a", "b", "w"), x.T, strict=True)))
    pq.write_table(table, file, compression="none", use_dictionary=False, write_statistics=False)


def change_after(survey: str, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Change the table after the survey and before packing."""
    module: Any = {"fit": train, "select": fit_grid}[survey]
    before = module.prepare

    def prepare(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        table = before(*arguments, **options)
        change()
        return table

    monkeypatch.setattr(module, "prepare", prepare)


def run_fit(spark: SparkSession, folder: Path, how: str, weight: str | None) -> None:
    """Fit the table in the folder, by `fit` or by `select`."""
    mixture = GaussianMixture(k=2, inputCols=["a", "b"], starts=2, maxIter=5, seed=1)
    if weight is not None:
        mixture.set(mixture.weightCol, weight)
    table = spark.read.parquet(str(folder))
    if how == "fit":
        mixture.fit(table)
    else:
        select.select(table, mixture, [1, 2], ["full", "diag"], holdout=0.25)


@pytest.mark.parametrize("weight", [None, "w"])
@pytest.mark.parametrize("how", ["fit", "select"])
def test_a_row_that_changes_between_two_reads_ends_the_fit(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, weight: str | None
) -> None:
    """One value of 800 changes by one unit, and the error names its column."""
    x = rows()
    write(tmp_path / "0.parquet", x)
    changed = x.copy()
    changed[7, 1] += 1
    change_after(how, monkeypatch, partial(write, tmp_path / "0.parquet", changed))
    with pytest.raises(InputError, match=r"a mean of 'b' .* other rows each time"):
        run_fit(spark, tmp_path, how, weight)


@pytest.mark.classic_only
@pytest.mark.parametrize("how", ["fit", "select"])
def test_weights_that_change_between_two_reads_end_the_fit(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A change of one weight ends the fit."""
    x = rows()
    write(tmp_path / "0.parquet", x)
    changed = x.copy()
    changed[0, 2] = 2
    change_after(how, monkeypatch, partial(write, tmp_path / "0.parquet", changed))
    with pytest.raises(InputError, match="401 as their total weight; expected 400"):
        run_fit(spark, tmp_path, how, "w")


@pytest.mark.classic_only
@pytest.mark.parametrize("how", ["fit", "select"])
def test_a_row_that_becomes_unusable_between_two_reads_ends_the_fit(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The survey had no unusable rows; packing skips one, and the number of rows differs."""
    x = rows()
    write(tmp_path / "0.parquet", x)
    changed = x.copy()
    changed[5, 0] = np.nan
    change_after(how, monkeypatch, partial(write, tmp_path / "0.parquet", changed))
    with pytest.raises(InputError, match="got 399 rows; expected 400 rows"):
        run_fit(spark, tmp_path, how, None)


@pytest.mark.classic_only
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_unchanged_rows_are_never_refused(spark: SparkSession, precision: str, offset: float) -> None:
    """Rounding is no change: an offset of 1e9 deviations, columns of very different scale, and float32."""
    random = np.random.default_rng(1)
    x = random.normal(size=(ROWS, 3)) @ np.array([[1.0, 1.0, 0.0], [0.0, 1e-5, 0.0], [0.0, 0.0, 1e6]]) + offset
    table = spark.createDataFrame(pa.table(dict(zip("abc", x.T, strict=True))))
    mixture = GaussianMixture(k=1, inputCols=list("abc"), maxIter=1, precision=precision)
    model = mixture.fit(table.repartition(3))
    assert model.summary.numRows == ROWS


@pytest.mark.classic_only
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_rounding_of_a_far_row_is_no_change(spark: SparkSession, precision: str) -> None:
    """At 1e9 deviations float32 rounds the row by 30 deviations, in the blocks but not in the survey."""
    x = np.random.default_rng(2).normal(size=(ROWS, 2))
    x[3] = 1.1234567e9
    table = spark.createDataFrame(pa.table(dict(zip("ab", x.T, strict=True))))
    mixture = GaussianMixture(k=1, inputCols=list("ab"), maxIter=1, precision=precision, covarianceType="diag")
    assert mixture.fit(table.repartition(3)).summary.numRows == ROWS
