"""The taxi table through a year of nights: the recipe of jobs/README.md, its commands as they are printed there.

A shell runs them with a submit.sh that only writes down what it is called with; one application then runs those jobs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.optimize import linear_sum_assignment

from gmm_spark.store.model_directory import read_model
from gmm_spark.store.run_pointer import follow_pointer
from tests.jobs.submission import JOBS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from gmm_spark.mixture.parameters import Parameters
    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(600)

RECIPE = re.compile(r"```bash\n(lake=.*?)```", re.DOTALL)
RECORDER = '#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done >> submitted\nprintf "\\n" >> submitted\n'
# Prints what a reader finds at this moment, as a job that runs between two others.
LOOK = """
import hashlib, json, pathlib
files = sorted(pathlib.Path("data/taxi-scored").glob("year=*/month=*/*"))
print(json.dumps({str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}))
"""
FEATURES = ("passenger_count", "trip_distance", "fare_amount", "tip_amount")
FEW = ("year=2018/month=08", "year=2019/month=12", "year=2020/month=05")  # the largest fare, few nulls, the most nulls
AGAIN = "year=2019/month=12"
STRICT = ("--quality.max_invalid_fraction=0.1", "--run.id=strict", "--input.where=year=2020 AND month=5")


@dataclass(frozen=True)
class Year:
    """What a year of nights left behind.

    Args:
        folder: where the jobs ran.
        months: the partitions of the input.
        results: how each job ended.
        readings: how many rows a reader found in a partition, each time it looked while jobs ran.
    """

    folder: Path
    months: Sequence[str]
    results: Mapping[str, Any]
    readings: Sequence[tuple[str, int]]

    def manifest(self, output: str, key: str) -> dict[str, Any]:
        """Return the manifest of a run of an output."""
        path = self.folder / output
        (file,) = path.parent.glob(f".{path.name}.gmm_spark/manifests/*{key}*.json")
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return manifest

    def checksums(self, name: str) -> dict[str, str]:
        """Return the checksums of all scored files at one moment, by path."""
        found: dict[str, str] = json.loads(self.results[name]["out"])
        return found

    def model(self, key: str) -> Parameters:
        """Return the model of one night."""
        return read_model(self.folder / "models" / "taxi" / "runs" / key).parameters


def recipe(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield job and arguments of each command of the recipe in jobs/README.md, as a shell parses it."""
    (script,) = RECIPE.findall((ROOT / "jobs" / "README.md").read_text(encoding="utf-8"))
    (folder / "scripts").mkdir()
    submit = folder / "scripts" / "submit.sh"
    submit.write_text(RECORDER)
    submit.chmod(0o755)
    subprocess.run(["bash", "-euc", script], cwd=folder, check=True)  # noqa: S607 - from the PATH, as env finds it
    for line in (folder / "submitted").read_text().splitlines():
        job, *words = line.split("\0")[:-1]
        yield job, words


