"""What an output may replace: outputs of gmm_spark and plain Parquet tables, and nothing else. No Spark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.manifest.manifest import MANIFEST
from gmm_spark.batch.publish import modes
from gmm_spark.batch.publish.ownership import container_of, foreign_contents, foreign_entries
from gmm_spark.batch.publish.replacing import put_in_place
from gmm_spark.batch.publish.target import check_no_overlap, claim
from gmm_spark.errors import OutputError
from tests.batch.publish.test_publish import contents, publish
from tests.batch.runs import run

if TYPE_CHECKING:
    from collections.abc import Callable


def files(root: Path, *paths: str) -> None:
    """Write files that contain their own path; a path that ends with / becomes a folder."""
    for path in paths:
        place = root / path
        (place if path.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            place.write_text(path)


# content of the output, and a part of the error
FOREIGN: dict[str, tuple[list[str], str]] = {
    "a file": (["out"], "a file"),
    "foreign files": (["out/notes.csv", "out/a.parquet"], "'notes.csv'"),
    "many foreign files": (["out/1", "out/2", "out/3", "out/4"], "'1', '2', '3' and more"),
    "a hidden file": (["out/a.parquet", "out/.bashrc"], "'.bashrc'"),
    "a hidden folder": (["out/.git/config"], "'.git/'"),
    "a Delta table": (["out/_delta_log/00000000000000000000.json", "out/a.parquet"], "a Delta table"),
    "a Hudi table": (["out/.hoodie/hoodie.properties", "out/a.parquet"], "a Hudi table"),
    "an Iceberg table": (["out/metadata/v1.metadata.json", "out/data/a.parquet"], "an Iceberg table"),
    "a compressed Iceberg table": (["out/metadata/00000-x.metadata.json.gz"], "an Iceberg table"),
    "a table in a folder": (["out/trips/a.parquet"], "'trips/'"),
    "a table in a partition": (["out/day=1/a.parquet", "out/day=2/_delta_log/0.json"], "'day=2/_delta_log/'"),
    "an output in a partition": (["out/day=1/a.parquet", f"out/day=1/{MANIFEST}"], MANIFEST),
    "a manifest that is none": (["out/a.parquet", f"out/{MANIFEST}"], MANIFEST),
    "another writer at work": (["out/_temporary/0/x", "out/a.parquet"], "'_temporary/'"),
    "runs of another program": (["out/runs/one/x"], "'runs/'"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("mode", ["overwrite", "partitions", "runs"])
def test_foreign_content_is_refused_and_stays(tmp_path: Path, name: str, mode: str) -> None:
    """In each mode, a folder that gmm_spark did not write is refused, with its content in the error."""
    paths, named = FOREIGN[name]
    files(tmp_path, *paths)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError) as caught:
        publish(tmp_path / "out", "a", "new", mode)
    if mode != "runs":
        assert named in str(caught.value)
        assert "output.replace_foreign=true" in caught.value.do or name == "a manifest that is none"
    hidden = tmp_path / ".out.gmm_spark"
    after = [path for path in tmp_path.rglob("*") if path.is_file() and hidden not in path.parents]
    assert {path: path.read_bytes() for path in after} == before


@pytest.mark.parametrize(
    "paths",
    [
        ["out/"],
        ["out/a.parquet", "out/_SUCCESS", "out/_metadata", "out/.a.parquet.crc", "out/._SUCCESS.crc"],
        [
            "out/year=1/day=2/a.parquet",
            "out/year=1/day=__HIVE_DEFAULT_PARTITION__/b.parquet",
            "out/_hidden=1/c.parquet",
        ],
    ],
)
def test_nothing_and_plain_parquet_tables_are_replaced(tmp_path: Path, paths: list[str]) -> None:
    """An empty folder is replaced, and so are *.parquet files in folders name=value with Spark's extra files."""
    files(tmp_path, *paths)
    assert publish(tmp_path / "out", "a", "new") is None
    assert contents(tmp_path / "out") == {"part-0": "new"}


