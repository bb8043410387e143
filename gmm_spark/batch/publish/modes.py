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
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gmm_spark.batch.manifest.manifest import MANIFEST
from gmm_spark.batch.publish.ownership import first_names, foreign_contents, foreign_entries, manifest_in
from gmm_spark.batch.publish.published_runs import published_runs
from gmm_spark.batch.publish.refusals import not_runs, refuse_foreign, refuse_occupied, refuse_runs
from gmm_spark.batch.publish.replacing import check_columns, check_layout, give_back, partitions, take_place
from gmm_spark.errors import OutputError
from gmm_spark.store.run_pointer import POINTER, RUNS, Pointer

if TYPE_CHECKING:
    from gmm_spark.batch.files.location import Location
    from gmm_spark.batch.options.sections import OutputConfig

NEW, OLD, PARTS = "new", "old", "parts"  # within a work folder
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where one run publishes.

    Args:
        target: the output.
        work_folder: a hidden folder of this run alone, on the same filesystem.
        key: the run's id as a file name.
    """

    target: Location
    work_folder: Location
    key: str

    @property
    def aside(self) -> Location:
        """Where the old output is moved."""
        return self.work_folder.child(f"{OLD}/{self.target.name}")

    @property
    def parts(self) -> Location:
        """Where old partitions are moved: not with whole outputs, or they would be given back to a new one."""
        return self.work_folder.child(f"{PARTS}/{self.target.name}")


@dataclass(frozen=True)
class Create:
    """The folder becomes the new output, and must not exist before."""

    name: str = "create"
    replace_foreign: bool = False

    def check(self, target: Location, found: Location | None = None) -> None:
        """Refuse a target that may not be replaced in this way.

        Args:
            target: the output.
            found: where that is now, if it has been moved away; else in its place.

        Raises:
            OutputError: it may not.
        """
        if (found or target).exists():
            raise OutputError(
                f"the output {target}",
                got="a file" if (found or target).is_file() else "a folder that exists",
                expected="a path that does not exist yet",
                do="Choose another output.path, or allow its replacement by output.mode=overwrite.",
            )

    def settled(self, target: Location) -> None:
        """Refuse a target as `check` does, once no other run is at work in it and dead ones are undone.

        Raises:
            OutputError: it may not be replaced.
        """
        self.check(target)

    def check_columns(self, target: Location, columns: tuple[str, ...]) -> None:
        """Refuse a target whose partitions are by other columns, before anything is written.

        Raises:
            OutputError: it is.
        """

    def staging(self, place: Place) -> Location:
        """Return where the run writes: within one filesystem with the target, for a rename."""
        # One level down, for Spark warns of every table whose own name is hidden.
        return place.work_folder.child(f"{NEW}/{place.target.name}")

    def folder(self, key: str) -> str:  # noqa: ARG002 - another mode needs it
        """Return where in the target the files of a run are; empty for the target itself."""
        return ""

    def publish(self, place: Place) -> None:
        """Put the staging folder, with its manifest, in the target's place."""
        # Looked at again: somebody may have made the target since, and nothing of theirs is to be lost.
        self.check(place.target)
        take_place(self.staging(place), place.target, place.aside, partial(self.check, place.target))

    def undo(self, place: Place) -> None:
        """Give back what a run that did not come to its end had moved away."""
        if place.aside.exists() and not place.target.exists():
            give_back(place.aside, place.target)


@dataclass(frozen=True)
class Overwrite(Create):
    """The folder becomes the new output, if it is one of gmm_spark without runs, or a plain Parquet table.

    Args:
        replace_foreign: replace anything else, too.
    """

    name: str = "overwrite"

    def check(self, target: Location, found: Location | None = None) -> None:
        """Refuse a target that this program did not write, that keeps its runs, or that this process lives in.

        Raises:
            OutputError: it is one of these.
        """
        refuse_occupied(target)
        self._refuse_others(target, found or target)

    def settled(self, target: Location) -> None:
        """Refuse a target that keeps its runs; all else is looked at once more before it is replaced.

        Raises:
            OutputError: it does.
        """
        refuse_runs(target, target)

    def _refuse_others(self, target: Location, place: Location) -> None:
        refuse_runs(target, place)
        if (place.exists() and not (place.is_folder() or place.is_file())) or not self.replace_foreign:
            refuse_foreign(target, foreign_contents(place))


