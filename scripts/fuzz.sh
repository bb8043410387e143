#!/usr/bin/env bash
# Feeds hostile model directories, configurations, manifests and checkpoints to their readers: 10,000 cases of each, or
# as many as asked for. A case that fails is printed with its number, and fails again. Takes minutes.
#   scripts/fuzz.sh [CASES]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
export GMM_SPARK_FUZZ="${1:-10000}"
exec python -m pytest --timeout 3600 -k hostile tests/core tests/batch/test_fuzz.py