def test_an_output_is_replaced_unless_a_file_was_added(tmp_path: Path) -> None:
    """An output is refused if it has a file that its manifest does not list, or a Delta log."""
    out = tmp_path / "out"
    publish(out, "a", "old")
    assert foreign_contents(LocalLocation(out)) is None
    (out / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"mine\.txt"):
        publish(out, "b", "new")
    (out / "mine.txt").unlink()
    files(out, "_delta_log/00000000000000000000.json")
    with pytest.raises(OutputError, match="a Delta table"):
        publish(out, "b", "new")
    assert (out / "part-0").read_text() == "old"


@pytest.mark.parametrize(
    "name", ["a file", "foreign files", "a Delta table", "a hidden folder", "a manifest that is none"]
)
def test_foreign_content_is_replaced_on_demand(tmp_path: Path, name: str) -> None:
    """With output.replace_foreign a file or any folder is replaced, and nothing of it remains."""
    files(tmp_path, *FOREIGN[name][0])
    with (
        claim(run("a"), LocalLocation(tmp_path / "out"), modes.Overwrite(replace_foreign=True)) as claimed,
        claimed.publication() as staging,
    ):
        files(Path(staging.removeprefix("file:")), "part-0")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MANIFEST, "part-0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.gmm_spark", "out"]


def test_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    """A target that is neither file nor folder is refused with any option."""
    os.mkfifo(tmp_path / "out")
    with pytest.raises(OutputError, match="neither a file nor a folder"):
        modes.Overwrite(replace_foreign=True).check(LocalLocation(tmp_path / "out"))


def publish_with_tampering(out: Path, mode: modes.Mode, change: Callable[[], object]) -> None:
    """Publish, while another program changes the output between the last check and the exchange."""
    with claim(run("b"), LocalLocation(out), mode) as claimed, claimed.publication() as staging:
        files(Path(staging.removeprefix("file:")), "day=1/part-new.parquet")

        def late(*arguments: Any) -> None:  # noqa: ANN401 - those of put_in_place
            change()
            put_in_place(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(modes, "put_in_place", late)
            mode.publish(modes.Place(claimed.location, claimed.hidden.work_folder("b"), "b"))


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("mode", [modes.Overwrite(), modes.Partitions(), modes.Create()])
def test_a_late_change_of_another_program_is_restored(
    tmp_path: Path, mode: modes.Mode, monkeypatch: pytest.MonkeyPatch, *, exchanges: bool
) -> None:
    """The old output is checked after it was moved away, and moved back if it may not be replaced."""
    out = tmp_path / "out"
    if mode.name != "create":
        files(out, "day=1/part-old.parquet")
    if not exchanges:
        monkeypatch.setattr(LocalLocation, "exchange", lambda *_: False)
    with pytest.raises(OutputError):
        publish_with_tampering(out, mode, lambda: files(out, "day=1/theirs.csv"))
    old = {} if mode.name == "create" else {"day=1/part-old.parquet": "day=1/part-old.parquet"}
    assert contents(out) == {**old, "day=1/theirs.csv": "day=1/theirs.csv"}


def test_the_target_of_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    """Lock and staging folder are beside the link's target, where a writer that uses that name finds them."""
    files(tmp_path, "disk/out/old.parquet")
    (tmp_path / "out").symlink_to("disk/out")
    (tmp_path / "again").symlink_to(tmp_path / "out")
    publish(tmp_path / "again", "a", "new")
    assert (tmp_path / "out").readlink() == Path("disk/out")
    assert contents(tmp_path / "disk" / "out") == {"part-0": "new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "disk", "out"]


@pytest.mark.parametrize("mode", ["create", "overwrite", "partitions", "runs"])
def test_a_link_in_a_circle_is_refused_at_once(tmp_path: Path, mode: str) -> None:
    """A circular link is refused before the job starts, and no file is written beside it."""
    (tmp_path / "out").symlink_to("out")
    with pytest.raises(OutputError, match="a symbolic link that leads in a circle"):
        publish(tmp_path / "out", "a", "new", mode)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".out.gmm_spark"] == ["out"]


def test_create_names_a_file(tmp_path: Path) -> None:
    """The error says whether a file or a folder exists at the output's path."""
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="got a file; expected a path that does not exist yet"):
        publish(tmp_path / "out", "a", "new", "create")


