"""Unusable rows in scheduled jobs: counted by reason, written to a quarantine table, or too many."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from gmm_spark.store.model_directory import read_model
from tests.jobs.submission import JOBS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(300)

ROWS, EACH = 4000, 40  # one in a hundred rows of each kind
REASONS = ("null", "wrong_length", "nan", "infinite", "bad_weight")
COUNTS = dict.fromkeys(REASONS, EACH)
REFUSALS = ", ".join(f"{EACH} {reason}" for reason in REASONS)
MIXED, XW = "--input.path=mixed", ["--features.column=x", "--features.weight=w"]
ASIDE, QUARANTINE = "--fit.invalid=quarantine", "--quality.quarantine_path=aside"
DROP = "--fit.invalid=drop"
NESTED = ["--features.columns=P.A,p.b", "--features.weight=P.W"]
KEPT = ["--output.keep=P.B,id", "--output.partition_by"]

JOBS_RUN: Mapping[str, tuple[str, list[str]]] = {
    "not there": ("fit", ["--input.path=none", *XW, "--output.path=m/clean", "--run.id=late"]),
    "clean": ("fit", ["--input.path=clean", *XW, "--output.path=m/clean", "--run.id=late"]),
    "aside": ("fit", [MIXED, *XW, ASIDE, QUARANTINE, "--output.path=m/aside", "--run.id=monday"]),
    "aside again": ("fit", [MIXED, *XW, ASIDE, QUARANTINE, "--output.path=m/aside", "--run.id=monday"]),
    "clean day": ("fit", ["--input.path=clean", *XW, ASIDE, QUARANTINE, "--output.path=m/day", "--run.id=wednesday"]),
    "enough": (
        "fit",
        [
            MIXED,
            *XW,
            ASIDE,
            QUARANTINE,
            "--quality.max_invalid_fraction=0.05",
            "--output.path=m/enough",
            "--run.id=tuesday",
        ],
    ),
    "too many": ("fit", [MIXED, *XW, DROP, "--quality.max_invalid_fraction=0.049", "--output.path=no/fit"]),
    "select": (
        "select_model",
        [MIXED, *XW, "--grid.k=2", ASIDE, QUARANTINE, "--output.path=m/select", "--run.id=thursday"],
    ),
    "not one": ("fit", [MIXED, *XW, "--output.path=no/one"]),
    "score": ("score", [MIXED, "--model.path=m/clean", "--output.path=scored"]),
    "dry fit": (
        "fit",
        [
            "--input.path=parts",
            "--features.column=x",
            "--features.weight=w",
            "--output.path=no/dry",
            "--dry-run",
            "--input.options",
            "password=letmein",
        ],
    ),
    "dry columns": ("fit", ["--input.path=taken", "--features.columns=x,y", "--output.path=no/dry", "--dry-run"]),
    "dry score": ("score", [MIXED, "--model.path=m/clean", "--output.path=no/dry", "--dry-run"]),
    "dry select": (
        "select_model",
        ["--input.path=taken", "--features.columns=x,y", "--grid.k=1,2", "--output.path=no/dry", "--dry-run"],
    ),
    "dry misfit": ("fit", [MIXED, "--features.column=xx", "--output.path=no/dry", "--dry-run"]),
    "dry exists": ("fit", [MIXED, *XW, "--output.path=m/clean", "--dry-run"]),
    "score too many": (
        "score",
        [MIXED, "--model.path=m/clean", "--output.path=no/score", "--quality.max_invalid_fraction=0.039"],
    ),
    "aside in input": (
        "fit",
        [MIXED, *XW, ASIDE, "--quality.quarantine_path=mixed/aside", "--output.path=no/in"],
    ),
    "taken name": (
        "fit",
        ["--input.path=taken", "--features.columns=x,y", ASIDE, QUARANTINE, "--output.path=no/taken"],
    ),
    "empty": ("fit", ["--input.path=empty", "--features.columns=x,y", "--output.path=no/empty"]),
    "score empty": ("score", ["--input.path=empty2", "--model.path=m/clean", "--output.path=scored-empty"]),
    "one row": ("fit", ["--input.path=one", "--features.columns=x,y", "--mixture.k=1", "--output.path=no/one-row"]),
    "score wide": ("score", ["--input.path=wide", "--model.path=m/clean", "--output.path=no/wide"]),
    "score nulls": ("score", ["--input.path=nulls", "--model.path=m/clean", "--output.path=no/nulls"]),
    "score odd": ("score", ["--input.path=odd", "--model.path=m/clean", "--output.path=scored-odd"]),
    "nested": ("fit", ["--input.path=nested", *NESTED, "--mixture.k=1", "--output.path=m/nested"]),
    "score nested": (
        "score",
        ["--input.path=nested", "--model.path=m/nested", "--output.path=scored-nested", *KEPT, "ID"],
    ),
    "score twice": (
        "score",
        ["--input.path=nested", "--model.path=m/nested", "--output.path=no/twice", "--output.keep=p.a,p.A"],
    ),
    "score taken": (
        "score",
        ["--input.path=nested", "--model.path=m/nested", "--output.path=no/taken", "--output.keep=Status"],
    ),
}
REFUSED = {
    "not there": (3, ["none", "nothing there"]),
    "too many": (4, ["200 of 4000 rows (5 %)", REFUSALS, "at most 4.9 %"]),
    "not one": (4, [REFUSALS, "Options: fit.invalid."]),
    "score too many": (4, ["160 of 4000 rows (4 %)", "at most 3.9 %", "nothing was published"]),
    "aside in input": (6, ["mixed/aside"]),
    "dry misfit": (3, ["'xx'"]),
    "dry exists": (6, ["m/clean"]),
    "taken name": (3, ["'_errors'"]),
    "empty": (4, ["no rows"]),
    "one row": (4, ["'x', 'y'", "the same value in every row"]),
    "score wide": (7, ["column 'x'", "no row of the model's length; most have 3 numbers", "2 numbers"]),
    "score nulls": (4, ["5 of 5 rows (100 %)", "5 null", "nothing was published"]),
    "score twice": (3, ["'p.a', 'p.a'", "one name in the output"]),
    "score taken": (3, ["'Status'", "a column that scoring adds"]),
}


@dataclass(frozen=True)
class Night:
    """The folder of the jobs, and their results."""

    folder: Path
    results: Mapping[str, Any]


def mixed() -> tuple[pa.Table, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return a table with 40 rows of each fault at random places, and which rows are clean."""
    rng = np.random.default_rng(3)
    x: list[Any] = (rng.normal(size=(ROWS, 2)) + 9.0 * rng.integers(2, size=(ROWS, 1))).tolist()
    weights = rng.uniform(0.5, 2, size=ROWS)
    places = rng.permutation(ROWS)[: 5 * EACH].reshape(5, EACH)
    for i in range(EACH):
        null, ragged, nan, infinite, debt = places[:, i]
        x[null] = None if i % 2 else [None, 1.0]
        x[ragged] = [] if i % 2 else [1.0, 2.0, 3.0]
        x[nan][i % 2] = float("nan")
        x[infinite][i % 2] = float("-inf") if i % 3 else float("inf")
        weights[debt] = -1.0 if i % 2 else float("nan")
    ids = pa.array(np.arange(ROWS))
    table = pa.table(
        {"id": ids, "x": pa.array(x, pa.list_(pa.float64())), "w": weights, "name": pa.array(["n"] * ROWS)}
    )
    clean = np.ones(ROWS, dtype=np.bool_)
    clean[places.ravel()] = False
    return table, clean


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, application: Application) -> Night:
    """Run all jobs of this file."""
    folder = tmp_path_factory.mktemp("quality")
    table, clean = mixed()
    good = table.filter(pa.array(clean))
    parts = {f"parts/{i:02}": good.slice(*((380 * i, 380) if i < 10 else (3800, 0))) for i in range(12)}
    xy = pa.table({"x": [1.0, 2.0], "y": [0.0, 3.0]})
    taken = xy.append_column("_Errors", pa.array(["a", "b"]))
    odd = [[1.0] * 5, None, *([float(i), 0.0] for i in range(8))]
    lists = {"wide/0": [[1.0, 2.0, 3.0]] * 39 + [[1.0]], "nulls/0": [None] * 5, "odd/0": odd}
    shelves = {name: pa.table({"x": pa.array(values, pa.list_(pa.float64()))}) for name, values in lists.items()}
    inner = [{"a": float(i % 7), "b": i % 3 == 0, "w": 1.0 + i % 2} for i in range(60)]
    nested = pa.table({"p": inner, "id": [i % 2 for i in range(60)], "Status": ["s"] * 60})
    others = {
        **shelves,
        "nested/0": nested,
        "taken/0": taken,
        "empty/0": xy.slice(0, 0),
        "empty2/0": table.slice(0, 0),
        "one/0": xy.slice(0, 1),
    }
    for name, each in {"mixed/0": table, "clean/0": good, **parts, **others}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        pq.write_table(each, folder / f"{name}.parquet", row_group_size=ROWS)
    jobs = {name: (f"{JOBS}/{job}.py", words) for name, (job, words) in JOBS_RUN.items()}
    return Night(folder, application.run(folder, jobs))


