"""The real data of the published tables, if it is present."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray

LABELS = {"iris": "Species", "satellite": "classes", "letter": "lettr", "shuttle": "Class", "cover": "outlier"}


class RealData:
    """The files of GMM_SPARK_DATA, each read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cache  # noqa: B019 - lives as long as the session
    def rows(self, name: str) -> FloatArray:
        """Return the numeric columns of a set as (n, d), without its labels."""
        table = self._table(name).drop_columns(
            [*{LABELS.get(name), "rownames"}.intersection(self._table(name).column_names)]
        )
        return np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float64)

    def labels(self, name: str) -> np.ndarray:
        """Return the (n,) class of each row, numbered in alphabetical order."""
        values = self._table(name).column(LABELS[name]).to_pylist()
        return np.unique(np.array([str(value) for value in values]), return_inverse=True)[1]

    @property
    def expected(self) -> dict[str, Any]:
        """The reference values of expected.json."""
        return dict(json.loads((self.folder / "expected.json").read_text()))

    @cache  # noqa: B019
    def _table(self, name: str) -> pyarrow.Table:
        csv = self.folder / f"{name}.csv"
        return (
            pyarrow.csv.read_csv(csv) if csv.exists() else pyarrow.parquet.read_table(self.folder / f"{name}.parquet")
        )


@pytest.fixture(scope="session")
def data() -> RealData:
    """The real data sets, or a skip that says how to get them."""
    folder = os.environ.get("GMM_SPARK_DATA")
    if not folder:
        pytest.skip("GMM_SPARK_DATA is unset: point it at the folder with faithful.csv, iris.csv and expected.json")
    return RealData(Path(folder))
