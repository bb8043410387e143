"""How a new output replaces the old one, and what a reader sees meanwhile or after a kill at any step.

create      The folder appears in one rename.
overwrite   The folder is replaced: in one step if the filesystem can exchange two folders (local ones of Linux and
            macOS), else by two renames. Between the two there is no output; after a kill there the next run restores
            the old one.
partitions  Only the partitions of the result are replaced, each as by overwrite: meanwhile some are new and some old.
runs        A new folder below `runs/`, then the pointer: a reader sees old or new, also on object stores.

On an object store a rename is a copy, so only `runs` is safe there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gmm_spark.batch.manifest.manifest import MANIFEST
from gmm_spark.batch.publish.ownership import first_names, foreign_contents, foreign_entries, manifest_in
from gmm_spark.batch.publish.published_runs import published_runs
from gmm_spark.batch.publish.refusals import not_runs_error, refuse_foreign, refuse_occupied, refuse_runs
from gmm_spark.batch.publish.replacing import check_columns, check_layout, move_back, partitions, put_in_place
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
        work_folder: a hidden folder that only this run uses, on the same filesystem.
        key: the run's id as a file name.
    """

    target: Location
    work_folder: Location
    key: str

    @property
    def aside(self) -> Location:
        """The place to which the old output is moved."""
        return self.work_folder.child(f"{OLD}/{self.target.name}")

    @property
    def parts(self) -> Location:
        """The place to which old partitions are moved: not `aside`, from which `undo` restores a whole output."""
        return self.work_folder.child(f"{PARTS}/{self.target.name}")


@dataclass(frozen=True)
class Create:
    """The output is a new folder, which must not exist before."""

    name: str = "create"
    replace_foreign: bool = False

    def check(self, target: Location, moved_to: Location | None = None) -> None:
        """Refuse a target that this mode may not replace.

        Args:
            target: the output.
            moved_to: where its content is now, if it has been moved away.

        Raises:
            OutputError: this mode may not replace it.
        """
        place = moved_to or target
        if place.exists():
            raise OutputError(
                f"the output {target}",
                got="a file" if place.is_file() else "a folder that exists",
                expected="a path that does not exist yet",
                do="Choose another output.path, or allow its replacement by output.mode=overwrite.",
            )

    def check_locked(self, target: Location) -> None:
        """Refuse a target as `check` does, after this run has got the lock and has undone the steps of dead runs.

        Raises:
            OutputError: this mode may not replace it.
        """
        self.check(target)

    def check_columns(self, target: Location, columns: tuple[str, ...]) -> None:
        """Refuse a target that is partitioned by other columns, before anything is written.

        Raises:
            OutputError: it is.
        """

    def staging(self, place: Place) -> Location:
        """Return the folder that the run writes, on the target's filesystem, so that it can be renamed."""
        # A level below the hidden folder: Spark warns of a table whose name is hidden.
        return place.work_folder.child(f"{NEW}/{place.target.name}")

    def folder(self, key: str) -> str:  # noqa: ARG002 - another mode needs it
        """Return the subfolder of the target for the files of a run; empty for the target itself."""
        return ""

    def publish(self, place: Place) -> None:
        """Rename the staging folder, with its manifest, to the target."""
        # Checked again: another program may have created the target since, and must not lose it.
        self.check(place.target)
        put_in_place(self.staging(place), place.target, place.aside, partial(self.check, place.target))

    def undo(self, place: Place) -> None:
        """Restore the output that an unfinished run had moved away."""
        if place.aside.exists() and not place.target.exists():
            move_back(place.aside, place.target)


@dataclass(frozen=True)
class Overwrite(Create):
    """The old output is replaced, if it is an output of gmm_spark without runs, or a plain Parquet table.

    Args:
        replace_foreign: replace any other file or folder too.
    """

    name: str = "overwrite"

    def check(self, target: Location, moved_to: Location | None = None) -> None:
        """Refuse a target that is foreign, has runs, or contains the current or the home folder of this process.

        Raises:
            OutputError: it is one of these.
        """
        refuse_occupied(target)
        self._refuse_others(target, moved_to or target)

    def check_locked(self, target: Location) -> None:
        """Refuse a target that has runs; the other checks are repeated just before the replacement.

        Raises:
            OutputError: it has runs.
        """
        refuse_runs(target, target)

    def _refuse_others(self, target: Location, place: Location) -> None:
        refuse_runs(target, place)
        if (place.exists() and not (place.is_folder() or place.is_file())) or not self.replace_foreign:
            refuse_foreign(target, foreign_contents(place))


