#!/usr/bin/env bash
# Writes requirements.lock anew from pyproject.toml. Needs uv (pip install uv).
# PySpark stays on 4.1: the newest line with both a Delta and an Iceberg runtime.
set -euo pipefail
cd "$(dirname "$0")/.."
uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command scripts/lock.sh \
  --extra connect --extra demo --group dev --constraint <(echo "pyspark<4.2") \
  --upgrade pyproject.toml --output-file requirements.lock
