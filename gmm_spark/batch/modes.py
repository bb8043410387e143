"""How an output takes the place of the one before, and what a reader sees meanwhile or after a kill at any step.

create      The folder appears in one rename.
overwrite   The folder is replaced: in one step where two folders can be exchanged (local filesystems of Linux and
            macOS), elsewhere by two renames, and between them there is nothing; the next run gives the old one back.
partitions  Exactly the partitions of the result are replaced, each as by overwrite: between the first and the last
            some are new and some old.
runs        A new folder below `runs/`, then the pointer: old or new, on every filesystem, object stores too.

On an object store a rename is a copy, so that of these four only the last is safe there.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.errors import OutputError
from gmm_spark.pointer import POINTER, RUNS, Pointer, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.batch.location import Location
    from gmm_spark.batch.sections import OutputConfig

NEW, OLD = "new", "old"  # within a workshop
MANIFEST = "_manifest.json"  # hidden from readers of tables, as every name with such a first character
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where one run publishes.

    Args:
        target: the output.
        workshop: a hidden folder of this run alone, on the same filesystem.
        key: the run's id as a file name.
    """

    target: Location
    workshop: Location
    key: str

    @property
    def aside(self) -> Location:
        """Where the old output is moved."""
        return self.workshop.child(f"{OLD}/{self.target.name}")


@dataclass(frozen=True)
class Create:
    """The folder becomes the new output, and must not exist before."""

    name: str = "create"

    def check(self, target: Location) -> None:
        """Refuse a target that may not be replaced in this way.

        Raises:
            OutputError: it may not.
        """
        if target.exists():
            raise OutputError(
                f"the output {target}",
                got="a folder that exists",
                expected="a path that does not exist yet",
                do="Choose another output.path, or allow its replacement by output.mode=overwrite.",
            )

    def staging(self, place: Place) -> Location:
        """Return where the run writes: within one filesystem with the target, for a rename."""
        # One level down, for Spark warns of every table whose own name is hidden.
        return place.workshop.child(f"{NEW}/{place.target.name}")

    def folder(self, key: str) -> str:  # noqa: ARG002 - another mode needs it
        """Return where in the target the files of a run are; empty for the target itself."""
        return ""

    def publish(self, place: Place) -> None:
        """Put the staging folder, with its manifest, in the target's place."""
        # Looked at again: somebody may have made the target since, and nothing of theirs is to be lost.
        self.check(place.target)
        take_place(self.staging(place), place.target, place.aside)

    def undo(self, place: Place) -> None:
        """Give back what a run that did not come to its end had moved away."""
        if place.aside.exists() and not place.target.exists():
            _give_back(place.aside, place.target)


@dataclass(frozen=True)
class Overwrite(Create):
    """The folder becomes the new output, whatever was there, if it does not keep its runs."""

    name: str = "overwrite"

    def check(self, target: Location) -> None:
        """Refuse a target that keeps its runs: they would all be lost.

        Raises:
            OutputError: it does.
        """
        if target.child(POINTER).exists():
            raise OutputError(
                f"the output {target}",
                got="an output that keeps its runs",
                expected="a folder that one run may replace",
                do="Use output.mode=runs, or another output.path.",
            )


@dataclass(frozen=True)
class Partitions(Overwrite):
    """Exactly the partitions of the result are replaced; all others stay."""

    name: str = "partitions"

    def publish(self, place: Place) -> None:
        """Put each partition of the staging folder in the place of its old one, and the manifest last."""
        staging = self.staging(place)
        if not place.target.exists():
            take_place(staging, place.target, place.aside)
            return
        found = list(partitions(staging))
        _check_layout(found, place.target)
        for path in found:
            take_place(staging.child(path), place.target.child(path), place.aside.child(path))
        place.target.child(MANIFEST).replace(staging.child(MANIFEST).read() or "")

    def undo(self, place: Place) -> None:
        """Give back each partition that is missing in the target."""
        for path in partitions(place.aside):
            if not place.target.child(path).exists():
                _give_back(place.aside.child(path), place.target.child(path))


