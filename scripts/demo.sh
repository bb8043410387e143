#!/usr/bin/env bash
# The demo: 336,776 real flights, a fitted mixture, every flight scored, a table at the end.
#   scripts/demo.sh [FOLDER]     default: demo-output in the checkout; a second run replaces the first
set -euo pipefail
started=$SECONDS
output="${1:-$(dirname "${BASH_SOURCE[0]}")/../demo-output}"
mkdir -p "$output"
output="$(cd "$output" && pwd)"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$ROOT"

phases="$(printf '  %4d s  environment' $((SECONDS - started)))"
phase() { # name, command...
  local name="$1" start=$SECONDS
  shift
  say "demo: $name"
  "$@"
  phases+="$(printf '\n  %4d s  %s' $((SECONDS - start)) "$name")"
}

phase "flights to Parquet" python scripts/flights.py prepare "$output/flights"
phase "fit" scripts/submit.sh jobs/fit.py --config conf/demo-fit.yaml \
  --input.path="$output/flights" --output.path="$output/model" --output.mode=overwrite
phase "score" scripts/submit.sh jobs/score.py --config conf/demo-score.yaml \
  --input.path="$output/flights" --model.path="$output/model" --output.path="$output/scored" --output.mode=overwrite
echo
python scripts/flights.py report "$output/flights" "$output/scored" "$output/model"
printf '\nTime\n%s\n' "$phases"
