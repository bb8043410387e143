#!/usr/bin/env bash
# Feeds hostile model directories, configurations, manifests and checkpoints to their readers: CASES of each, by default
# 10,000. A case that fails is printed with its number, by which it can be repeated. Takes minutes.
#   scripts/fuzz.sh [CASES]
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh
export GMM_SPARK_FUZZ="${1:-10000}"
exec python -m pytest --timeout 3600 -k hostile tests/core tests/batch/test_fuzz.py
