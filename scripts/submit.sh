#!/usr/bin/env bash
# Wraps the spark-submit of .venv: see the usage below.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/submit.sh [spark-submit options] JOB.py [job options]

    scripts/submit.sh jobs/fit.py --config conf/fit.yaml --mixture.k=8
    scripts/submit.sh --master yarn --executor-memory 8g jobs/score.py --config conf/score.yaml

Adds to spark-submit, unless the command line says otherwise:
    --master           $MASTER, or local[*]
    --properties-file  $SPARK_CONF, or conf/spark-defaults.conf, on a cluster over the platform's; single settings: --conf key=value
    --py-files         dist/gmm_spark.zip if the master is not local (built if it is missing or old)
On a cluster whose nodes have their own Python, set PYSPARK_PYTHON to its path there.
END
}

if [ $# -eq 0 ]; then
  usage >&2
  exit 2
fi

cluster_python="${PYSPARK_PYTHON:-}"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# Reads spark-submit's options, up to the job's file; the options after it belong to the job.
master="" properties="" py_files="" mode="client"
read_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --master=* | --remote=*) master="${1#*=}" ;;
      --master | --remote) master="${2:-}" && shift ;;
      --conf=spark.master=*) master="${1#--conf=spark.master=}" ;;
      --conf | -c)
        case "${2:-}" in
          spark.master=*) master="${2#*=}" ;;
          spark.submit.deployMode=*) mode="${2#*=}" ;;
        esac
        shift
        ;;
      --deploy-mode=*) mode="${1#*=}" ;;
      --deploy-mode) mode="${2:-}" && shift ;;
      --conf=spark.submit.deployMode=*) mode="${1#--conf=spark.submit.deployMode=}" ;;
      --properties-file | --properties-file=*) properties="theirs" && [ "$1" != --properties-file ] || shift ;;
      --py-files | --py-files=*) py_files="theirs" && [ "$1" != --py-files ] || shift ;;
      --verbose | -v | --supervise | --version | --help | -h | --load-spark-defaults | --*=*) ;;
      -*) shift ;;
      *) return ;;
    esac
    [ $# -eq 0 ] || shift
  done
}

zip_is_fresh() {
  [ -f "$ROOT/dist/gmm_spark.zip" ] &&
    [ -z "$(find "$ROOT/gmm_spark" -name __pycache__ -prune -o -newer "$ROOT/dist/gmm_spark.zip" -print -quit)" ]
}

read_options "$@"
extra=()
[ -n "$properties" ] || extra+=(--properties-file "${SPARK_CONF:-$ROOT/conf/spark-defaults.conf}")
[ -n "$master" ] || { master="${MASTER:-local[*]}" && extra+=(--master "$master"); }
case "$master" in
  local | local\[*)
    export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}" # the name of a laptop or container often resolves to nothing
    ;;
  *)
    zip_is_fresh || "$ROOT/scripts/package.sh" >&2
    [ -n "$py_files" ] || extra+=(--py-files "$ROOT/dist/gmm_spark.zip")
    [ -n "$properties" ] || extra+=(--load-spark-defaults) # settings of the platform: history server, queues, jars ...
    export PYSPARK_PYTHON="${cluster_python:-$PYSPARK_PYTHON}"
    [ "$mode" != cluster ] || export PYSPARK_DRIVER_PYTHON="$PYSPARK_PYTHON" # the driver runs on a node, too
    ;;
esac
exec "$SPARK_HOME/bin/spark-submit" ${extra[@]+"${extra[@]}"} "$@" # for bash 3.2 an empty list is unset
