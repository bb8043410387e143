#!/usr/bin/env bash
# Runs the tests on real tables of Delta and Iceberg; arguments go to pytest:   scripts/lake.sh   scripts/lake.sh -k Delta
# Maven fetches the jars (55 MB) once, into $GMM_SPARK_JARS (default: ~/.cache/gmm_spark/jars).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export GMM_SPARK_JARS="${GMM_SPARK_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/gmm_spark/jars}"
DELTA=4.1.0 ICEBERG=1.11.0 SPARK=4.1_2.13 # the versions for the Spark of requirements.lock

fetch() { # group:artifact:version
  local artifact="${1#*:}"
  [ -f "$GMM_SPARK_JARS/${artifact/:/-}.jar" ] && return
  command -v mvn >/dev/null || refuse "no Maven" "no mvn on PATH" "Maven, or the jars in $GMM_SPARK_JARS" "Install it."
  say "fetching $1"
  mvn -q -B dependency:copy -Dartifact="$1" -DoutputDirectory="$GMM_SPARK_JARS" >&2
}

mkdir -p "$GMM_SPARK_JARS"
fetch "io.delta:delta-spark_$SPARK:$DELTA"
fetch "io.delta:delta-storage:$DELTA"
fetch "org.apache.iceberg:iceberg-spark-runtime-$SPARK:$ICEBERG"
cd "$ROOT"
export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}"
exec python -m pytest tests/lake -m lake "$@"
