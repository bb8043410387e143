#!/usr/bin/env bash
# Fits in client mode and scores in cluster mode on a real YARN and HDFS of this machine, with the settings of submit.sh
# and no others for Python workers. Needs 4 GB and some minutes; Maven fetches the jars (55 MB) once, into
# $GMM_SPARK_JARS/yarn (default: ~/.cache/gmm_spark/jars/yarn).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
jars="${GMM_SPARK_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/gmm_spark/jars}/yarn"
home="$(mktemp -d)"
# A YARN container's folder: longer than a unix socket's path may be.
cluster="$home/a/folder/whose/name/is/as/long/as/those/of/a/real/cluster"
hdfs="hdfs://127.0.0.1:${PORT:-19880}"

fetch() { # group:artifact:version
  local artifact="${1#*:}"
  [ -f "$jars/${artifact/:/-}.jar" ] && return
  command -v mvn >/dev/null || refuse "no Maven" "no mvn on PATH" "Maven, or the jars in $jars" "Install it."
  say "fetching $1"
  mvn -q -B dependency:copy -Dartifact="$1" -DoutputDirectory="$jars" >&2
}

submit() { # MODE JOB ...
  local mode="$1"
  shift
  "$ROOT/scripts/submit.sh" --master yarn --deploy-mode "$mode" \
    --conf "spark.yarn.jars=local:$SPARK_HOME/jars/*" --conf spark.ui.enabled=false \
    --driver-memory 700m --executor-memory 512m --conf spark.executor.memoryOverhead=512m \
    --num-executors 2 --executor-cores 1 --conf spark.yarn.appMasterEnv.SPARK_LOCAL_IP=127.0.0.1 \
    --conf spark.executorEnv.SPARK_LOCAL_IP=127.0.0.1 "$@"
}

in_hdfs() { java -cp "$SPARK_HOME/jars/*:$cluster/conf" org.apache.hadoop.fs.FsShell "$@" 2>/dev/null; }

for each in org.apache.hadoop:hadoop-client-minicluster:3.4.2 junit:junit:4.13.2 org.mockito:mockito-core:4.11.0 \
  org.bouncycastle:{bcprov,bcpkix,bcutil}-jdk18on:1.78.1 javax.xml.bind:jaxb-api:2.3.1 \
  org.glassfish.jaxb:{jaxb-runtime,txw2}:2.3.1 javax.activation:javax.activation-api:1.2.0 \
  com.sun.istack:istack-commons-runtime:3.0.7; do
  fetch "$each"
done
mkdir -p "$cluster" "$home/classes"
javac -cp "$jars/*:$SPARK_HOME/jars/*" -d "$home/classes" "$ROOT/tests/lake/Yarn.java"
export SPARK_LOCAL_IP=127.0.0.1 HADOOP_CONF_DIR="$cluster/conf"
(cd "$cluster" && exec java -Xmx700m --add-opens java.base/java.lang=ALL-UNNAMED \
  -cp "$home/classes:$jars/*:$SPARK_HOME/jars/*" Yarn "$cluster" "${PORT:-19880}" >"$home/log" 2>&1) &
pid=$!
trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null || true; rm -rf "$home"' EXIT
say "starting HDFS and YARN"
for _ in $(seq 180); do
  grep -q '^READY' "$home/log" 2>/dev/null && break
  kill -0 "$pid" 2>/dev/null || { tail -20 "$home/log" >&2 && exit 1; }
  sleep 1
done

cd "$home"
python - <<'END'
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
x = np.random.default_rng(0).normal(size=(3000, 2)) + 8.0 * (np.arange(3000) % 2)[:, None]
pq.write_table(pa.table({"id": np.arange(3000), "x": x[:, 0], "y": x[:, 1]}), "in.parquet")
END
in_hdfs -mkdir -p "$hdfs/data" && in_hdfs -put in.parquet "$hdfs/data/in.parquet"
submit client "$ROOT/jobs/fit.py" --input.path="$hdfs/data/in.parquet" --features.columns=x,y \
  --output.path="$hdfs/data/model"
submit cluster "$ROOT/jobs/score.py" --input.path="$hdfs/data/in.parquet" --model.path="$hdfs/data/model" \
  --output.path="$hdfs/data/scored"
in_hdfs -get "$hdfs/data/scored" "$home/scored"
rows="$(python -c 'import pyarrow.parquet as pq; print(pq.read_table("scored").num_rows)')"
[ "$rows" = 3000 ] || refuse "the scored table" "$rows rows" "3000" "Look at $home/log."
longest="$(find "$cluster" -type d -name 'container_*' | awk '{ print length }' | sort -n | tail -1)"
say "YARN: fit in client mode, score in cluster mode: 3000 rows; paths of containers have up to $longest characters"
