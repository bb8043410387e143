"""What goes wrong at night: lost executors and inputs, sealed and full disks, two writers; and what each run leaves.

One application on executor processes runs all jobs, where it may in a mount namespace with a sealed and a full disk.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from gmm_spark.batch.manifest.manifest import SCHEMA_FILE
from gmm_spark.store.model_directory import read_model
from gmm_spark.store.run_pointer import follow_pointer
from tests.jobs import submission, tables
from tests.jobs.submission import JOBS, ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)

MOUNTS = (
    "mkdir sealed full brim && mount -t tmpfs -o size=64k tmpfs full && mount -t tmpfs -o ro tmpfs sealed"
    " && mount -t tmpfs -o size=64k tmpfs brim && { head -c 1M /dev/zero >brim/fill 2>/dev/null || true; }"
)
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
XY, DROP, MODEL = "--features.columns=x,y", "--fit.invalid=drop", "--model.path=kept"
RUNS = "--output.mode=runs"
SCORE = ["score", "--input.path=in", MODEL]
SIMULATE = ["simulate", MODEL, "--sample.rows=50"]
# name: hook, or None; job, command line
DONE: Mapping[str, tuple[str | None, list[str]]] = {
    "fit": (None, ["fit", "--input.path=in", XY, DROP, "--output.path=kept", RUNS, "--run.id=one"]),
    "fit again": (None, ["fit", "--input.path=in", XY, DROP, "--output.path=kept", RUNS, "--run.id=one"]),
    "simulate": (None, [*SIMULATE, "--output.path=simulated", RUNS]),
    "score runs": (None, ["score", "--input.path=simulated", MODEL, "--output.path=scored-simulated"]),
    "killed": ("executor_killed", [*SCORE, "--output.path=scored", "--output.keep=id,x,y"]),
    "one day": (
        None,
        [*SCORE, "--input.where=day = 1", "--output.path=scored", "--output.mode=partitions", "--output.keep=id"],
    ),
    "elsewhere": (None, [*SIMULATE, "--output.path=viewfs://lake/far/table"]),
    "elsewhere again": (None, [*SIMULATE, "--output.path=viewfs://lake/far/table", "--output.mode=overwrite"]),
    "elsewhere runs": (None, [*SIMULATE, "--output.path=viewfs://lake/far/runs", RUNS, "--run.id=one"]),
    "elsewhere runs again": (None, [*SIMULATE, "--output.path=viewfs://lake/far/runs", RUNS, "--run.id=two"]),
    "elsewhere the same": (None, [*SIMULATE, "--output.path=viewfs://lake/far/runs", RUNS, "--run.id=one"]),
    "options from elsewhere": (None, ["simulate", "--config", "viewfs://lake/far/simulate.yaml", "--sample.seed=2"]),
    "two scorers": ("second_scorer", [*SCORE, "--output.path=twice", "--output.mode=overwrite"]),
}
# name: hook, or None; job, command line; status; parts of the error
FAILED: Mapping[str, tuple[str | None, list[str], int, list[str]]] = {
    "other options": (
        None,
        ["fit", "--input.path=in", XY, DROP, "--output.path=kept", RUNS, "--run.id=one", "--mixture.k=3"],
        6,
        ["the run one", "in mixture", "another run.id"],
    ),
    "deleted while fitting": (
        "input_deleted",
        ["fit", "--input.path=vanishing", XY, DROP, "--output.path=bad"],
        3,
        ["the input", "part-0.parquet", "nothing was published"],
    ),
    "damaged while scoring": (
        None,
        ["score", "--input.path=damaged", MODEL, "--output.path=bad", "--run.id=night-1"],
        3,
        ["the input", "damaged/day=1"],
    ),
    "torn": (None, ["fit", "--input.path=torn", XY, DROP, "--output.path=bad"], 3, ["torn"]),
    "sealed": (None, [*SCORE, "--output.path=sealed/out"], 6, ["the output", "Read-only", "output.path"]),
    "no folder": (None, [*SCORE, "--output.path=in.txt/out"], 6, ["the output", "in.txt", "output.path"]),
    "full": (None, [*SCORE, "--output.path=full/out"], 8, ["a disk", "No space left", "spark.local.dir"]),
    "brim": (None, [*SCORE, "--output.path=brim/out"], 8, ["a disk", "No space left"]),
    "brim elsewhere": (None, [*SCORE, "--output.path=viewfs://lake/brim/far"], 8, ["a disk", "No space left"]),
    "no options there": (
        None,
        ["simulate", "--config", "viewfs://lake/far/none.yaml"],
        2,
        ["viewfs://lake/far/none.yaml", "conf/ holds"],
    ),
    "no partitions": (
        None,
        [*SCORE, "--output.path=flat", "--output.mode=partitions", "--output.partition_by=[]"],
        2,
        ["output.partition_by", "output.mode=partitions"],
    ),
}
NEEDS_MOUNTS = ("sealed", "full", "brim", "brim elsewhere")
OPTIONS = "{model: {path: kept}, sample: {rows: 7}, output: {path: 'viewfs://lake/far/seven'}}"


@dataclass(frozen=True)
class Runs:
    """The folder of the jobs, their results, and whether there were separate disks."""

    folder: Path
    results: Mapping[str, Any]
    mounted: bool

    def manifest(self, path: str) -> dict[str, Any]:
        """Return a manifest, after a check by the shipped schema."""
        (file,) = self.folder.glob(path)
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
        return document


def may_mount() -> bool:
    """Say whether this user may create mounts."""
    if shutil.which("unshare") is None:
        return False
    probe = [*NAMESPACE, "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def inputs(folder: Path) -> None:
    """Write the tables: a sound one, one without a footer, one with a damaged page, and one that will lose a file."""
    tables.days(folder / "in")
    for name in ("torn", "damaged", "vanishing"):
        shutil.copytree(folder / "in", folder / name)
    (torn,) = (folder / "torn" / "day=0").iterdir()
    torn.write_bytes(torn.read_bytes()[:1000])
    (damaged,) = (folder / "damaged" / "day=1").iterdir()
    content = damaged.read_bytes()
    damaged.write_bytes(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :])
    (folder / "in.txt").write_text("a file")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run all jobs in one application."""
    folder, mounted = tmp_path_factory.mktemp("faults"), may_mount()
    inputs(folder)

    def planned(hook: str | None, words: list[str]) -> tuple[str, list[str]]:
        job = f"{JOBS}/{words[0]}.py"
        return (job, words[1:]) if hook is None else (f"{ROOT}/tests/jobs/run_with_hook.py", [hook, job, *words[1:]])

    given = {name: planned(*job) for name, job in {**DONE, **{name: each[:2] for name, each in FAILED.items()}}.items()}
    jobs = {name: job for name, job in given.items() if mounted or name not in NEEDS_MOUNTS}
    jobs["left"] = (f"{ROOT}/tests/jobs/list_files.py", ["full", "brim"])
    (folder / "plan.json").write_text(json.dumps({"sql": [], "jobs": jobs}), encoding="utf-8")
    # Another scheme than file: what is done there goes through Hadoop's classes, as on HDFS.
    (folder / "far").mkdir()
    (folder / "far" / "simulate.yaml").write_text(OPTIONS, encoding="utf-8")
    far = f"spark.hadoop.fs.viewfs.mounttable.lake.link./far=file://{folder}/far"
    brim = f"spark.hadoop.fs.viewfs.mounttable.lake.link./brim=file://{folder}/brim"
    words = [
        "--conf",
        far,
        "--conf",
        brim,
        str(ROOT / "tests" / "jobs" / "in_one_session.py"),
        "plan.json",
        "result.json",
    ]
    prefix = [*NAMESPACE, f'{MOUNTS} && exec "$@"', "sh"] if mounted else []
    done = submission.submit(
        words, master="local-cluster[2,1,1024]", cwd=folder, library=str(ROOT), prefix=prefix, patience=350
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Runs(folder, json.loads((folder / "result.json").read_text(encoding="utf-8")), mounted)


@pytest.mark.parametrize("name", DONE)
def test_valid_jobs_succeed(runs: Runs, name: str) -> None:
    """Each of these jobs returns normally with one line."""
    result = runs.results[name]
    assert result["status"] == 0, result["err"]
    assert len(result["out"].splitlines()) == 1


@pytest.mark.parametrize("name", FAILED)
def test_a_fault_has_its_status_and_a_message_that_helps(runs: Runs, name: str) -> None:
    """The error says what is wrong and what to do, without a traceback; the target is empty."""
    if name in NEEDS_MOUNTS and not runs.mounted:
        pytest.skip("this user may not mount a disk")
    _, _, status, parts = FAILED[name]
    result = runs.results[name]
    assert result["status"] == status, result["err"]
    assert [part for part in parts if part not in result["err"]] == [], result["err"]
    assert "Traceback" not in result["err"]
    assert not (runs.folder / "bad").exists()


def test_an_executor_killed_while_writing_loses_and_doubles_no_row(runs: Runs) -> None:
    """The output has each row once, though an executor died while it wrote."""
    assert len(list(runs.folder.glob("killed*"))) > 1  # the partition was started again
    days = [tables.read(runs.folder / "scored" / f"day={day}")["id"].to_pylist() for day in (0, 2)]
    day_1 = tables.read(runs.folder / "scored" / "day=1")["id"].to_pylist()
    assert sorted([*days[0], *days[1], *day_1]) == list(range(tables.ROWS))


def test_one_day_is_replaced_and_the_others_are_not_touched(runs: Runs) -> None:
    """The partition in the result has the new columns, the other partitions have the old ones."""
    names = [tables.read(runs.folder / "scored" / f"day={day}").column_names for day in range(tables.DAYS)]
    assert "x" in names[0]
    assert names[1] == ["id", "prediction", "probability", "log_density", "status"]
    assert names[0] == names[2]


def test_of_two_scorers_one_wins_and_one_stops(runs: Runs) -> None:
    """The second one is refused with the name of the first, whose output is complete."""
    log = runs.results["two scorers"]["err"]
    assert "second: status 6" in log
    assert "another writer of this output" in log
    assert tables.read(runs.folder / "twice").num_rows == tables.ROWS


def test_the_same_run_twice_does_nothing(runs: Runs) -> None:
    """The second fit with one id starts no Spark job that reads rows, and there is one run."""
    again = runs.results["fit again"]
    assert "run one is published" in again["out"]
    assert again["spark_jobs"] == 0
    assert [path.name for path in (runs.folder / "kept" / "runs").iterdir()] == ["one"]


def test_models_and_tables_are_found_behind_their_pointers(runs: Runs) -> None:
    """describe, score and simulate follow the pointer, and so does an input table."""
    assert read_model(runs.folder / "kept").parameters.k == 2
    assert tables.read(runs.folder / "scored-simulated").num_rows == 50
    document = runs.manifest("scored-simulated/_manifest.json")
    fitted = runs.manifest("kept/runs/one/_manifest.json")
    assert [each["version"] for each in document["inputs"]] == [follow_pointer(runs.folder / "simulated").name, "one"]
    assert document["inputs"][1]["sha256"] == fitted["fit"]["model_sha256"]


def test_other_filesystems_are_served_through_hadoop(runs: Runs) -> None:
    """Jobs read options and create, replace and add runs there, too; only manifests remain in the hidden folders."""
    far = runs.folder / "far"
    assert tables.read(far / "table").num_rows == 50
    assert tables.read(far / "seven").num_rows == 7  # as the file there says
    assert sorted(path.name for path in (far / "runs" / "runs").glob("[!.]*")) == ["one", "two"]
    assert follow_pointer(far / "runs").name == "two"
    assert "run one is published" in runs.results["elsewhere the same"]["out"]
    assert {path.name for path in far.glob(".*/*")} == {"manifests"}


def test_the_manifest_explains_a_run(runs: Runs) -> None:
    """It has rows by reason with zeros, weight, history, files with bytes, phases and a schema."""
    document = runs.manifest("kept/runs/one/_manifest.json")
    refused = {"null": tables.UNUSABLE, "wrong_length": 0, "nan": 0, "infinite": 0, "bad_weight": 0}
    used = tables.ROWS - tables.UNUSABLE
    assert document["rows"] == {"read": tables.ROWS, "used": used, "refused": refused, "written": None, "weight": used}
    assert max(document["fit"]["history"]) == pytest.approx(document["fit"]["mean_log_likelihood"], rel=1e-12)
    folder = follow_pointer(runs.folder / "kept")
    assert {each["path"]: each["bytes"] for each in document["output"]["files"]} == {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.glob("*/part-*")
    }
    assert document["inputs"][0]["files"] == tables.DAYS
    assert "day" in document["inputs"][0]["schema"]
    assert {"fit", "fit, survey", "fit, em"} <= set(document["seconds"])


def test_a_failed_run_leaves_its_manifest_beside_the_output(runs: Runs) -> None:
    """The manifest has the status and the error, though nothing was published."""
    document = runs.manifest(".bad.gmm_spark/manifests/night-1.json")
    assert (document["status"], document["output"], document["run_id"]) == (3, None, "night-1")
    assert "damaged/day=1" in document["error"]


def test_a_full_disk_keeps_no_drafts_locks_and_staging_folders(runs: Runs) -> None:
    """Incomplete files are removed, by the operating system's calls and by Hadoop's."""
    if not runs.mounted:
        pytest.skip("this user may not mount a disk")
    left = runs.results["left"]["out"].split()[1:]
    assert [path for path in left if path != "brim/fill" and "/manifests/" not in path] == []


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="this user may not mount a disk")
def test_a_full_scratch_folder_ends_with_its_own_status(tmp_path: Path) -> None:
    """If Spark's scratch folder is full, the fit names the disk and publishes nothing."""
    tables.days(tmp_path / "in")
    prefix = [*NAMESPACE, 'mkdir scratch && mount -t tmpfs -o size=4k tmpfs scratch && exec "$@"', "sh"]
    words = ["--conf", f"spark.local.dir={tmp_path}/scratch", str(JOBS / "fit.py"), "--input.path=in", XY, DROP]
    done = submission.submit(
        [*words, "--output.path=model"], master="local[2]", cwd=tmp_path, library=str(ROOT), prefix=prefix
    )
    assert done.returncode == 8, done.stdout
    assert "spark.local.dir" in done.stdout
    assert not (tmp_path / "model").exists()
