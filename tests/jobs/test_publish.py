"""Outputs appear whole or not at all, on a filesystem of folders in memory. No Spark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from gmm_spark.batch.publish import Target
from gmm_spark.errors import OutputError


@dataclass(frozen=True)
class Memory:
    """A Location among folders in a dictionary, which refuses to make the names in `refused`."""

    folders: dict[str, str]
    path: str
    refused: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def __str__(self) -> str:
        return self.path

    def sibling(self, name: str) -> Memory:
        """Return another name in the same folder."""
        return Memory(self.folders, f"{self.path.rpartition('/')[0]}/{name}", self.refused)

    def child(self, name: str) -> Memory:
        """Return a name in this folder."""
        return Memory(self.folders, f"{self.path}/{name}", self.refused)

    def exists(self) -> bool:
        """Say whether it is there."""
        return self.path in self.folders

    def rename(self, to: Memory) -> None:
        """Move it, or refuse."""
        if to.path in self.refused and ".staging/" in self.path:
            raise OutputError(to.path, got="a refusal", expected="a name", do="Try again.")
        self.folders[to.path] = self.folders.pop(self.path)

    def discard(self) -> None:
        """Remove it and what it holds."""
        for path in [path for path in self.folders if f"{path}/".startswith(f"{self.path}/")]:
            del self.folders[path]


def publish(folders: dict[str, str], *, overwrite: bool, refused: frozenset[str] = frozenset()) -> None:
    """Write an output and publish it."""
    target = Target(cast("Any", Memory(folders, "/lake/out", refused)), overwrite)
    with target.publication() as staging:
        assert staging.startswith("/lake/.out-")
        folders[staging] = "new"


@pytest.mark.parametrize("before", [{}, {"/lake/out": "old"}])
def test_a_complete_output_takes_the_place_of_the_old_one(before: dict[str, str]) -> None:
    """Afterwards there is the new output and nothing else."""
    publish(before, overwrite=True)
    assert before == {"/lake/out": "new"}


def test_an_output_that_appeared_meanwhile_is_not_replaced() -> None:
    """Without permission to replace, the target is looked at again before the last step."""
    folders: dict[str, str] = {"/lake/out": "another job's"}
    with pytest.raises(OutputError, match="overwrite"):
        publish(folders, overwrite=False)
    assert folders == {"/lake/out": "another job's"}


def test_the_old_output_comes_back_if_the_new_one_cannot_take_its_place() -> None:
    """A filesystem that refuses the last rename leaves the old output where it was."""
    folders = {"/lake/out": "old"}
    with pytest.raises(OutputError, match="a refusal"):
        publish(folders, overwrite=True, refused=frozenset({"/lake/out"}))
    assert folders == {"/lake/out": "old"}


def test_a_failed_job_leaves_the_old_output() -> None:
    """An error while writing removes the staging folder and touches nothing else."""
    folders = {"/lake/out": "old"}
    target = Target(cast("Any", Memory(folders, "/lake/out")), overwrite=True)
    with pytest.raises(ZeroDivisionError), target.publication() as staging:
        folders[staging] = str(1 // 0)
    assert folders == {"/lake/out": "old"}
