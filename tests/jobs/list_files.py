"""Print the files in some folders in one line: a disk of a mount namespace is visible only from inside it."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    found = (path for folder in sys.argv[1:] for path in sorted(Path(folder).rglob("*")) if path.is_file())
    sys.stdout.write(" ".join(["files:", *map(str, found)]) + "\n")