def manifest(night: Night, output: str, run: str = "*") -> dict[str, Any]:
    """Return the manifest of a run of an output."""
    path = night.folder / output
    (file,) = path.parent.glob(f".{path.name}.gmm_spark/manifests/{run}.json")
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("name", [name for name in JOBS_RUN if name not in REFUSED])
def test_a_table_that_is_good_enough_is_used(night: Night, name: str) -> None:
    """The job returns normally."""
    assert night.results[name]["status"] == 0, night.results[name]["err"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_table_is_refused_with_its_numbers(night: Night, name: str) -> None:
    """Too many unusable rows, no usable row, or an occupied path give a status and numbers."""
    status, parts = REFUSED[name]
    assert night.results[name]["status"] == status, night.results[name]["err"]
    assert [part for part in parts if part not in night.results[name]["err"]] == [], night.results[name]["err"]


def test_a_refused_job_publishes_nothing(night: Night) -> None:
    """There is no model, no scored table and no quarantined row."""
    assert [path for path in (night.folder / "no").glob("*") if not path.name.startswith(".")] == []
    assert sorted(path.name for path in (night.folder / "aside").glob("[!.]*")) == [
        "run_id=monday",
        "run_id=thursday",
        "run_id=tuesday",
    ]
    assert not (night.folder / "mixed" / "aside").exists()


def test_every_reason_is_counted_in_summary_and_manifest(night: Night) -> None:
    """Zero counts are included, for quarantined, dropped and refused rows."""
    assert f"{ROWS - 5 * EACH} rows used, {5 * EACH} left out ({REFUSALS})" in night.results["aside"]["out"]
    assert "0 left out (0 null, 0 wrong_length, 0 nan, 0 infinite, 0 bad_weight)" in night.results["clean"]["out"]
    assert manifest(night, "m/aside", "monday")["rows"]["refused"] == COUNTS
    assert manifest(night, "m/enough")["rows"]["refused"] == COUNTS
    assert manifest(night, "m/select")["rows"]["refused"] == COUNTS
    failed = manifest(night, "no/fit")
    assert (failed["status"], failed["rows"]["read"], failed["rows"]["refused"]) == (4, ROWS, COUNTS)
    without_weights = {**COUNTS, "bad_weight": 0}
    assert manifest(night, "scored")["rows"]["refused"] == without_weights
    assert manifest(night, "no/score")["rows"]["refused"] == without_weights
    assert f"{ROWS} rows, {ROWS - 4 * EACH} ok, 40 null, 40 wrong_length, 40 nan" in night.results["score"]["out"]


def test_quarantined_rows_are_unchanged(night: Night) -> None:
    """The table has exactly the unusable rows with all columns and the reasons in _errors, also after a selection."""
    table, clean = mixed()
    aside, selected = (
        pq.read_table(night.folder / "aside" / f"run_id={run}").sort_by("id") for run in ("monday", "thursday")
    )
    assert repr(selected.to_pydict()) == repr(aside.to_pydict())
    expected = table.filter(pa.array(~clean))
    assert aside.column_names == ["id", "x", "w", "name", "_errors"]
    assert repr(aside.drop_columns("_errors").to_pydict()) == repr(expected.to_pydict())  # NaN is not itself
    assert Counter(reason for reasons in aside["_errors"].to_pylist() for reason in reasons) == COUNTS
    assert manifest(night, "m/aside", "monday")["notes"]["quarantine"]["rows"] == 5 * EACH


def test_a_repeated_run_quarantines_once(night: Night) -> None:
    """The same run does nothing the second time; the run of the next day adds its own folder."""
    assert "nothing to do" in night.results["aside again"]["out"]
    both = pq.read_table(night.folder / "aside", partitioning="hive")
    assert both.num_rows == 3 * 5 * EACH  # monday, tuesday and thursday
    assert manifest(night, "m/day")["notes"]["quarantine"]["rows"] == 0


@pytest.mark.parametrize("name", ["aside", "enough"])
def test_the_other_rows_are_used(night: Night, name: str) -> None:
    """The model equals that of the clean rows."""
    clean, other = (read_model(night.folder / "m" / each).parameters for each in ("clean", name))
    np.testing.assert_allclose(other.weights, clean.weights, rtol=1e-8)
    np.testing.assert_allclose(other.means, clean.means, rtol=1e-8)
    np.testing.assert_allclose(other.covariances, clean.covariances, rtol=1e-7, atol=1e-8)


def test_a_dry_run_prints_options_schema_and_cost(night: Night) -> None:
    """The YAML document hides secrets; no row is read and nothing is written."""
    document = yaml.safe_load(night.results["dry fit"]["out"])
    assert document["configuration"]["mixture"]["k"] == 2
    assert document["configuration"]["input"]["options"] == {"password": "***"}
    assert (document["input"]["rows"], document["input"]["files"]) == (ROWS - 5 * EACH, 12)
    assert "x:array<double>" in document["input"]["schema"]
    assert "letmein" not in night.results["dry fit"]["out"] + night.results["dry fit"]["err"]
    cost = yaml.safe_load(night.results["dry columns"]["out"])["cost"]
    assert cost["passes"] == "3 to 103"
    # K = 2 components of 1 + 2 + 3 quadratic features; 2 rows of 2 numbers.
    assert (cost["statistics_bytes"], cost["kept_bytes"], cost["flops_per_pass"]) == (96, 32, 2 * 2 * 4 * 6)
    # One and two components of each family: three components a family, all in one pass.
    selection = yaml.safe_load(night.results["dry select"]["out"])
    families = selection["configuration"]["grid"]["families"]
    per_component = {"full": 48, "tied": 24, "diag": 40, "spherical": 40}
    assert selection["cost"]["statistics_bytes"] == 3 * sum(per_component[family] for family in families)
    scored = yaml.safe_load(night.results["dry score"]["out"])
    assert "probability:array<float>" in scored["output"]["schema"]
    assert all(
        night.results[name]["spark_jobs"] <= 1 for name in ("dry fit", "dry columns", "dry misfit", "dry exists")
    )


def test_a_table_of_another_length_is_never_written(night: Night) -> None:
    """It is refused when the lengths are known: there is no staging folder and no verification."""
    failed = manifest(night, "no/wide")
    assert (failed["status"], "write" in failed["seconds"]) == (7, False)
    assert manifest(night, "no/nulls")["rows"]["refused"]["null"] == 5


def test_a_share_of_unusable_rows_gives_a_warning(night: Night) -> None:
    """One bad first row does not stop the job; 2 bad rows of 10 are in log, summary and manifest."""
    counts = "2 of 10 rows (20 %) that cannot be used: 1 null, 1 wrong_length"
    warning = f"{counts}, above quality.warn_invalid_fraction = 0.05"
    assert f"WARNING gmm_spark: {warning}" in night.results["score odd"]["err"]
    assert warning in night.results["score odd"]["out"]
    (file,) = (night.folder / "scored-odd").glob("_manifest.json")
    assert json.loads(file.read_text(encoding="utf-8"))["notes"]["warnings"] == [warning]
    assert pq.read_table(night.folder / "scored-odd")["log_density"].null_count == 2


def test_fields_of_structs_are_columns(night: Night) -> None:
    """They are features, weights, kept columns (named as the field) and folders, in any case of their names."""
    model = read_model(night.folder / "m" / "nested")
    rows = [(i % 7, i % 3 == 0) for i in range(60)]
    expected = np.average(rows, axis=0, weights=[1 + i % 2 for i in range(60)])
    assert model.features == ("p.a", "p.b")
    np.testing.assert_allclose(model.parameters.means[0], expected, rtol=1e-12)
    scored = pq.read_table(night.folder / "scored-nested", partitioning="hive")
    assert scored.column_names == ["b", "prediction", "probability", "log_density", "status", "id"]
    assert scored["status"].to_pylist() == ["ok"] * 60


def test_an_empty_table_is_scored_to_an_empty_table(night: Night) -> None:
    """The output has no rows and the schema of a scored table; the log has a warning, as the feed may be late."""
    assert "WARNING gmm_spark: the input has no row" in night.results["score empty"]["err"]
    scored = pq.read_table(night.folder / "scored-empty")
    assert scored.num_rows == 0
    assert scored.column_names[-4:] == ["prediction", "probability", "log_density", "status"]
