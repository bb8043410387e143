"""Which run of an output counts, and which it has published: what the pointer in its folder says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.batch.manifest.manifest import MANIFEST
from gmm_spark.store.run_pointer import MOST_CHARACTERS, POINTER, RUNS, Pointer, decode_pointer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.batch.files.location import Location


def pointer_of(target: Location) -> Pointer | None:
    """Return which run of an output counts; None where it does not keep its runs.

    Raises:
        InputError: its pointer is damaged.
    """
    file = target.child(POINTER)
    text = file.read(MOST_CHARACTERS)
    return None if text is None else decode_pointer(text, str(file))


def current(target: Location) -> Location:
    """Return the folder of an output that counts: that of its last published run, or the output itself."""
    pointer = pointer_of(target)
    return target if pointer is None else target.child(pointer.folder)


def manifests(target: Location, key: str) -> Iterator[Location]:
    """Yield where in an output the manifest of a run of this key may be."""
    yield current(target).child(MANIFEST)
    if f"{RUNS}/{key}" in published_runs(target):
        yield target.child(f"{RUNS}/{key}/{MANIFEST}")


def published_runs(target: Location) -> tuple[str, ...]:
    """Return the folders of an output's published runs, the oldest first; none where it does not keep its runs."""
    pointer = pointer_of(target)
    return () if pointer is None else pointer.published