def test_a_link_to_nothing_is_followed(tmp_path: Path) -> None:
    """The output is written to the path that the link points to."""
    (tmp_path / "out").symlink_to("later/out")
    publish(tmp_path / "out", "a", "new", "create")
    assert (tmp_path / "out").is_symlink()
    assert contents(tmp_path / "later" / "out") == {"part-0": "new"}


@pytest.mark.parametrize("inside", ["day=1", "day=2/a.parquet"])
def test_links_within_an_output_are_not_replaced(tmp_path: Path, inside: str) -> None:
    """An old output is refused if one of its partitions or files is a link, which would be lost."""
    files(tmp_path, "out/day=2/b.parquet", "elsewhere/a.parquet")
    (tmp_path / "out" / inside).symlink_to(tmp_path / "elsewhere")
    for mode in ("overwrite", "partitions"):
        with pytest.raises(OutputError, match=inside):
            publish(tmp_path / "out", mode, "new", mode)


@pytest.mark.parametrize("where", [".", "sub"])
def test_the_current_folder_is_not_moved_away(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder of the job and the folders around it are refused, even if they are empty or foreign."""
    files(tmp_path, "out/sub/")
    monkeypatch.chdir(tmp_path / "out" / where)
    with pytest.raises(OutputError, match="the current folder"):
        modes.Overwrite(replace_foreign=True).check(LocalLocation(tmp_path / "out"))


def test_the_home_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home folder and the folders around it are refused, also under the name of a link."""
    files(tmp_path, "homes/user/")
    (tmp_path / "home").symlink_to("homes/user")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for place in ("homes/user", "homes", "home"):
        with pytest.raises(OutputError, match="the home folder"):
            modes.Overwrite(replace_foreign=True).check(LocalLocation(tmp_path / place).resolved())


@pytest.mark.parametrize("mode", ["create", "overwrite", "partitions", "runs"])
def test_a_root_is_refused(mode: str) -> None:
    """Each mode refuses a root, because the hidden folder cannot be beside it."""
    with pytest.raises(OutputError, match="the root of a filesystem"):
        publish(Path("/"), "a", "new", mode)


@pytest.mark.parametrize(
    ("paths", "what"),
    [
        (["t/_delta_log/0.json"], "a Delta table"),
        (["t/metadata/v3.metadata.json"], "an Iceberg table"),
        (["t/.hoodie/hoodie.properties"], "a Hudi table"),
    ],
)
def test_an_output_inside_a_table_is_refused(tmp_path: Path, paths: list[str], what: str) -> None:
    """A file in a table would become part of it, or be removed by its clean-up; the job need not read the table."""
    files(tmp_path, *paths)
    for place in ("t/data/x", "t/day=1"):
        with pytest.raises(OutputError, match=what):
            publish(tmp_path / place, "a", "new", "create")
    assert not list(tmp_path.rglob("*.gmm_spark"))


def test_an_output_inside_an_output_is_refused(tmp_path: Path) -> None:
    """It would be removed with the outer output; a file that only has the name of a manifest does not count."""
    publish(tmp_path / "one", "a", "a", "create")
    publish(tmp_path / "kept", "a", "a", "runs")
    for place in ("one/x", "kept/x", "kept/runs/a/x"):
        with pytest.raises(OutputError, match="an output of gmm_spark"):
            publish(tmp_path / place, "b", "b", "create")
    files(tmp_path, f"theirs/{MANIFEST}")
    assert container_of(LocalLocation(tmp_path / "theirs" / "x")) is None


def test_only_unchanged_runs_are_removed(tmp_path: Path) -> None:
    """output.retain does not remove a run folder with additional files, a folder without manifest, or a link."""
    out = tmp_path / "out"
    for name in ("a", "b", "c", "d"):
        publish(out, name, name, "runs")
    files(out, "runs/a/mine.txt")
    (out / "runs" / "b" / MANIFEST).unlink()
    (out / "runs" / "c").rename(tmp_path / "moved")
    (out / "runs" / "c").symlink_to(tmp_path / "moved")
    with claim(run("e"), LocalLocation(out), modes.Runs(retain=1)) as claimed, claimed.publication() as staging:
        files(Path(staging.removeprefix("file:")), "part-0")
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["a", "b", "c", "e"]
    assert contents(tmp_path / "moved") == {"part-0": "c"}


def test_a_foreign_folder_of_the_name_of_a_run_stays(tmp_path: Path) -> None:
    """A run refuses to write if its run folder exists and no published run wrote it."""
    out = tmp_path / "out"
    publish(out, "a", "a", "runs")
    files(out, "runs/b/theirs")
    with pytest.raises(OutputError, match="no published run"):
        publish(out, "b", "b", "runs")
    assert (out / "runs" / "b" / "theirs").exists()


def test_old_partitions_do_not_come_back_into_a_new_output(tmp_path: Path) -> None:
    """After a kill that followed a replacement by two renames, the old partitions are not restored."""
    out = tmp_path / "out"
    files(out, "day=2/new.parquet")
    files(tmp_path, ".out.gmm_spark/dead.staging/old/out/day=1/old.parquet")
    publish(out, "b", "b")
    publish(tmp_path / "other", "b", "b")
    assert contents(out) == {"part-0": "b"}
    files(tmp_path, ".out.gmm_spark/dead.staging/old/out/day=1/old.parquet")
    with claim(run("c"), LocalLocation(out), modes.Partitions()):
        assert contents(out) == {"part-0": "b"}


@pytest.mark.parametrize("name", ["a file", "foreign files", "a Delta table", "a hidden file", "a table in a folder"])
def test_partitions_are_added_to_plain_tables_only(tmp_path: Path, name: str) -> None:
    """A quarantine table may contain partitions of earlier runs and their hidden folders, and nothing else."""
    files(tmp_path, *FOREIGN[name][0], "good/run_id=1/a.parquet", "good/.run_id=1.gmm_spark/manifests/1.json")
    assert foreign_entries(LocalLocation(tmp_path / "out")) is not None
    assert foreign_entries(LocalLocation(tmp_path / "good")) is None


@pytest.mark.parametrize("name", ["in", "link", "in/.", "in/../in", "in/day=1", ".", "in/day=1/../.."])
def test_an_input_by_any_name_is_the_input(tmp_path: Path, name: str) -> None:
    """Links, dots and folders around or inside the input overlap; a folder whose name only starts like it does not."""
    files(tmp_path, "in/day=1/a.parquet", "inner/")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "up").symlink_to(tmp_path)
    source = LocalLocation(tmp_path / "up" / "in")
    assert LocalLocation(tmp_path / name).overlaps(source)
    assert not LocalLocation(tmp_path / "inner").overlaps(source)
    assert not LocalLocation(tmp_path / "in2").overlaps(source)


def test_an_input_that_may_be_anywhere_is_not_overwritten(tmp_path: Path) -> None:
    """If the place of an input is unknown, only empty folders and outputs of gmm_spark are replaced."""
    files(tmp_path, "plain/a.parquet", "empty/")
    publish(tmp_path / "ours", "a", "a")
    with pytest.raises(OutputError, match="may belong to the input catalog"):
        check_no_overlap(LocalLocation(tmp_path / "plain"), ["catalog.t"])
    for name in ("ours", "empty", "new"):
        check_no_overlap(LocalLocation(tmp_path / name), ["catalog.t"])
