#!/usr/bin/env bash
# Runs the tests; arguments go to pytest:   scripts/test.sh   scripts/test.sh tests/core -k whiten
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$ROOT"
export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}" # the name of a laptop or container often resolves to nothing
[ $# -gt 0 ] || set -- --numprocesses 2 --dist loadgroup --no-loadscope-reorder # a Spark test mostly waits
exec python -m pytest "$@"
