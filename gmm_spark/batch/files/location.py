"""A file or folder on some filesystem: what publishing asks of it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gmm_spark.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger(__name__)
# Our files are untrusted input: more of one than any can need is not read, and what is cut is refused as damaged.
_MOST_TEXT = 64 << 20


class Location(ABC):
    """A file or folder, known or not yet made. `str` gives it as Spark understands it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the path."""

    @abstractmethod
    def child(self, name: str) -> Location:
        """Return the location of a name in this folder; the name may have several parts."""

    @abstractmethod
    def parent(self) -> Location:
        """Return the folder that holds this one; the root holds itself."""

    @abstractmethod
    def exists(self) -> bool:
        """Say whether there is a file or folder."""

    @abstractmethod
    def is_file(self) -> bool:
        """Say whether there is a plain file: opening a pipe waits for ever."""

    @abstractmethod
    def is_folder(self) -> bool:
        """Say whether there is a folder."""

    @abstractmethod
    def is_link(self) -> bool:
        """Say whether this name is a symbolic link."""

    @abstractmethod
    def resolved(self) -> Location:
        """Return the location that a symbolic link points to, whether there is anything or not; else this one."""

    @abstractmethod
    def is_root(self) -> bool:
        """Say whether this is the root of its filesystem, or of its bucket."""

    @abstractmethod
    def occupant(self) -> str | None:
        """Return what of this process is this folder or is in it: its current folder, its home; None for neither."""

    @abstractmethod
    def children(self) -> list[Location]:
        """Return what is in this folder, by name; nothing where there is no folder."""

    @abstractmethod
    def holds(self, pattern: str) -> bool:
        """Say whether a name in this folder fits a pattern with *; False where there is no folder."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes of this file."""

    @abstractmethod
    def age(self) -> float:
        """Return the seconds since this file was written last.

        Raises:
            FileNotFoundError: there is none.
        """

    @abstractmethod
    def make_folder(self) -> None:
        """Make this folder and those around it, where they are missing."""

    @abstractmethod
    def head(self, most: int) -> bytes:
        """Return the first bytes of this file, at most n.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
        """

    @abstractmethod
    def create(self, text: str) -> bool:
        """Write this file if there is none, atomically where the filesystem can; say whether it was written."""

    @abstractmethod
    def replace(self, text: str) -> None:
        """Write this file: a reader sees the old text or the new one, never a part."""

    @abstractmethod
    def exchange(self, other: Location) -> bool:
        """Exchange this folder and another in one atomic step; say whether the filesystem can, and did."""

    @abstractmethod
    def discard(self) -> None:
        """Remove the file or folder with all that it holds, if there is any; where that fails, say so and go on."""

    def remove_at_exit(self, *, wanted: bool) -> None:  # noqa: B027 - where this process itself removes it
        """Have whatever reaches the filesystem remove this file when it ends before this process does, or no longer."""

    @abstractmethod
    def address(self) -> tuple[str, ...]:
        """Return filesystem, host and the parts of the path, with links and mounts followed: one for all its names."""

    @abstractmethod
    def _move(self, to: Location) -> bool:
        """Move to a name that is not taken; say whether the filesystem did."""

    def read(self, most: int = _MOST_TEXT) -> str | None:
        """Return the text of this file, at most n bytes and one more of it; None where there is no plain file.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return self.head(most + 1).decode("utf-8", errors="replace") if self.is_file() else None
        except FileNotFoundError:  # removed meanwhile
            return None

    def sibling(self, name: str) -> Location:
        """Return the location of another name in the same folder."""
        return self.parent().child(name)

    def rename(self, to: Location) -> None:
        """Move this file or folder to a name that is not taken.

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
        """Yield every file below this folder with its relative path; those that readers of tables skip left out."""
        for each in self.children():
            if each.name.startswith(".") or (each.name.startswith("_") and "=" not in each.name):  # as Spark's readers
                continue
            if each.is_folder():
                yield from ((f"{each.name}/{path}", file) for path, file in each.files())
            else:
                yield each.name, each

    @staticmethod
    def _left_behind(what: object, error: Exception) -> None:
        # What ended the job is worth telling more than this.
        _LOG.warning("%s is left behind: %s", what, error)


def parts_of(path: str) -> tuple[str, ...]:
    """Return the parts of an absolute path."""
    return PurePosixPath(path).parts
