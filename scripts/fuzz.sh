#!/usr/bin/env bash
# Builds every libFuzzer target and runs each for SECONDS (default 60) from its seeds. What a run
# found stays in build/fuzz/corpus for the next. Fails when any target crashes, hangs, leaks or asks
# for too much memory; the input is then in build/fuzz/crashes.
# Usage: scripts/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
build=build/fuzz

cmake --preset fuzz --log-level=WARNING
cmake --build --preset fuzz
mkdir -p $build/crashes

failed=0
for source in fuzz/*_fuzz.cc; do
  target=$(basename "$source" .cc)
  name=${target%_fuzz}
  log=$build/$target.log
  mkdir -p "$build/corpus/$name"
  verdict=ok
  # A block is 256 KiB and a hostile length must not be believed: 64 MiB at once is a bug.
  "$build/$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -malloc_limit_mb=64 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/crashes/$target-" \
    "$build/corpus/$name" "fuzz/corpus/$name" >"$log" 2>&1 || verdict=FAILED
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 || true)
  echo "$target: $verdict, ${runs:-?} runs in $seconds s, ${edges:-cov: ?} edges"
  if [[ $verdict != ok ]]; then
    failed=1
    tail -n 40 "$log"
  fi
done
exit $failed