def named(submitted: Iterator[tuple[str, list[str]]], folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Return the recipe's jobs by their run ids, with a read before and after the month that came twice."""
    jobs: dict[str, tuple[str, list[str]]] = {}
    look = str(folder / "look.py")
    for job, words in submitted:
        (run,) = [word.partition("=")[2] for word in words if word.startswith("--run.id=")]
        name = f"{run}, a retry" if run in jobs else run
        if run.endswith("-again"):
            jobs["before"] = (look, [])
        jobs[name] = (str(ROOT / job), words)
        if run.endswith("-again"):
            jobs["after"] = (look, [])
            jobs["strict"] = (str(JOBS / "score.py"), [*words, *STRICT])
            jobs["after strict"] = (look, [])
    return jobs


def rows_in(partition: Path) -> int:
    """Return how many rows a reader finds in a partition; if a file was replaced meanwhile, read it again."""
    while True:
        number = partition.stat().st_ino
        try:
            found: int = sum(pq.read_metadata(file).num_rows for file in partition.glob("*.parquet"))
        except FileNotFoundError:  # a reader of the old partition may lose its files
            continue
        if partition.stat().st_ino == number:
            return found


ALL = pytest.param("all months", marks=[pytest.mark.slow, pytest.mark.timeout(900)])


@pytest.fixture(scope="module", params=["few months", ALL])
def year(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory, application: Application
) -> Year:
    """Run the recipe, and read the scored table all the time."""
    folder, table = tmp_path_factory.mktemp("nightly"), data / "nyc_yellow_taxi"
    months = (
        FEW if request.param == "few months" else sorted(str(each.relative_to(table)) for each in table.glob("*/*"))
    )
    for month in months:
        shutil.copytree(table / month, folder / "data" / "taxi" / month)
    (folder / "look.py").write_text(LOOK)
    jobs = named(recipe(folder), folder)
    over, readings = threading.Event(), list[tuple[str, int]]()

    def read() -> None:
        known = set[Path]()
        while not over.wait(0.05):
            known |= set((folder / "data" / "taxi-scored").glob("year=*/month=*"))
            readings.extend((str(each.relative_to(folder)), rows_in(each)) for each in known)

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(read)
        try:
            results = application.run(folder, jobs)
        finally:
            over.set()
        reader.result()
    return Year(folder, months, results, readings)


def scored(year: Year, month: str) -> pa.Table:
    """Return the scored rows of a month; Spark reads month=08 as the number 8."""
    return pq.read_table(year.folder / "data" / "taxi-scored" / month.replace("month=0", "month="), partitioning=None)


def source(year: Year, month: str) -> pa.Table:
    """Return the input rows of a month."""
    return pq.read_table(year.folder / "data" / "taxi" / month, partitioning=None)


def test_every_job_of_the_recipe_succeeds(year: Year) -> None:
    """The commands of jobs/README.md work as printed, and there is one for each month."""
    failed = {name: each["err"] for name, each in year.results.items() if each["status"] and name != "strict"}
    assert failed == {}
    assert set(year.months) < set(year.results)


def test_rows_out_are_rows_in(year: Year) -> None:
    """Each month has its rows with unchanged columns; rows with a null have no posterior and a reason."""
    for month in year.months:
        rows, came = scored(year, month), source(year, month)
        kept = rows.select(came.column_names)
        order = [(name, "ascending") for name in came.column_names]
        assert kept.cast(came.schema).sort_by(order).equals(came.sort_by(order)), month
        unusable = np.isnan(np.column_stack([rows[name].to_numpy() for name in FEATURES])).any(axis=1)
        assert rows["status"].to_pylist() == ["null" if each else "ok" for each in unusable]
        for name in ("prediction", "probability", "log_density"):
            assert (np.asarray(rows[name].is_null()) == unusable).all(), (month, name)
        assert np.isfinite(rows["log_density"].drop_null().to_numpy()).all()


def nulls(rows: pa.Table) -> int:
    """Return how many rows have a null in a feature."""
    return int(np.sum(np.any([rows[name].is_null() for name in FEATURES], axis=0)))


def test_manifests_count_by_reason(year: Year) -> None:
    """The read, refused and written rows in each manifest equal those in the files of its months, zero counts too."""
    for month in year.months:
        came = source(year, month)
        whole = year.manifest("data/taxi-scored", month.replace("/", "-"))
        rows = whole["rows"]
        size = sum(file.stat().st_size for file in (year.folder / "data" / "taxi" / month).iterdir())
        assert (whole["inputs"][0]["files"], whole["inputs"][0]["bytes"]) == (1, size)
        assert (rows["read"], rows["written"], rows["refused"]["null"]) == (came.num_rows, came.num_rows, nulls(came))
        assert [rows["refused"][reason] for reason in ("nan", "infinite", "wrong_length", "bad_weight")] == [0] * 4
    for run, first, last in (("fit-2019", "year=2018", "year=2019"), ("fit-2020", "year=2019", "year=2020")):
        came = [source(year, month) for month in year.months if first <= month.partition("/")[0] <= last]
        rows = year.manifest("models/taxi", run)["rows"]
        bad = sum(map(nulls, came))
        assert (rows["read"], rows["refused"]["null"]) == (sum(each.num_rows for each in came), bad)
        assert rows["used"] == rows["read"] - bad
        assert pq.read_table(year.folder / "data" / "taxi-refused" / f"run_id={run}").num_rows == bad


def test_the_same_month_twice_does_nothing(year: Year) -> None:
    """A retry of a month, also after other months, runs no Spark job and says why."""
    again = year.results[f"{AGAIN}, a retry"]
    assert "nothing to do" in again["out"]
    assert again["spark_jobs"] == 0


def test_only_the_month_that_came_twice_is_replaced(year: Year) -> None:
    """All files of the other partitions are the same bit for bit, and no file is added or removed."""
    before, after = year.checksums("before"), year.checksums("after")
    assert {path for path in before if AGAIN not in path} == {path for path in after if AGAIN not in path}
    assert all(after[path] == before[path] for path in before if AGAIN not in path)
    assert not [path for path in before if AGAIN in path and path in after]  # its files are new ones
    assert len({path.rpartition("/")[0] for path in after}) == len(year.months)


def test_a_bad_month_is_not_published(year: Year) -> None:
    """Above quality.max_invalid_fraction the status is 4 with the numbers, and the table is unchanged."""
    assert year.results["strict"]["status"] == 4
    assert "1675 null" in year.results["strict"]["err"]
    assert year.checksums("after strict") == year.checksums("after")


def test_a_reader_always_sees_whole_months(year: Year) -> None:
    """At each read, a month that had been published had all its rows."""
    assert {path for path, _ in year.readings} == {
        f"data/taxi-scored/{month.replace('month=0', 'month=')}" for month in year.months
    }
    assert {rows for _, rows in year.readings} == {10_000}


def bhattacharyya(one: Parameters, other: Parameters) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the distances of all components of two mixtures, (k, k); Bhattacharyya 1943."""
    cost = np.empty((one.k, other.k))
    for i, j in np.ndindex(cost.shape):
        middle = (one.covariances[i] + other.covariances[j]) / 2
        apart = one.means[i] - other.means[j]
        logs = [np.linalg.slogdet(each)[1] for each in (middle, one.covariances[i], other.covariances[j])]
        cost[i, j] = apart @ np.linalg.solve(middle, apart) / 8 + (logs[0] - (logs[1] + logs[2]) / 2) / 2
    return cost


def test_a_refit_keeps_the_component_numbers(year: Year) -> None:
    """The best matching of the refit with the earlier model pairs equal numbers, whatever the weights are."""
    old, new = year.model("fit-2019"), year.model("fit-2020")
    assert linear_sum_assignment(bhattacharyya(old, new))[1].tolist() == list(range(old.k))
    assert not np.array_equal(old.means, new.means)  # it did learn from the new year


def test_a_refit_starts_from_the_current_model(year: Year) -> None:
    """It searches for no start, its first pass measures the old model, and its model becomes the current one."""
    manifest = year.manifest("models/taxi", "fit-2020")
    assert "fit, starts" not in manifest["seconds"]
    assert manifest["fit"]["passes"] == 1 + len(manifest["fit"]["history"])
    assert follow_pointer(year.folder / "models" / "taxi").name == "fit-2020"
    assert (year.folder / "models" / "taxi" / "runs" / "fit-2019").exists()  # a job that reads it may go on
