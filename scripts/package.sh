#!/usr/bin/env bash
# Builds dist/gmm_spark-VERSION-py3-none-any.whl, and dist/gmm_spark.zip for spark-submit --py-files.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$ROOT"
rm -rf dist
python -m build --wheel --no-isolation --outdir dist . >&2
# The zip has the unchanged package folder of the wheel: hatchling sorts the files and fixes their dates, so the same
# sources give the same bytes.
python - <<'END'
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

(wheel,) = Path("dist").glob("*.whl")
with ZipFile(wheel) as source, ZipFile("dist/gmm_spark.zip", "w", ZIP_DEFLATED) as target:
    for entry in source.infolist():
        if entry.filename.startswith("gmm_spark/"):
            target.writestr(entry, source.read(entry))
END
ls -l dist/*
