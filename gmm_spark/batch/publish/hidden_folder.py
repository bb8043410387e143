"""The hidden folder of an output, with its lock, the work of runs, and how each run ended.

Beside the output `out` is the hidden folder `.out.gmm_spark`:

    lock                    one writer at a time
    <run>.staging/new/      the output of a run in work
    <run>.staging/old/      what it is replacing
    checkpoint/             how far a fit has come that has not been published yet
    manifests/<run>.json    how each run ended, the failed ones too
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
        folder: where it is.
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
        """Return the folder of a run in work."""
        return self.folder.child(f"{key}{STAGING}")

    def manifest(self, key: str) -> Location:
        """Return the file that says how a run ended."""
        return self.folder.child(f"manifests/{key}.json")

    def record(self, manifest: Manifest, key: str) -> None:
        """Keep how a run ended; a failure does not replace the success of a run of the same name."""
        file = self.manifest(key)
        if manifest.status and (before := read_manifest_of(file)) is not None and not before.status:
            return
        file.parent().make_folder()
        file.replace(manifest.to_json())

    def recorder(self, key: str) -> Callable[[Manifest], None]:
        """Return what keeps how the run of this key ended."""
        return lambda manifest: self.record(manifest, key)

    def clean(self, target: Location) -> None:
        """Undo what dead runs have started: give back what they had moved away, and remove their staging folders.

        Only for the holder of the lock: then every run in work but its own is dead.
        """
        for work_folder in self.folder.children():
            if work_folder.name.endswith(STAGING):
                _LOG.warning("undoing what %s has started: its run is dead", work_folder)
                place = modes.Place(target, work_folder, work_folder.name.removesuffix(STAGING))
                for mode in (modes.Overwrite(), modes.Partitions(), modes.Runs()):  # it may have been another one
                    mode.undo(place)
                work_folder.discard()


def read_manifest_of(file: Location) -> Manifest | None:
    """Return the manifest in a file; None where there is no file.

    Raises:
        OutputError: there is something else in it.
    """
    text = file.read(MOST_CHARACTERS)
    return None if text is None else read_manifest(text, str(file))
