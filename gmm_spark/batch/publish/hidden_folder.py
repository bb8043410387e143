"""The hidden folder of an output, with its lock, the staging folders of runs, and the manifests of ended runs.

Beside the output `out` is the hidden folder `.out.gmm_spark`:

    lock                    one writer at a time
    <run>.staging/new/      the new output while a run writes it
    <run>.staging/old/      the old output while a run replaces it
    checkpoint/             the progress of a fit that is not published yet
    manifests/<run>.json    the manifest of each ended run, also of failed ones
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.batch.manifest.manifest import MOST_CHARACTERS, Manifest, read_manifest
from gmm_spark.batch.publish import modes
from gmm_spark.batch.publish.ownership import HIDDEN_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from gmm_spark.batch.files.location import Location

_LOG = logging.getLogger(__name__)
STAGING = ".staging"


@dataclass(frozen=True)
class HiddenFolder:
    """The hidden folder beside an output.

    Args:
        folder: its location.
    """

    folder: Location

    @staticmethod
    def beside(target: Location) -> HiddenFolder:
        """Return the hidden folder of an output."""
        return HiddenFolder(target.sibling(f".{target.name}{HIDDEN_SUFFIX}"))

    @property
    def lock(self) -> Location:
        """The lock file."""
        return self.folder.child("lock")

    def work_folder(self, key: str) -> Location:
        """Return the work folder of a run."""
        return self.folder.child(f"{key}{STAGING}")

    def manifest(self, key: str) -> Location:
        """Return the file with the manifest of an ended run."""
        return self.folder.child(f"manifests/{key}.json")

    def record(self, manifest: Manifest, key: str) -> None:
        """Store the manifest of a run; a failed run does not replace the manifest of a published run of the same id."""
        file = self.manifest(key)
        if manifest.status and (before := read_manifest_of(file)) is not None and not before.status:
            return
        file.parent().make_folder()
        file.replace(manifest.to_json())

    def recorder(self, key: str) -> Callable[[Manifest], None]:
        """Return a function that stores the manifest of the run with this key."""
        return lambda manifest: self.record(manifest, key)

    def clean(self, target: Location) -> None:
        """Undo the steps of dead runs: restore what they had moved away, and remove their work folders.

        Only the holder of the lock may call this: then every other run with a work folder is dead.
        """
        for work_folder in self.folder.children():
            if work_folder.name.endswith(STAGING):
                _LOG.warning("undoing the steps of a dead run in %s", work_folder)
                place = modes.Place(target, work_folder, work_folder.name.removesuffix(STAGING))
                for mode in (modes.Overwrite(), modes.Partitions(), modes.Runs()):  # the dead run's mode is unknown
                    mode.undo(place)
                work_folder.discard()


def read_manifest_of(file: Location) -> Manifest | None:
    """Return the manifest in a file; None if there is no file.

    Raises:
        OutputError: the file has other content.
    """
    text = file.read(MOST_CHARACTERS)
    return None if text is None else read_manifest(text, str(file))
