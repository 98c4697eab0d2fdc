#!/usr/bin/env bash
# brief.sh FUZZER CORPUS [RUNS] -- every kept input, then new ones: for 20 s (times SYN_SEEDS), or
# RUNS of them (times SYN_SEEDS) in four processes with other seeds.  Sessions are then replayed on
# SQLite, where commits end on another thread.
set -eu
fuzzer=$1 corpus=$2 runs=${3:-0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ASAN_OPTIONS="malloc_context_size=5:quarantine_size_mb=16:detect_stack_use_after_return=0"

# report LOG: what went wrong there: all but libFuzzer's progress and the dictionary it recommends.
report() {
  echo "--- $(basename "$fuzzer"), $(basename "$1")"
  grep -av '^#[0-9]\|NEW_FUNC\|# Uses:\|^INFO\|^stat::' "$1" | tail -45
}

# run SEED LIMIT: the log says what happened.
run() {
  mkdir "$work/new$1"
  "$fuzzer" -seed="$1" "$2" -entropic=0 -timeout=30 -rss_limit_mb=4096 -max_len="$longest" \
    -artifact_prefix="$PWD/" -print_final_stats=1 "$work/new$1" "$corpus" >"$work/log$1" 2>&1 || {
    report "$work/log$1"
    return 1
  }
}

failed=0
if [ "$runs" -eq 0 ]; then
  longest=4096
  seconds=$((20 * ${SYN_SEEDS:-1}))
  echo "$(basename "$fuzzer"): seed 1, $seconds s"
  run 1 "-max_total_time=$seconds" || failed=1
else
  longest=64 # some thirty steps: rare sequences come from many short sessions, not from long ones
  each=$((runs * ${SYN_SEEDS:-1} / 4))
  echo "$(basename "$fuzzer"): seeds 1 to 4, $each runs each"
  pids=""
  for seed in 1 2 3 4; do
    run "$seed" "-runs=$each" &
    pids="$pids $!"
  done
  for pid in $pids; do wait "$pid" || failed=1; done
  if [ "$failed" -eq 0 ]; then
    folder=/dev/shm
    [ -w "$folder" ] || folder=$work
    SYN_FUZZ_FILE="$folder/syncline-fuzz-$$.db" "$fuzzer" -timeout=60 "$corpus"/* \
      >"$work/log5" 2>&1 || {
      report "$work/log5"
      failed=1
    }
    echo "on SQLite: $(grep -c '^Executed' "$work/log5") kept inputs"
  fi
fi
[ "$failed" -ne 0 ] || sed -n '/^stat::/p' "$work"/log*
exit "$failed"
