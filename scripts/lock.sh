#!/usr/bin/env bash
# Rewrites requirements.lock from pyproject.toml. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "$0")/.."
uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command scripts/lock.sh \
  --extra connect --extra demo --group dev \
  --upgrade pyproject.toml --output-file requirements.lock
