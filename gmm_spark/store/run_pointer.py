"""The pointer of an output that keeps its runs: a small file that names the run folder that counts.

    <output>/runs/<run>/...             one folder a run, never changed once it is written
    <output>/current.gmm_spark.json     {"folder": "runs/<run>", "published": [...]}

It is replaced in one step when a run is published, so that a reader finds the old run or the new one, and a
reader that has started keeps its files. Its name is no hidden one: Spark reads it as text, on Spark Connect too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.errors import InputError
from gmm_spark.store.untrusted import json_object

if TYPE_CHECKING:
    from pathlib import Path

POINTER, RUNS = "current.gmm_spark.json", "runs"
# A pointer is untrusted input. These are the runs of every hour in 25 years.
LARGEST, _MOST_VALUES = 16 << 20, 1 << 18  # characters, values
_FOLDER = re.compile(rf"{RUNS}/[A-Za-z0-9][A-Za-z0-9._=-]*")  # never out of the output


@dataclass(frozen=True)
class Pointer:
    """Which run of an output counts.

    Args:
        folder: its folder, relative to the output.
        published: the folders of all runs that have ever counted, the latest last.
    """

    folder: str
    published: tuple[str, ...]

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps({"folder": self.folder, "published": self.published}, indent=1) + "\n"


def decode(text: str, where: str) -> Pointer:
    """Return the pointer of a file's text, or refuse it.

    Raises:
        InputError: it is none, or points out of its output.
    """
    try:
        found = json_object(text, LARGEST, _MOST_VALUES)
        folder, published = str(found["folder"]), tuple(map(str, found["published"]))
        pointer = Pointer(folder, published)
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(where, f"{type(error).__name__}: {error}") from error
    if not all(map(_FOLDER.fullmatch, (folder, *published))):
        raise _damaged(where, f"a folder that is no child of {RUNS}: {folder!r}")
    return pointer


def follow_pointer(root: Path) -> Path:
    """Return the run folder that a folder of the local filesystem points to; the folder itself without a pointer.

    Raises:
        InputError: there is a pointer, and it is damaged.
    """
    file = root / POINTER
    if not file.is_file():  # opening a pipe waits for ever
        return root
    with file.open(encoding="utf-8", errors="replace") as opened:
        return root / decode(opened.read(LARGEST + 1), str(file)).folder


def _damaged(where: str, got: str) -> InputError:
    return InputError(
        f"the pointer {where}",
        got=got,
        expected="a pointer as gmm_spark wrote it",
        do=f"Restore it, or name a folder below {RUNS}/ yourself.",
    )
