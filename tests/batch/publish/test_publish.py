"""Outputs appear whole or not at all: what publishing does to folders of the local filesystem. No Spark."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.manifest.manifest import MANIFEST
from gmm_spark.batch.publish import modes
from gmm_spark.batch.publish.target import check_apart, claim
from gmm_spark.errors import InputError, OutputError, SchemaError
from gmm_spark.store.run_pointer import follow_pointer
from tests.batch.runs import run

MODES = {mode.name: mode for mode in (modes.Create(), modes.Overwrite(), modes.Partitions(), modes.Runs())}


def published(target: Path, name: str, content: str, mode: str = "overwrite", *words: str) -> str | None:
    """Publish one file as a run of this name; return what is said where there is nothing to do."""
    with claim(run(name, *words), LocalLocation(target), MODES[mode]) as claimed:
        if claimed.done is None:
            with claimed.publication() as staging:
                folder = Path(staging.removeprefix("file:"))
                folder.mkdir(parents=True)
                (folder / "part-0").write_text(content)
        return claimed.done


def contents(target: Path) -> dict[str, str]:
    """Return what readers of tables see, by relative path."""
    files = [path for path in target.rglob("*") if path.is_file() and path.name[0] not in "._"]
    return {str(path.relative_to(target)): path.read_text() for path in files}


def test_a_complete_output_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Afterwards there is the new output, and beside it neither lock nor staging folder."""
    for content in ("old", "new"):
        published(tmp_path / "out", content, content)
    assert contents(tmp_path / "out") == {"part-0": "new"}
    assert [path.name for path in (tmp_path / ".out.gmm_spark").iterdir()] == ["manifests"]


def test_creating_refuses_what_exists(tmp_path: Path) -> None:
    """Without the word overwrite nothing is replaced, by any writer."""
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match=r"output\.mode=overwrite"):
        published(tmp_path / "out", "a", "new", "create")
    assert contents(tmp_path / "out") == {}


def test_an_output_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """The target is looked at again before the last step."""
    out = tmp_path / "out"

    def late() -> None:
        with claim(run("a"), LocalLocation(out), modes.Create()) as claimed, claimed.publication() as staging:
            Path(staging.removeprefix("file:")).mkdir(parents=True)
            out.mkdir()
            (out / "theirs").write_text("theirs")

    with pytest.raises(OutputError, match="overwrite"):
        late()
    assert contents(out) == {"theirs": "theirs"}


def test_a_failed_job_leaves_the_old_output(tmp_path: Path) -> None:
    """An error while writing removes the staging folder and touches nothing else."""
    out = tmp_path / "out"
    published(out, "a", "old")
    with (
        pytest.raises(ZeroDivisionError),
        claim(run("b"), LocalLocation(out), modes.Overwrite()) as claimed,
        claimed.publication(),
    ):
        raise ZeroDivisionError
    assert contents(out) == {"part-0": "old"}
    assert [path.name for path in (tmp_path / ".out.gmm_spark").iterdir()] == ["manifests"]


def test_the_same_run_twice_is_published_once(tmp_path: Path) -> None:
    """The second of two runs of one name does nothing and says so, also after another run came between."""
    out = tmp_path / "out"
    assert published(out, "a", "first") is None
    assert "run a is published" in str(published(out, "a", "second"))
    assert contents(out) == {"part-0": "first"}
    published(out, "b", "third")
    assert "nothing to do" in str(published(out, "a", "fourth"))
    assert contents(out) == {"part-0": "third"}


def test_a_run_whose_output_was_removed_runs_again(tmp_path: Path) -> None:
    """A run counts as published only while there is something at its target."""
    published(tmp_path / "out", "a", "first")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    assert published(tmp_path / "out", "a", "second") is None
    assert contents(tmp_path / "out") == {"part-0": "second"}


def test_a_run_may_not_change_its_options(tmp_path: Path) -> None:
    """A run id that was used with other options is refused, and the section that differs is named."""
    published(tmp_path / "out", "a", "first")
    with pytest.raises(OutputError, match=r"other options .* in sample"):
        published(tmp_path / "out", "a", "second", "overwrite", "--sample.rows=2")


