"""The pointer of an output with run folders: a small file that names the current run folder.

    <output>/runs/<run>/...             one folder per run, never changed after it is written
    <output>/current.gmm_spark.json     {"folder": "runs/<run>", "published": [...]}

Publishing a run replaces the pointer in one step: a reader finds the old run or the new one, and the files of a
running reader stay. Its name does not start with a dot or "_", so that Spark (and Spark Connect) can read it as text.
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
# A pointer is untrusted input. The limits are enough for hourly runs over 25 years.
MOST_CHARACTERS, _MOST_VALUES = 16 << 20, 1 << 18  # characters, values
_FOLDER = re.compile(rf"{RUNS}/[A-Za-z0-9][A-Za-z0-9._=-]*")  # never outside the output


@dataclass(frozen=True)
class Pointer:
    """The current run of an output.

    Args:
        folder: the folder of the run, relative to the output.
        published: the folders of all runs ever published, the latest last.
    """

    folder: str
    published: tuple[str, ...]

    def to_json(self) -> str:
        """Return the text of the pointer file."""
        return json.dumps({"folder": self.folder, "published": self.published}, indent=1) + "\n"


def decode_pointer(text: str, where: str) -> Pointer:
    """Return the pointer from the text of its file, or refuse it.

    Raises:
        InputError: the text is not a pointer, or points outside the output.
    """
    try:
        fields = json_object(text, MOST_CHARACTERS, _MOST_VALUES)
        folder, published = str(fields["folder"]), tuple(map(str, fields["published"]))
        pointer = Pointer(folder, published)
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(where, f"{type(error).__name__}: {error}") from error
    if not all(map(_FOLDER.fullmatch, (folder, *published))):
        raise _damaged(where, f"a folder that is not a child of {RUNS}: {folder!r}")
    return pointer


def follow_pointer(root: Path) -> Path:
    """Return the run folder to which a local folder points, or the folder itself if it has no pointer.

    Raises:
        InputError: the pointer is damaged.
    """
    file = root / POINTER
    if not file.is_file():  # opening a pipe would wait forever
        return root
    with file.open(encoding="utf-8", errors="replace") as opened:
        return root / decode_pointer(opened.read(MOST_CHARACTERS + 1), str(file)).folder


def _damaged(where: str, got: str) -> InputError:
    return InputError(
        f"the pointer {where}",
        got=got,
        expected="a pointer as gmm_spark wrote it",
        do=f"Restore it, or name a folder below {RUNS}/ yourself.",
    )
