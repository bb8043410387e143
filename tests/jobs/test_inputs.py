"""Tables of unusual layout: one file with rows among many empty ones, one row group over many partitions, one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs.submission import JOBS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(600)

ROWS, BYTES = 4000, 24_000
FIT = ["--features.columns=x,y", "--fit.max_iter=2", "--fit.tol=0", "--fit.starts=2"]
SCORE = ["--model.path=alone-model"]
# So small that each file, and each part of a file, is a partition of its own.
SMALL = {"spark.sql.files.maxPartitionBytes": BYTES, "spark.sql.files.openCostInBytes": BYTES}
THOUSAND = pytest.param(1000, marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[5, THOUSAND])
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, application: Application
) -> tuple[Path, dict[str, Any]]:
    """Fit and score each table, the whole one as one partition, the others as many; return the output of each job."""
    folder, generator = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    x = generator.normal(size=(ROWS, 2)) + 5.0 * (np.arange(ROWS) % 2)[:, None]
    table = pa.table({"id": np.arange(ROWS), "x": x[:, 0], "y": x[:, 1]})
    for name in ("alone", "many", "one"):
        (folder / name).mkdir()
    pq.write_table(table.slice(0, 1), folder / "one" / "0.parquet")
    pq.write_table(table, folder / "alone" / "0.parquet", row_group_size=ROWS)
    assert (folder / "alone" / "0.parquet").stat().st_size > 2 * BYTES  # three partitions, and one row group for them
    for part in range(request.param):
        rows = table if part == request.param // 2 else table.slice(0, 0)
        pq.write_table(rows, folder / "many" / f"{part:04}.parquet")

    def fit(name: str, where: str) -> tuple[str, list[str]]:
        return f"{JOBS}/fit.py", [f"--input.path={where}", *FIT, f"--output.path={name}-model"]

    def score(name: str, where: str) -> tuple[str, list[str]]:
        return f"{JOBS}/score.py", [f"--input.path={where}", *SCORE, f"--output.path={name}-scored"]

    whole = application.run(folder, {"fit alone": fit("alone", "alone"), "score one": score("one", "one")})
    parts = {"fit many": fit("many", "many"), "fit group": fit("group", "alone")}
    parts |= {"score many": score("many", "many"), "score group": score("group", "alone")}
    try:
        split = application.run(folder, parts, [f"SET {name}={value}" for name, value in SMALL.items()])
    finally:
        application.run(folder, {}, [f"RESET {name}" for name in SMALL])
    return folder, {**whole, **split}


def test_each_job_succeeds(results: tuple[Path, dict[str, Any]]) -> None:
    """No layout of the input stops a fit or a score."""
    assert {name: each["err"] for name, each in results[1].items() if each["status"]} == {}


@pytest.mark.parametrize("shape", ["many", "group"])
def test_empty_partitions_change_no_bit_of_a_model(results: tuple[Path, dict[str, Any]], shape: str) -> None:
    """The model equals that of the rows alone, wherever the empty partitions are."""
    alone, other = (
        [file.read_bytes() for file in sorted((results[0] / f"{name}-model").glob("components/part-*"))]
        for name in ("alone", shape)
    )
    assert alone == other
    assert f"{ROWS} rows used" in results[1][f"fit {shape}"]["out"]


@pytest.mark.parametrize(("shape", "rows"), [("many", ROWS), ("group", ROWS), ("one", 1)])
def test_every_row_is_scored_once(results: tuple[Path, dict[str, Any]], shape: str, rows: int) -> None:
    """The output has as many rows as the input, each with its posterior."""
    scored = pq.read_table(results[0] / f"{shape}-scored")
    assert sorted(scored["id"].to_pylist()) == list(range(rows))
    assert set(scored["status"].to_pylist()) == {"ok"}
    np.testing.assert_allclose(np.sum(scored["probability"].to_pylist(), axis=1), 1, atol=1e-6)