@dataclass(frozen=True)
class Partitions(Overwrite):
    """Only the partitions of the result are replaced; all others stay."""

    name: str = "partitions"

    def check(self, target: Location, moved_to: Location | None = None) -> None:
        """Refuse a target as `Overwrite` does, but allow the current folder in it: the target itself is not moved.

        Raises:
            OutputError: it is foreign or has runs.
        """
        self._refuse_others(target, moved_to or target)

    def check_columns(self, target: Location, columns: tuple[str, ...]) -> None:
        """Refuse a target that is partitioned by other columns.

        Raises:
            OutputError: it is.
        """
        check_columns({columns}, target)

    def publish(self, place: Place) -> None:
        """Replace each partition by that of the staging folder, and the manifest last."""
        staging = self.staging(place)
        if not self.replace_foreign:  # this checks the folder itself; each partition is checked when it is replaced
            refuse_foreign(place.target, foreign_entries(place.target, ours=True))
        if not place.target.exists():
            put_in_place(staging, place.target, place.aside, partial(self.check, place.target))
            return
        new = list(partitions(staging))
        check_layout(new, place.target)
        for path in new:
            old = place.target.child(path)
            put_in_place(staging.child(path), old, place.parts.child(path), partial(super().check, old))
        place.target.child(MANIFEST).replace(staging.child(MANIFEST).read() or "")

    def undo(self, place: Place) -> None:
        """Restore each partition that is missing in the target."""
        super().undo(place)
        for path in partitions(place.parts):
            if not place.target.child(path).exists():
                move_back(place.parts.child(path), place.target.child(path))


@dataclass(frozen=True)
class Runs(Create):
    """Each run writes a new folder; a pointer names the current one.

    Args:
        retain: number of run folders to keep, the new one included; None for all.
    """

    name: str = "runs"
    retain: int | None = None

    def check(self, target: Location, moved_to: Location | None = None) -> None:
        """Refuse a target that has no pointer but other content.

        Raises:
            OutputError: it is a table without runs, a file, or a folder of another program.
        """
        place = moved_to or target
        if place.child(POINTER).exists() or not place.exists():
            return
        others = first_names(entry.name for entry in place.children() if entry.name != RUNS)
        if not place.is_folder():
            raise not_runs_error(target, "no folder")
        if others:
            raise not_runs_error(target, f"a folder that holds {others} and no {POINTER}")

    def check_locked(self, target: Location) -> None:
        """Refuse run folders without a pointer: another program wrote them.

        Raises:
            OutputError: there are such folders; or as in `check`.
        """
        self.check(target)
        others = first_names(entry.name for entry in target.child(RUNS).children())
        if others and not target.child(POINTER).exists():
            raise not_runs_error(target, f"a folder {RUNS} that holds {others}, and no {POINTER}")

    def staging(self, place: Place) -> Location:
        """Return the run's folder, which no reader opens before the pointer names it."""
        return place.target.child(self.folder(place.key))

    def folder(self, key: str) -> str:
        """Return the run's subfolder of the target."""
        return f"{RUNS}/{key}"

    def publish(self, place: Place) -> None:
        """Set the pointer to the new run; then remove the oldest runs beyond `retain`."""
        before = published_runs(place.target)
        folder = self.folder(place.key)
        folders = (*(old for old in before if old != folder), folder)
        place.target.child(POINTER).replace(Pointer(folder, folders).to_json())
        for old in folders[: -self.retain] if self.retain else ():
            self._retire(place.target.child(old), old)

    def _retire(self, location: Location, folder: str) -> None:
        """Remove the folder of an old run, if its content is what that run has published."""
        if not location.exists():
            return
        manifest = None if location.is_link() else manifest_in(location)
        output = None if manifest is None else manifest.output
        if output is None or output.folder != folder or foreign_contents(location):
            _LOG.warning(
                "%s stays, though output.retain is %d: it is not as its run published it", location, self.retain
            )
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