@dataclass(frozen=True)
class Runs(Create):
    """Each run has a folder of its own; a pointer names the one that counts.

    Args:
        retain: how many run folders are kept, the new one included; None for all.
    """

    name: str = "runs"
    retain: int | None = None

    def check(self, target: Location) -> None:
        """Refuse a folder with anything else in it.

        Raises:
            OutputError: a table without runs is there.
        """
        own = {RUNS, POINTER}
        others = [each.name for each in target.children() if each.name not in own and not each.name.startswith(".")]
        if others and not target.child(POINTER).exists():
            raise OutputError(
                f"the output {target}",
                got=f"a folder that holds {others[0]} and no {POINTER}",
                expected="an output that keeps its runs, or a path that does not exist yet",
                do="Choose another output.path, or move that folder away.",
            )

    def staging(self, place: Place) -> Location:
        """Return the run's own folder, where nobody looks before the pointer names it."""
        return place.target.child(self.folder(place.key))

    def folder(self, key: str) -> str:
        """Return the run's folder within the target."""
        return f"{RUNS}/{key}"

    def publish(self, place: Place) -> None:
        """Let the pointer name the new run; then remove the runs that need not be kept."""
        before = _published(place.target)
        folder = self.folder(place.key)
        published = (*(each for each in before if each != folder), folder)
        place.target.child(POINTER).replace(Pointer(folder, published).to_json())
        for old in published[: -self.retain] if self.retain else ():
            if (location := place.target.child(old)).exists():
                _LOG.info("removing %s: output.retain is %d", location, self.retain)
                location.discard()

    def undo(self, place: Place) -> None:
        """Remove the folder of a run that was not published."""
        if self.folder(place.key) not in _published(place.target):
            self.staging(place).discard()


Mode = Create


def mode_of(output: OutputConfig) -> Mode:
    """Return the mode that the options ask for."""
    if output.mode == "runs":
        return Runs(retain=output.retain)
    return {mode.name: mode for mode in (Create(), Overwrite(), Partitions())}[output.mode]


def pointer_of(target: Location) -> Pointer | None:
    """Return which run of an output counts; None where it does not keep its runs.

    Raises:
        InputError: its pointer is damaged.
    """
    file = target.child(POINTER)
    text = file.read()
    return None if text is None else decode(text, str(file))


def current(target: Location) -> Location:
    """Return the folder of an output that counts: that of its last published run, or the output itself."""
    pointer = pointer_of(target)
    return target if pointer is None else target.child(pointer.folder)


def manifests(target: Location, key: str) -> Iterator[Location]:
    """Yield where in an output the manifest of a run of this key may be."""
    yield current(target).child(MANIFEST)
    if f"{RUNS}/{key}" in _published(target):
        yield target.child(f"{RUNS}/{key}/{MANIFEST}")


def take_place(new: Location, target: Location, aside: Location) -> None:
    """Put a folder in a target's place; the old one ends in the workshop, which is discarded later.

    Raises:
        OutputError: the filesystem refuses; then the target is as it was.
    """
    if not target.exists():
        target.parent().make_folder()
        new.rename(target)
    elif not new.exchange(target):
        _LOG.info("%s is replaced by two renames: between them there is nothing", target)
        aside.parent().make_folder()
        target.rename(aside)
        try:
            new.rename(target)
        except BaseException:
            aside.rename(target)
            raise


def partitions(folder: Location, path: str = "") -> Iterator[str]:
    """Yield the relative paths of the innermost partitions of a table."""
    inner = [each.name for each in folder.children() if "=" in each.name and each.is_folder()]
    for name in inner:
        yield from partitions(folder.child(name), f"{path}/{name}" if path else name)
    if not inner and path:
        yield path


def _published(target: Location) -> tuple[str, ...]:
    pointer = pointer_of(target)
    return () if pointer is None else pointer.published


def _give_back(aside: Location, target: Location) -> None:
    _LOG.warning("giving back %s, which a run that is dead had moved away", target)
    aside.rename(target)


def _check_layout(found: list[str], target: Location) -> None:
    """Refuse to put partitions into a table that is laid out by other columns, or spells their values otherwise.

    Raises:
        OutputError: it is.
    """
    there = list(partitions(target))
    new = {_key(path)[0] for path in found}
    old = {_key(path)[0] for path in there}
    if any(True for name, _ in target.files() if "=" not in name):
        old.add(())
    if old and new - old:
        raise OutputError(
            f"the output {target}",
            got=f"partitions by {', '.join(map(str, sorted(old)))}",
            expected=f"partitions by {', '.join(map(str, sorted(new)))}",
            do="Correct output.partition_by, or choose another output.path.",
        )
    spelt = {_key(path): path for path in there}
    for path in found:
        if (other := spelt.get(_key(path), path)) != path:
            raise OutputError(
                f"the output {target}",
                got=f"the partition {other}",
                expected=f"it as {path}, for readers would add the rows of both",
                do="Rename that folder, or choose another output.path.",
            )


def _key(path: str) -> tuple[tuple[str, ...], tuple[str | int, ...]]:
    """Return columns and values of a partition as readers take them: month=01, which others write, is month=1."""
    parts = [part.partition("=") for part in path.split("/")]
    values = (int(value) if re.fullmatch(r"-?\d+", value, re.ASCII) else value for _, _, value in parts)
    return tuple(name for name, _, _ in parts), tuple(values)
