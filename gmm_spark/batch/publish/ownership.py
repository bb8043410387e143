"""What an output may replace: files that a manifest of gmm_spark lists, or a plain Parquet table, and nothing else."""

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
HIDDEN_SUFFIX = ".gmm_spark"  # ends the name of the hidden folder beside an output
# Files that Spark's writers add to a table, besides checksums.
_OF_SPARK = frozenset({"_SUCCESS", "_metadata", "_common_metadata"})


def foreign_contents(place: Location) -> str | None:
    """Return what in a place is neither an output of gmm_spark nor part of a plain Parquet table.

    Args:
        place: a folder, a file or nothing.

    Returns:
        A phrase that names it; None if all may be replaced: nothing, an empty folder, a plain Parquet table (*.parquet
        in folders name=value), or only files that the manifest of a gmm_spark run lists.
    """
    if not place.exists():
        return None
    if not place.is_folder():
        return "a file" if place.is_file() else "neither a file nor a folder"
    if kind := kind_of(place):
        return kind.name
    names = first_names(_ManifestFiles.of(place).foreign_paths(place))
    return f"a folder that holds {names}" if names else None


def foreign_entries(place: Location, *, ours: bool = False) -> str | None:
    """Return what in a folder, without its subfolders, is not part of a plain Parquet table; None if all is.

    Args:
        place: a folder, a file or nothing.
        ours: whether files that a gmm_spark manifest there lists are allowed too.
    """
    if not place.exists():
        return None
    if not place.is_folder():
        return "a file"
    if kind := kind_of(place):
        return kind.name
    listed = _ManifestFiles.of(place) if ours else _ManifestFiles()
    names = first_names(entry.name for entry in place.children() if not (_is_part(entry) or listed.has(entry.name)))
    return f"a folder that holds {names}" if names else None


def _is_part(entry: Location) -> bool:
    if entry.is_folder():
        return is_partition(entry.name) or entry.name.endswith(HIDDEN_SUFFIX)
    return is_parquet_part(entry.name)


def container_of(place: Location) -> tuple[Location, str] | None:
    """Return the table or gmm_spark output around a place and a phrase that says what it is; None for neither."""
    folder = place
    while not folder.is_root():
        folder = folder.parent()
        with suppress(OSError, *JAVA_ERRORS):  # a bucket whose root this user may not list
            if kind := kind_of(folder):
                return folder, kind.name
            if is_gmm_spark_output(folder):
                return folder, "an output of gmm_spark"
    return None


def is_gmm_spark_output(folder: Location) -> bool:
    """Say whether a folder has the manifest of a published run, or the pointer of an output with runs."""
    if published_files(folder) is not None:
        return True
    file = folder.child(POINTER)
    text = file.read(MOST_POINTER)
    try:
        return text is not None and bool(decode_pointer(text, str(file)))
    except InputError:
        return False


def published_files(folder: Location) -> frozenset[str] | None:
    """Return the relative paths of the files that a published run's manifest in a folder lists; None without one."""
    manifest = manifest_in(folder)
    if manifest is None or manifest.status or manifest.output is None:
        return None
    return frozenset(file.path for file in manifest.output.files)


def manifest_in(folder: Location) -> Manifest | None:
    """Return the manifest of a folder; None if there is none, or the file is no valid manifest."""
    file = folder.child(MANIFEST)
    text = file.read(MOST_CHARACTERS)
    try:
        return None if text is None else read_manifest(text, str(file))
    except OutputError:
        return None


@dataclass(frozen=True)
class _ManifestFiles:
    """The files that a manifest lists, and their folders."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    has_manifest: bool = False

    @staticmethod
    def of(folder: Location) -> _ManifestFiles:
        files = published_files(folder)
        folders = (str(parent) for file in files or () for parent in PurePosixPath(file).parents)
        return _ManifestFiles(files or frozenset(), frozenset(folders), files is not None)

    def foreign_paths(self, folder: Location, path: str = "") -> Iterator[str]:
        """Yield the paths that are neither in the manifest nor part of a plain Parquet table."""
        for entry in folder.children():
            name = f"{path}{entry.name}"
            if entry.is_link():
                yield name
            elif entry.is_folder():
                may_replace = self.has(name) or is_partition(entry.name)
                yield from self.foreign_paths(entry, f"{name}/") if may_replace else (f"{name}/",)
            elif not entry.is_file() or not (self.has(name) or is_parquet_part(entry.name)):
                yield name

    def has(self, path: str) -> bool:
        """Say whether a file or folder is in the manifest, or is the manifest."""
        return path in self.files or path in self.folders or (path == MANIFEST and self.has_manifest)


def is_partition(name: str) -> bool:
    """Say whether a folder of this name is a partition of a table."""
    return "=" in name and not name.startswith((".", "="))


def is_parquet_part(name: str) -> bool:
    """Say whether a file of this name belongs to a plain Parquet table: rows, or a file that Spark's writers add."""
    if name.startswith((".", "_")):
        return name in _OF_SPARK or (name.startswith(".") and name.endswith(".crc"))
    return name.endswith(".parquet")


def first_names(names: Iterable[str]) -> str:
    """Return the first few names for an error; an empty text if there are none."""
    first = list(islice(names, _MOST_NAMED + 1))
    return ", ".join(map(repr, first[:_MOST_NAMED])) + (" and more" if len(first) > _MOST_NAMED else "")