def test_the_manifest_reports_what_was_published(tmp_path: Path) -> None:
    """Beside the output's files lies their list with their bytes, hidden from readers of tables."""
    published(tmp_path / "out", "a", "four")
    record = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert record["output"]["files"] == [{"path": "part-0", "bytes": 4}]
    assert (record["run_id"], record["status"], record["parents"]) == ("a", 0, {"scheduler": "s-1"})


def missing() -> list[LocalLocation]:
    """Look for an input that is not there."""
    raise SchemaError("input.path in", got="nothing there", expected="rows", do="Correct input.path.")


def test_a_run_without_its_input_leaves_a_manifest_and_may_be_run_again(tmp_path: Path) -> None:
    """The manifest has the status; that of the same run done later takes its place, and no failure takes that."""
    one, kept = run("a"), tmp_path / ".out.gmm_spark/manifests/a.json"
    with pytest.raises(SchemaError) as caught, claim(one, LocalLocation(tmp_path / "out"), modes.Create(), missing):
        pass
    one.record_failure(caught.value)
    failed = json.loads(kept.read_text())
    assert (failed["status"], failed["run_id"], failed["output"]) == (3, "a", None)
    published(tmp_path / "out", "a", "at last")
    one.record_failure(caught.value)
    assert json.loads(kept.read_text())["status"] == 0


def test_a_run_that_is_published_needs_its_input_no_more(tmp_path: Path) -> None:
    """A retry does nothing, though the input has been moved away since."""
    published(tmp_path / "out", "a", "new")
    with claim(run("a"), LocalLocation(tmp_path / "out"), modes.Create(), missing) as target:
        assert "nothing to do" in str(target.done)


def test_nothing_is_written_beside_an_output_that_is_within_an_input(tmp_path: Path) -> None:
    """Not even the manifest of the run that was refused for it; nor is a folder made where there is none."""
    (tmp_path / "in").mkdir()
    for path, inputs in (("in/out", lambda: [LocalLocation(tmp_path / "in")]), ("none/out", missing)):
        one = run("a")
        with pytest.raises((OutputError, SchemaError)) as caught:  # noqa: SIM117
            with claim(one, LocalLocation(tmp_path / path), modes.Create(), inputs):
                pass
        one.record_failure(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]


@pytest.mark.parametrize("source", ["out", "out/day=0", "."])
def test_an_output_may_not_touch_an_input(tmp_path: Path, source: str) -> None:
    """The output is refused where it is an input, holds one, or is in one."""
    with pytest.raises(OutputError, match="neither the input"):
        check_apart(LocalLocation(tmp_path / "out"), [LocalLocation(tmp_path / source)])


def test_each_run_has_its_folder_and_a_pointer_names_the_last(tmp_path: Path) -> None:
    """A reader of the first run keeps its files; output.retain removes the oldest when a run is published."""
    out = tmp_path / "out"
    for name in ("a", "b"):
        published(out, name, name, "runs")
    assert contents(follow_pointer(out)) == {"part-0": "b"}
    assert contents(out / "runs" / "a") == {"part-0": "a"}
    with claim(run("c"), LocalLocation(out), modes.Runs(retain=2)) as claimed, claimed.publication() as staging:
        Path(staging.removeprefix("file:")).mkdir()
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["b", "c"]
    assert "nothing to do" in str(published(out, "a", "again", "runs"))


def test_a_failed_run_leaves_the_pointer_and_no_folder(tmp_path: Path) -> None:
    """Of a run that fails while it writes nothing is left."""
    out = tmp_path / "out"
    published(out, "a", "a", "runs")

    def failing() -> None:
        with claim(run("b"), LocalLocation(out), modes.Runs()) as claimed, claimed.publication() as staging:
            Path(staging.removeprefix("file:")).mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert contents(follow_pointer(out)) == {"part-0": "a"}
    assert [path.name for path in (out / "runs").iterdir()] == ["a"]


def test_runs_and_plain_tables_are_not_mixed(tmp_path: Path) -> None:
    """No mode writes runs into a plain table, or puts a plain table in the place of runs."""
    published(tmp_path / "plain", "a", "a", "create")
    published(tmp_path / "kept", "a", "a", "runs")
    for name, mode in (("plain", "runs"), ("kept", "create"), ("kept", "overwrite"), ("kept", "partitions")):
        with pytest.raises(OutputError):
            published(tmp_path / name, "b", "b", mode)
    assert contents(tmp_path / "plain") == {"part-0": "a"}
    assert contents(follow_pointer(tmp_path / "kept")) == {"part-0": "a"}


