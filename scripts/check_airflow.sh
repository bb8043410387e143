#!/usr/bin/env bash
# Parses conf/airflow_dag.py with the real Airflow: installs it with its Spark provider into a temporary environment
# (some 150 packages, minutes), imports the DAG, and checks its job options with the jobs' parser. Not in .ci/run.
#   scripts/check_airflow.sh [VENV]     default: a temporary one; the environment at a path is used again next time
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$ROOT"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
venv="${1:-$work/venv}"
if [ ! -x "$venv/bin/airflow" ]; then
  python -m venv "$venv"
  "$venv/bin/pip" install --quiet apache-airflow apache-airflow-providers-apache-spark
fi
mkdir -p "$work/dags"
cp conf/airflow_dag.py "$work/dags/"
export AIRFLOW_HOME="$work/home" AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__DAGS_FOLDER="$work/dags"
"$venv/bin/airflow" db migrate > "$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
"$venv/bin/python" - "$work/dags" > "$work/found.json" 2> "$work/log" <<'END' || { cat "$work/log" >&2 && exit 1; }
import json, sys
from importlib.metadata import version

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag

bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
tasks = [task for dag in bag.dags.values() for task in dag.tasks]
found = {
    "versions": {name: version(name) for name in ("apache-airflow", "apache-airflow-providers-apache-spark")},
    "dags": sorted(bag.dags),
    "tasks": [[type(task).__name__, task.application, list(task.application_args)] for task in tasks],
}
print(json.dumps(found))
END
python - "$work/found.json" <<'END'
import json, sys
from pathlib import Path

from gmm_spark.batch.options.jobs import FitConfig, ScoreConfig
from gmm_spark.batch.options.layers import load_options

found = json.loads(Path(sys.argv[1]).read_text().splitlines()[-1])
for kind, application, words in found["tasks"]:
    job = Path(application).stem
    load_options({"fit": FitConfig, "score": ScoreConfig}[job], words, prog=job)
    print(f"{kind} {application}: {len(words)} valid options")
print(f"no import errors in {', '.join(found['dags'])}, with {found['versions']}")
END
