"""Outputs appear whole or not at all: the effects of publishing on local folders. No Spark."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.manifest.manifest import MANIFEST
from gmm_spark.batch.publish import modes
from gmm_spark.batch.publish.target import check_no_overlap, claim
from gmm_spark.errors import InputError, OutputError, SchemaError
from gmm_spark.store.run_pointer import follow_pointer
from tests.batch.runs import run

MODES = {mode.name: mode for mode in (modes.Create(), modes.Overwrite(), modes.Partitions(), modes.Runs())}


def publish(target: Path, name: str, content: str, mode: str = "overwrite", *words: str) -> str | None:
    """Publish one file as a run with this id; return the message if the run was published before."""
    with claim(run(name, *words), LocalLocation(target), MODES[mode]) as claimed:
        if claimed.done_message is None:
            with claimed.publication() as staging:
                folder = Path(staging.removeprefix("file:"))
                folder.mkdir(parents=True)
                (folder / "part-0").write_text(content)
        return claimed.done_message


def contents(target: Path) -> dict[str, str]:
    """Return the files that readers of tables see, by relative path."""
    files = [path for path in target.rglob("*") if path.is_file() and path.name[0] not in "._"]
    return {str(path.relative_to(target)): path.read_text() for path in files}


def test_a_complete_output_replaces_the_old_one(tmp_path: Path) -> None:
    """Afterwards there are the new output and a hidden folder without lock and staging folder."""
    for content in ("old", "new"):
        publish(tmp_path / "out", content, content)
    assert contents(tmp_path / "out") == {"part-0": "new"}
    assert [path.name for path in (tmp_path / ".out.gmm_spark").iterdir()] == ["manifests"]


def test_create_refuses_an_existing_output(tmp_path: Path) -> None:
    """Without output.mode=overwrite nothing is replaced, not even an output of the same program."""
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match=r"output\.mode=overwrite"):
        publish(tmp_path / "out", "a", "new", "create")
    assert contents(tmp_path / "out") == {}


def test_an_output_that_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """The target is checked again before the last step."""
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
    """After an error while writing, the staging folder is gone and all other files are unchanged."""
    out = tmp_path / "out"
    publish(out, "a", "old")
    with (
        pytest.raises(ZeroDivisionError),
        claim(run("b"), LocalLocation(out), modes.Overwrite()) as claimed,
        claimed.publication(),
    ):
        raise ZeroDivisionError
    assert contents(out) == {"part-0": "old"}
    assert [path.name for path in (tmp_path / ".out.gmm_spark").iterdir()] == ["manifests"]


def test_the_same_run_twice_is_published_once(tmp_path: Path) -> None:
    """A second run of the same id does nothing and says so, also if another run published in between."""
    out = tmp_path / "out"
    assert publish(out, "a", "first") is None
    assert "run a is published" in str(publish(out, "a", "second"))
    assert contents(out) == {"part-0": "first"}
    publish(out, "b", "third")
    assert "nothing to do" in str(publish(out, "a", "fourth"))
    assert contents(out) == {"part-0": "third"}


def test_a_run_whose_output_was_removed_is_repeated(tmp_path: Path) -> None:
    """A run counts as published only while its target exists."""
    publish(tmp_path / "out", "a", "first")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    assert publish(tmp_path / "out", "a", "second") is None
    assert contents(tmp_path / "out") == {"part-0": "second"}


def test_a_run_may_not_change_its_options(tmp_path: Path) -> None:
    """A run id that was published with other options is refused, and the error names the section that differs."""
    publish(tmp_path / "out", "a", "first")
    with pytest.raises(OutputError, match=r"options that differ .* in sample"):
        publish(tmp_path / "out", "a", "second", "overwrite", "--sample.rows=2")


def test_the_manifest_lists_the_files(tmp_path: Path) -> None:
    """The manifest is in the output, hidden from readers of tables, with the list and the size of the files."""
    publish(tmp_path / "out", "a", "four")
    record = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert record["output"]["files"] == [{"path": "part-0", "bytes": 4}]
    assert (record["run_id"], record["status"], record["parents"]) == ("a", 0, {"scheduler": "s-1"})


def missing() -> list[LocalLocation]:
    """Raise the error about a missing input."""
    raise SchemaError("input.path in", got="nothing there", expected="rows", do="Correct input.path.")


def test_a_run_without_its_input_writes_a_manifest_and_may_be_repeated(tmp_path: Path) -> None:
    """A later success of the run replaces the manifest of a failure, and no later failure replaces that."""
    one, kept = run("a"), tmp_path / ".out.gmm_spark/manifests/a.json"
    with pytest.raises(SchemaError) as caught, claim(one, LocalLocation(tmp_path / "out"), modes.Create(), missing):
        pass
    one.record_failure(caught.value)
    failed = json.loads(kept.read_text())
    assert (failed["status"], failed["run_id"], failed["output"]) == (3, "a", None)
    publish(tmp_path / "out", "a", "at last")
    one.record_failure(caught.value)
    assert json.loads(kept.read_text())["status"] == 0


def test_a_run_that_is_published_needs_its_input_no_more(tmp_path: Path) -> None:
    """A retry of a published run does nothing, even if its input is gone."""
    publish(tmp_path / "out", "a", "new")
    with claim(run("a"), LocalLocation(tmp_path / "out"), modes.Create(), missing) as target:
        assert "nothing to do" in str(target.done_message)


def test_nothing_is_written_beside_an_output_that_is_within_an_input(tmp_path: Path) -> None:
    """A refused run writes no manifest there, and creates no folder."""
    (tmp_path / "in").mkdir()
    for path, inputs in (("in/out", lambda: [LocalLocation(tmp_path / "in")]), ("none/out", missing)):
        one = run("a")
        with pytest.raises((OutputError, SchemaError)) as caught:  # noqa: SIM117
            with claim(one, LocalLocation(tmp_path / path), modes.Create(), inputs):
                pass
        one.record_failure(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["in"]


@pytest.mark.parametrize("source", ["out", "out/day=0", "."])
def test_an_output_may_not_overlap_an_input(tmp_path: Path, source: str) -> None:
    """The output is refused if it is an input, contains one, or is inside one."""
    with pytest.raises(OutputError, match="neither the input"):
        check_no_overlap(LocalLocation(tmp_path / "out"), [LocalLocation(tmp_path / source)])


def test_each_run_has_its_folder_and_a_pointer_names_the_last(tmp_path: Path) -> None:
    """A reader of the first run still finds its files; output.retain removes the oldest run when a run is published."""
    out = tmp_path / "out"
    for name in ("a", "b"):
        publish(out, name, name, "runs")
    assert contents(follow_pointer(out)) == {"part-0": "b"}
    assert contents(out / "runs" / "a") == {"part-0": "a"}
    with claim(run("c"), LocalLocation(out), modes.Runs(retain=2)) as claimed, claimed.publication() as staging:
        Path(staging.removeprefix("file:")).mkdir()
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["b", "c"]
    assert "nothing to do" in str(publish(out, "a", "again", "runs"))


def test_a_failed_run_changes_no_pointer_and_leaves_no_folder(tmp_path: Path) -> None:
    """A run that fails while it writes leaves no files."""
    out = tmp_path / "out"
    publish(out, "a", "a", "runs")

    def failing() -> None:
        with claim(run("b"), LocalLocation(out), modes.Runs()) as claimed, claimed.publication() as staging:
            Path(staging.removeprefix("file:")).mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert contents(follow_pointer(out)) == {"part-0": "a"}
    assert [path.name for path in (out / "runs").iterdir()] == ["a"]


def test_runs_and_plain_tables_are_not_mixed(tmp_path: Path) -> None:
    """No mode writes runs into a plain table, or replaces runs by a plain table."""
    publish(tmp_path / "plain", "a", "a", "create")
    publish(tmp_path / "kept", "a", "a", "runs")
    for name, mode in (("plain", "runs"), ("kept", "create"), ("kept", "overwrite"), ("kept", "partitions")):
        with pytest.raises(OutputError):
            publish(tmp_path / name, "b", "b", mode)
    assert contents(tmp_path / "plain") == {"part-0": "a"}
    assert contents(follow_pointer(tmp_path / "kept")) == {"part-0": "a"}


def publish_by_day(target: Path, name: str, *days: str) -> None:
    """Publish partitions that contain this name, and replace only these partitions."""
    with claim(run(name), LocalLocation(target), modes.Partitions()) as claimed, claimed.publication() as staging:
        for day in days:
            folder = Path(staging.removeprefix("file:"), day)
            folder.mkdir(parents=True)
            (folder / "part-0.parquet").write_text(name)


def test_exactly_the_partitions_of_the_result_are_replaced(tmp_path: Path) -> None:
    """The other partitions are unchanged at any depth, and the manifest is that of the last run."""
    out = tmp_path / "out"
    publish_by_day(out, "a", "month=1/day=1", "month=1/day=2", "month=2/day=1")
    publish_by_day(out, "b", "month=1/day=2", "month=3/day=1")
    assert contents(out) == {
        "month=1/day=1/part-0.parquet": "a",
        "month=1/day=2/part-0.parquet": "b",
        "month=2/day=1/part-0.parquet": "a",
        "month=3/day=1/part-0.parquet": "b",
    }
    assert json.loads((out / MANIFEST).read_text())["run_id"] == "b"


def test_partitions_by_other_columns_are_refused(tmp_path: Path) -> None:
    """Partitions by month are not added to a table by day, nor to a table without partitions."""
    publish_by_day(tmp_path / "out", "a", "day=1")
    publish(tmp_path / "plain", "a", "a", "create")
    for name in ("out", "plain"):
        with pytest.raises(OutputError, match="partitions by"):
            publish_by_day(tmp_path / name, "b", "month=1")


def test_partitions_by_other_columns_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The partition columns of each existing table are compared before rows are written."""
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
    """If another program wrote day=01, an additional folder day=1 would give readers the rows twice."""
    publish_by_day(tmp_path / "out", "theirs", "day=01", "day=x1")
    with pytest.raises(OutputError, match="day=01"):
        publish_by_day(tmp_path / "out", "a", "day=1")
    publish_by_day(tmp_path / "out", "a", "day=x01", "day=01")
    assert contents(tmp_path / "out") == {
        "day=01/part-0.parquet": "a",
        "day=x01/part-0.parquet": "a",
        "day=x1/part-0.parquet": "theirs",
    }


def test_a_reader_always_finds_the_output(tmp_path: Path) -> None:
    """While an output is overwritten thirty times, a reader can open it at every moment."""
    out = tmp_path / "out"
    publish(out, "first", "0")
    done, read = threading.Event(), list[str]()

    def reader() -> None:
        while not done.is_set():
            read.append((out / "part-0").read_text())

    with ThreadPoolExecutor() as pool:
        reading = pool.submit(reader)
        for i in range(30):
            publish(out, str(i), str(i))
        done.set()
        reading.result()
    assert len(set(read)) > 10


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"folder": "runs/../../x", "published": []}', '{"folder": "runs/a", "published": ["/x"]}']
)
def test_a_damaged_pointer_is_refused(tmp_path: Path, text: str) -> None:
    """The error about a pointer that is invalid or leads out of its output names the file."""
    (tmp_path / "current.gmm_spark.json").write_text(text)
    with pytest.raises(InputError, match=r"current\.gmm_spark\.json"):
        follow_pointer(tmp_path)
