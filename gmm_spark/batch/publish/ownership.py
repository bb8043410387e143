"""What may be replaced: what this program wrote, as its manifest proves, or a plain Parquet table. Nothing else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gmm_spark.batch.files.table_kinds import kind_of
from gmm_spark.batch.manifest.manifest import MANIFEST, MOST_CHARACTERS, Manifest, read_manifest
from gmm_spark.errors import InputError, OutputError
from gmm_spark.spark.java import JAVA_ERRORS
from gmm_spark.store.run_pointer import MOST_CHARACTERS as MOST_POINTER
from gmm_spark.store.run_pointer import POINTER, decode_pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gmm_spark.batch.files.location import Location

_MOST_NAMED = 3
HIDDEN_SUFFIX = ".gmm_spark"  # the end of the name of the hidden folder beside an output
# What Spark's writers add to a table, beside checksums.
_SPARKS = frozenset({"_SUCCESS", "_metadata", "_common_metadata"})


def foreign_contents(place: Location) -> str | None:
    """Return what there is in a place that neither this program wrote nor a plain Parquet table holds.

    Args:
        place: a folder, a file or nothing.

    Returns:
        A phrase that names it; None where all may be replaced: there is nothing, an empty folder, a plain Parquet
        table (*.parquet in folders name=value), or the files in the manifest of one of our runs, and no other.
    """
    if not place.exists():
        return None
    if not place.is_folder():
        return "a file" if place.is_file() else "neither a file nor a folder"
    if kind := kind_of(place):
        return kind.name
    names = first_names(_Written.in_(place).foreigners(place))
    return f"a folder that holds {names}" if names else None


def foreign_entries(place: Location, *, ours: bool = False) -> str | None:
    """Return what there is in a folder, not in those below, that makes it no plain Parquet table; None for nothing.

    Args:
        place: a folder, a file or nothing.
        ours: whether it may be an output of gmm_spark.
    """
    if not place.exists():
        return None
    if not place.is_folder():
        return "a file"
    if kind := kind_of(place):
        return kind.name
    known = _Written.in_(place) if ours else _Written()
    names = first_names(each.name for each in place.children() if not (_is_part(each) or known.has(each.name)))
    return f"a folder that holds {names}" if names else None


def _is_part(each: Location) -> bool:
    if each.is_folder():
        return is_partition(each.name) or each.name.endswith(HIDDEN_SUFFIX)
    return is_parquets(each.name)


def holder_of(place: Location) -> tuple[Location, str] | None:
    """Return the table or the output of gmm_spark that a place is inside of, and what it is; None for neither."""
    folder = place
    while not folder.is_root():
        folder = folder.parent()
        with suppress(OSError, *JAVA_ERRORS):  # a bucket whose root may not be listed
            if kind := kind_of(folder):
                return folder, kind.name
            if is_ours(folder):
                return folder, "an output of gmm_spark"
    return None


def is_ours(folder: Location) -> bool:
    """Say whether a folder has the manifest of a published run, or the pointer of an output that keeps its runs."""
    if published_files(folder) is not None:
        return True
    file = folder.child(POINTER)
    text = file.read(MOST_POINTER)
    try:
        return text is not None and bool(decode_pointer(text, str(file)))
    except InputError:
        return False


def published_files(folder: Location) -> frozenset[str] | None:
    """Return the relative paths of the files that a run wrote to a folder, by its manifest; None without a proof."""
    manifest = manifest_in(folder)
    if manifest is None or manifest.status or manifest.output is None:
        return None
    return frozenset(file.path for file in manifest.output.files)


def manifest_in(folder: Location) -> Manifest | None:
    """Return the manifest of a folder; None where there is none, or something else of its name."""
    file = folder.child(MANIFEST)
    text = file.read(MOST_CHARACTERS)
    try:
        return None if text is None else read_manifest(text, str(file))
    except OutputError:
        return None


@dataclass(frozen=True)
class _Written:
    """What a manifest says: the files of an output, the folders that they are in."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    proven: bool = False

    @staticmethod
    def in_(folder: Location) -> _Written:
        files = published_files(folder)
        folders = (str(each) for file in files or () for each in PurePosixPath(file).parents)
        return _Written(files or frozenset(), frozenset(folders), files is not None)

    def foreigners(self, folder: Location, path: str = "") -> Iterator[str]:
        """Yield the paths of what is neither in the manifest nor part of a plain Parquet table."""
        for each in folder.children():
            name = f"{path}{each.name}"
            if each.is_link():
                yield name
            elif each.is_folder():
                known = self.has(name) or is_partition(each.name)
                yield from self.foreigners(each, f"{name}/") if known else (f"{name}/",)
            elif not each.is_file() or not (self.has(name) or is_parquets(each.name)):
                yield name

    def has(self, path: str) -> bool:
        """Say whether a file or folder is the run's, or the manifest that says so."""
        return path in self.files or path in self.folders or (path == MANIFEST and self.proven)


def is_partition(name: str) -> bool:
    """Say whether a folder of this name is a partition of a table."""
    return "=" in name and not name.startswith((".", "="))


def is_parquets(name: str) -> bool:
    """Say whether a file of this name belongs to a plain Parquet table: its rows, or what Spark's writers add."""
    if name.startswith((".", "_")):
        return name in _SPARKS or (name.startswith(".") and name.endswith(".crc"))
    return name.endswith(".parquet")


def first_names(names: Iterable[str]) -> str:
    """Return the first of some names for an error; empty where there is none."""
    found = list(islice(names, _MOST_NAMED + 1))
    return ", ".join(map(repr, found[:_MOST_NAMED])) + (" and more" if len(found) > _MOST_NAMED else "")