@dataclass(frozen=True)
class Partitions(Overwrite):
    """Exactly the partitions of the result are replaced; all others stay."""

    name: str = "partitions"

    def check(self, target: Location, found: Location | None = None) -> None:
        """Refuse a target as `Overwrite` does; this process may live in it, for it is not moved as a whole.

        Raises:
            OutputError: as above.
        """
        self._refuse_others(target, found or target)

    def check_columns(self, target: Location, columns: tuple[str, ...]) -> None:
        """Refuse a target whose partitions are by other columns.

        Raises:
            OutputError: it is.
        """
        check_columns({columns}, target)

    def publish(self, place: Place) -> None:
        """Put each partition of the staging folder in the place of its old one, and the manifest last."""
        staging = self.staging(place)
        if not self.replace_foreign:  # of the rest, only the partitions to be replaced are looked at once more
            refuse_foreign(place.target, foreign_entries(place.target, ours=True))
        if not place.target.exists():
            take_place(staging, place.target, place.aside, partial(self.check, place.target))
            return
        found = list(partitions(staging))
        check_layout(found, place.target)
        for path in found:
            old = place.target.child(path)
            take_place(staging.child(path), old, place.parts.child(path), partial(super().check, old))
        place.target.child(MANIFEST).replace(staging.child(MANIFEST).read() or "")

    def undo(self, place: Place) -> None:
        """Give back each partition that is missing in the target."""
        super().undo(place)
        for path in partitions(place.parts):
            if not place.target.child(path).exists():
                give_back(place.parts.child(path), place.target.child(path))


@dataclass(frozen=True)
class Runs(Create):
    """Each run has a folder of its own; a pointer names the one that counts.

    Args:
        retain: how many run folders are kept, the new one included; None for all.
    """

    name: str = "runs"
    retain: int | None = None

    def check(self, target: Location, found: Location | None = None) -> None:
        """Refuse a folder with anything else in it.

        Raises:
            OutputError: a table without runs is there, a file, or another program's folder.
        """
        place = found or target
        if place.child(POINTER).exists() or not place.exists():
            return
        others = first_names(each.name for each in place.children() if each.name != RUNS)
        if not place.is_folder():
            raise not_runs(target, "no folder")
        if others:
            raise not_runs(target, f"a folder that holds {others} and no {POINTER}")

    def settled(self, target: Location) -> None:
        """Refuse a folder of runs that no pointer names: another program's.

        Raises:
            OutputError: there is one, or as `check`.
        """
        self.check(target)
        others = first_names(each.name for each in target.child(RUNS).children())
        if others and not target.child(POINTER).exists():
            raise not_runs(target, f"a folder {RUNS} that holds {others}, and no {POINTER}")

    def staging(self, place: Place) -> Location:
        """Return the run's own folder, where no reader looks before the pointer names it."""
        return place.target.child(self.folder(place.key))

    def folder(self, key: str) -> str:
        """Return the run's folder within the target."""
        return f"{RUNS}/{key}"

    def publish(self, place: Place) -> None:
        """Let the pointer name the new run; then remove the runs that need not be kept."""
        before = published_runs(place.target)
        folder = self.folder(place.key)
        folders = (*(each for each in before if each != folder), folder)
        place.target.child(POINTER).replace(Pointer(folder, folders).to_json())
        for old in folders[: -self.retain] if self.retain else ():
            self._retire(place.target.child(old), old)

    def _retire(self, location: Location, folder: str) -> None:
        """Remove the folder of an old run, if it is what that run has published."""
        if not location.exists():
            return
        manifest = None if location.is_link() else manifest_in(location)
        output = None if manifest is None else manifest.output
        if output is None or output.folder != folder or foreign_contents(location):
            _LOG.warning("%s stays, though output.retain is %d: its run has not left it so", location, self.retain)
            return
        _LOG.info("removing %s: output.retain is %d", location, self.retain)
        location.discard()

    def undo(self, place: Place) -> None:
        """Remove the folder of a run that was not published."""
        if self.folder(place.key) not in published_runs(place.target):
            self.staging(place).discard()


Mode = Create


def mode_of(output: OutputConfig) -> Mode:
    """Return the mode that the options ask for."""
    if output.mode == "runs":
        return Runs(retain=output.retain)
    replacing = (kind(replace_foreign=output.replace_foreign) for kind in (Overwrite, Partitions))
    return {mode.name: mode for mode in (Create(), *replacing)}[output.mode]
