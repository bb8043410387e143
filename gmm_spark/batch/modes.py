"""How an output takes the place of the one before.

What a reader sees meanwhile, and after a kill at any step:

create, overwrite   the folder itself. Old or new where two folders can be exchanged in one step (local Linux and
                    macOS filesystems); elsewhere an overwrite is two renames, and between them there is nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.errors import OutputError

if TYPE_CHECKING:
    from gmm_spark.batch.location import Location

NEW, OLD = "new", "old"  # within a workshop
MANIFEST = "_manifest.json"  # hidden from readers of tables, as every name with such a first character
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mode:
    """The folder itself becomes the new output, which must not exist before."""

    name: str = "create"

    def check(self, target: Location) -> None:
        """Refuse a target that exists.

        Raises:
            OutputError: it exists.
        """
        if target.exists():
            raise OutputError(
                f"the output {target}",
                got="a folder that exists",
                expected="a path that does not exist yet",
                do="Choose another output.path, or allow its replacement by output.mode=overwrite.",
            )

    def staging(self, target: Location, workshop: Location, key: str) -> Location:  # noqa: ARG002 - other modes need it
        """Return where the run writes: within one filesystem with the target, for a rename."""
        # One level down, for Spark warns of every table whose own name is hidden.
        return workshop.child(f"{NEW}/{target.name}")

    def folder(self, key: str) -> str:  # noqa: ARG002 - as above
        """Return where in the target the run's files will be."""
        return ""

    def manifest(self, target: Location, key: str) -> Location:  # noqa: ARG002 - as above
        """Return where in the target a run of this key leaves its manifest."""
        return target.child(MANIFEST)

    def publish(self, target: Location, staging: Location, workshop: Location, key: str) -> None:  # noqa: ARG002
        """Put the staging folder in the target's place."""
        # Looked at again: somebody may have made the target since, and nothing of his is to be lost.
        self.check(target)
        take_place(staging, target, workshop.child(f"{OLD}/{target.name}"))


@dataclass(frozen=True)
class Overwrite(Mode):
    """The folder itself becomes the new output, whatever was there."""

    name: str = "overwrite"

    def check(self, target: Location) -> None:
        """Take any target."""


MODES = {mode.name: mode for mode in (Mode(), Overwrite())}


def take_place(new: Location, target: Location, aside: Location) -> None:
    """Put a folder in a target's place; the old one goes aside, within a folder that is discarded later.

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


def give_back(aside: Location, target: Location) -> None:
    """Move what a dead run had put aside back to its place, where that is empty."""
    for folder in aside.children():
        if not target.exists():
            _LOG.warning("giving back %s, which a dead run had moved away", target)
            folder.rename(target)
