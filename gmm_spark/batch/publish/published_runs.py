"""The current run and all published runs of an output, by the pointer in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.batch.manifest.manifest import MANIFEST
from gmm_spark.store.run_pointer import MOST_CHARACTERS, POINTER, RUNS, Pointer, decode_pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.batch.files.location import Location


def pointer_of(target: Location) -> Pointer | None:
    """Return the pointer of an output; None if the output has no runs.

    Raises:
        InputError: the pointer is damaged.
    """
    file = target.child(POINTER)
    text = file.read(MOST_CHARACTERS)
    return None if text is None else decode_pointer(text, str(file))


def current_folder(target: Location) -> Location:
    """Return the current folder of an output: that of the last published run, or the output itself without runs."""
    pointer = pointer_of(target)
    return target if pointer is None else target.child(pointer.folder)


def manifest_files(target: Location, key: str) -> Iterator[Location]:
    """Yield the files of an output that may be the manifest of the run with this key."""
    yield current_folder(target).child(MANIFEST)
    if f"{RUNS}/{key}" in published_runs(target):
        yield target.child(f"{RUNS}/{key}/{MANIFEST}")


def published_runs(target: Location) -> tuple[str, ...]:
    """Return the folders of an output's published runs, oldest first; none if it has no runs."""
    pointer = pointer_of(target)
    return () if pointer is None else pointer.published
