"""A file or folder on any filesystem: the operations that publishing needs."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gmm_spark.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger(__name__)
# Files of gmm_spark are untrusted input: no more than this is read of one, and a truncated text is refused as damaged.
_MOST_TEXT = 64 << 20


class Location(ABC):
    """A file or folder that may or may not exist. `str` returns its path as Spark understands it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the path."""

    @abstractmethod
    def child(self, name: str) -> Location:
        """Return the location of a name in this folder; the name may have several parts."""

    @abstractmethod
    def parent(self) -> Location:
        """Return the folder that holds this one; for the root, the root itself."""

    @abstractmethod
    def exists(self) -> bool:
        """Say whether there is a file or folder."""

    @abstractmethod
    def is_file(self) -> bool:
        """Say whether there is a plain file, not a pipe or a device: opening a pipe could wait for ever."""

    @abstractmethod
    def is_folder(self) -> bool:
        """Say whether there is a folder."""

    @abstractmethod
    def is_link(self) -> bool:
        """Say whether this name is a symbolic link."""

    @abstractmethod
    def resolved(self) -> Location:
        """Return the location that a symbolic link points to, which need not exist; without a link, this location."""

    @abstractmethod
    def is_root(self) -> bool:
        """Say whether this is the root of its filesystem or bucket."""

    @abstractmethod
    def occupant(self) -> str | None:
        """Return which folder of this process, current or home, is this folder or is inside it; None for neither."""

    @abstractmethod
    def children(self) -> list[Location]:
        """Return the files and folders in this folder, sorted by name; nothing if there is no folder."""

    @abstractmethod
    def holds(self, pattern: str) -> bool:
        """Say whether a name in this folder matches a pattern with *; False if there is no folder."""

    @abstractmethod
    def size(self) -> int:
        """Return the size of this file in bytes."""

    @abstractmethod
    def age(self) -> float:
        """Return the seconds since the last write of this file.

        Raises:
            FileNotFoundError: the file does not exist.
        """

    @abstractmethod
    def make_folder(self) -> None:
        """Create this folder and its parents, if they do not exist."""

    @abstractmethod
    def head(self, most: int) -> bytes:
        """Return at most the first `most` bytes of this file.

        Raises:
            FileNotFoundError: the file does not exist.
            OSError: it cannot be read.
        """

    @abstractmethod
    def create(self, text: str) -> bool:
        """Write this file if it does not exist, atomically if the filesystem can; say whether it was written."""

    @abstractmethod
    def replace(self, text: str) -> None:
        """Write this file: a reader sees the old text or the new one, never a part."""

    @abstractmethod
    def exchange(self, other: Location) -> bool:
        """Exchange this folder and another in one atomic step; say whether the filesystem did that."""

    @abstractmethod
    def discard(self) -> None:
        """Remove this file, or this folder with its contents, if it exists; a failure is only logged."""

    def remove_at_exit(self, *, wanted: bool) -> None:  # noqa: B027 - nothing to do for a local file
        """Ask the JVM, if it serves this filesystem, to remove this file when the JVM ends; or cancel that."""

    @abstractmethod
    def address(self) -> tuple[str, ...]:
        """Return filesystem, host and the parts of the path, with links and mounts resolved: equal for equal places."""

    @abstractmethod
    def _move(self, to: Location) -> bool:
        """Move this to a name that does not exist yet; say whether the filesystem did that."""

    def read(self, most: int = _MOST_TEXT) -> str | None:
        """Return the text of this file, at most its first `most` + 1 bytes; None if there is no plain file.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return self.head(most + 1).decode("utf-8", errors="replace") if self.is_file() else None
        except FileNotFoundError:  # removed since the check
            return None

    def sibling(self, name: str) -> Location:
        """Return the location of another name in the same folder."""
        return self.parent().child(name)

    def rename(self, to: Location) -> None:
        """Move this file or folder to a name that does not exist yet.

        Raises:
            OutputError: the filesystem refused.
        """
        if not self._move(to):
            raise OutputError(
                f"the folder {self}",
                got="a filesystem that refused to rename it",
                expected=f"the new name {to}",
                do="Check the permissions of the parent folder, and that no other job writes there.",
            )

    def overlaps(self, other: Location) -> bool:
        """Say whether one of the two is the other, or is inside it."""
        here, there = self.address(), other.address()
        shared = min(len(here), len(there))
        return here[:shared] == there[:shared]

    def files(self) -> Iterator[tuple[str, Location]]:
        """Yield every file below this folder with its relative path, except hidden files, which Spark does not read."""
        for entry in self.children():
            if entry.name.startswith(".") or (entry.name.startswith("_") and "=" not in entry.name):  # as Spark does
                continue
            if entry.is_folder():
                yield from ((f"{entry.name}/{path}", file) for path, file in entry.files())
            else:
                yield entry.name, entry

    @staticmethod
    def _left_behind(what: object, error: Exception) -> None:
        # Logged, not raised: the job must end with the error that ended it, not with this one.
        _LOG.warning("%s is left behind: %s", what, error)


def parts_of(path: str) -> tuple[str, ...]:
    """Return the parts of an absolute path."""
    return PurePosixPath(path).parts