def by_day(target: Path, name: str, *days: str) -> None:
    """Publish partitions with the name as their content, replacing exactly those."""
    with claim(run(name), LocalLocation(target), modes.Partitions()) as claimed, claimed.publication() as staging:
        for day in days:
            folder = Path(staging.removeprefix("file:"), day)
            folder.mkdir(parents=True)
            (folder / "part-0.parquet").write_text(name)


def test_exactly_the_partitions_of_the_result_are_replaced(tmp_path: Path) -> None:
    """Others stay as they are, at any depth, and the manifest is that of the last run."""
    out = tmp_path / "out"
    by_day(out, "a", "month=1/day=1", "month=1/day=2", "month=2/day=1")
    by_day(out, "b", "month=1/day=2", "month=3/day=1")
    assert contents(out) == {
        "month=1/day=1/part-0.parquet": "a",
        "month=1/day=2/part-0.parquet": "b",
        "month=2/day=1/part-0.parquet": "a",
        "month=3/day=1/part-0.parquet": "b",
    }
    assert json.loads((out / MANIFEST).read_text())["run_id"] == "b"


def test_partitions_by_other_columns_are_refused(tmp_path: Path) -> None:
    """A table by day takes no partitions by month, nor does one without partitions."""
    by_day(tmp_path / "out", "a", "day=1")
    published(tmp_path / "plain", "a", "a", "create")
    for name in ("out", "plain"):
        with pytest.raises(OutputError, match="partitions by"):
            by_day(tmp_path / name, "b", "month=1")


def test_partitions_by_other_columns_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The columns are known before the rows; those of any table, and of one without partitions, are compared."""
    target, mode = LocalLocation(tmp_path / "out"), modes.Partitions()
    mode.check_columns(target, ("day",))
    (tmp_path / "out").mkdir()
    mode.check_columns(target, ("day",))
    (tmp_path / "out" / "a%3Ab=1").mkdir()
    (tmp_path / "out" / "a%3Ab=1" / "x.parquet").touch()
    mode.check_columns(target, ("a:b",))
    with pytest.raises(OutputError, match="got partitions by a:b; expected partitions by a:b/day"):
        mode.check_columns(target, ("a:b", "day"))
    modes.Overwrite().check_columns(target, ("day",))
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "x.parquet").touch()
    with pytest.raises(OutputError, match="got partitions by no column; expected partitions by day"):
        mode.check_columns(LocalLocation(tmp_path / "plain"), ("day",))


def test_a_partition_of_another_spelling_is_refused(tmp_path: Path) -> None:
    """Where another program has written day=01, a second folder day=1 would give readers its rows twice."""
    by_day(tmp_path / "out", "theirs", "day=01", "day=x1")
    with pytest.raises(OutputError, match="day=01"):
        by_day(tmp_path / "out", "a", "day=1")
    by_day(tmp_path / "out", "a", "day=x01", "day=01")
    assert contents(tmp_path / "out") == {
        "day=01/part-0.parquet": "a",
        "day=x01/part-0.parquet": "a",
        "day=x1/part-0.parquet": "theirs",
    }


def test_no_reader_ever_finds_nothing(tmp_path: Path) -> None:
    """While an output is overwritten thirty times, it can be opened at every moment."""
    out = tmp_path / "out"
    published(out, "first", "0")
    done, read = threading.Event(), list[str]()

    def reader() -> None:
        while not done.is_set():
            read.append((out / "part-0").read_text())

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(reader)
        for i in range(30):
            published(out, str(i), str(i))
        done.set()
        reading.result()
    assert len(set(read)) > 10


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"folder": "runs/../../x", "published": []}', '{"folder": "runs/a", "published": ["/x"]}']
)
def test_a_damaged_pointer_is_refused(tmp_path: Path, text: str) -> None:
    """A pointer that is none, or leads out of its output, is an error that names it."""
    (tmp_path / "current.gmm_spark.json").write_text(text)
    with pytest.raises(InputError, match=r"current\.gmm_spark\.json"):
        follow_pointer(tmp_path)
