"""The local filesystem, through the operating system, whose atomic steps Hadoop's classes do not offer."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from gmm_spark.batch.files.location import Location, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # Linux, linux/fs.h; RENAME_SWAP of macOS, sys/stdio.h, has the same value


@dataclass(frozen=True)
class LocalLocation(Location):
    """A file or folder of the driver's machine, also on a mounted filesystem.

    Args:
        path: its absolute path.
    """

    path: Path

    def __str__(self) -> str:
        return f"file:{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def child(self, name: str) -> LocalLocation:
        """Return the location of a name in this folder."""
        return LocalLocation(self.path / name)

    def parent(self) -> LocalLocation:
        """Return the folder that holds this one."""
        return LocalLocation(self.path.parent)

    def exists(self) -> bool:
        """Say whether there is a file or folder, or a link to one."""
        return self.path.exists()

    def is_file(self) -> bool:
        """Say whether there is a plain file, or a link to one."""
        return self.path.is_file()

    def is_folder(self) -> bool:
        """Say whether there is a folder."""
        return self.path.is_dir()

    def is_link(self) -> bool:
        """Say whether this name is a symbolic link."""
        return self.path.is_symlink()

    def resolved(self) -> LocalLocation:
        """Return what a link points to, so that lock and staging folder are beside that, on its filesystem."""
        return LocalLocation(Path(os.path.realpath(self.path))) if self.is_link() else self

    def is_root(self) -> bool:
        """Say whether this is the root of the filesystem."""
        return self.path == self.path.parent

    def occupant(self) -> str | None:
        """Return "the home folder ..." or "the current folder" if it is this folder or is inside it; else None."""
        if _is_within(Path(os.path.expanduser("~")), self.path):  # noqa: PTH111 - Path.home() fails without a home
            return "the home folder of this user"
        return "the current folder" if _is_within(Path(), self.path) else None

    def children(self) -> list[Location]:
        """Return the files and folders in this folder, sorted by name."""
        return [LocalLocation(path) for path in sorted(self.path.iterdir())] if self.path.is_dir() else []

    def holds(self, pattern: str) -> bool:
        """Say whether a name in this folder matches a pattern."""
        return self.path.is_dir() and any(fnmatchcase(entry.name, pattern) for entry in self.path.iterdir())

    def size(self) -> int:
        """Return the size of this file in bytes."""
        return self.path.stat().st_size

    def age(self) -> float:
        """Return the seconds since the last write of this file."""
        return time.time() - self.path.stat().st_mtime

    def make_folder(self) -> None:
        """Create this folder and its parents."""
        self.path.mkdir(parents=True, exist_ok=True)

    def head(self, most: int) -> bytes:
        """Return the first bytes of this file."""
        with self.path.open("rb") as file:
            return file.read(most)

    def create(self, text: str) -> bool:
        """Write this file if it does not exist, as a hard link to a finished file: no reader sees half of it."""
        with self._draft(text) as draft:
            try:
                os.link(draft, self.path)
            except FileExistsError:
                return False
        return True

    def replace(self, text: str) -> None:
        """Write this file by a rename over the old one."""
        with self._draft(text) as draft:
            draft.replace(self.path)

    def exchange(self, other: Location) -> bool:
        """Exchange two folders with renameat2 (Linux) or renamex_np (macOS), if the filesystem supports that."""
        here, there = os.fsencode(self.path), os.fsencode(str(other).removeprefix("file:"))
        try:
            library = ctypes.CDLL(None, use_errno=True)
            if sys.platform == "darwin":
                return bool(library.renamex_np(here, there, _RENAME_EXCHANGE) == 0)
            return bool(library.renameat2(_AT_FDCWD, here, _AT_FDCWD, there, _RENAME_EXCHANGE) == 0)
        except (AttributeError, OSError):  # another system, or an old C library
            return False

    def discard(self) -> None:
        """Remove this file, or this folder with its contents."""
        try:
            if self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            self._left_behind(self, error)

    def address(self) -> tuple[str, ...]:
        """Return the parts of the path with links resolved: a link to the input has the address of the input."""
        return ("file", "", *parts_of(os.path.realpath(self.path)))

    def overlaps(self, other: Location) -> bool:
        """Say whether one of the two is the other or is inside it, also under another mount or in other letter case."""
        pairs = ((self, other), (other, self)) if isinstance(other, LocalLocation) else ()
        if any(_is_within(one.path, another.path) for one, another in pairs):
            return True
        return super().overlaps(other)

    def _move(self, to: Location) -> bool:
        if to.exists():  # an empty folder would be replaced
            return False
        self.path.rename(str(to).removeprefix("file:"))
        return True

    @contextmanager
    def _draft(self, text: str) -> Iterator[Path]:
        """Yield a complete temporary file in the same folder; remove it at the end if it still exists."""
        draft = self.path.with_name(f".{self.path.name}-{uuid.uuid4().hex[:8]}.draft")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # without this a power cut may leave an empty file
            yield draft
        finally:
            draft.unlink(missing_ok=True)


def _is_within(path: Path, folder: Path) -> bool:
    """Say whether a path is a folder or is inside it; folders are compared by their inodes, not by their names."""
    try:
        wanted, real = folder.stat(), Path(os.path.realpath(path))
    except OSError:  # the folder does not exist, or the current folder was removed
        return False
    return any(_same(place, wanted) for place in (real, *real.parents))


def _same(path: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), wanted)
    except OSError:  # it does not exist yet, or this user may not read it
        return False
