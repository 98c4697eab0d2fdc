#!/usr/bin/env bash
# brief.sh FUZZER CORPUS RUNS [PROCESSES] -- every kept input, then RUNS new ones, in as many
# processes, each with its own seed; then the kept ones again, sessions on SQLite, where commits end
# on another thread.  SYN_SEEDS rounds, each with other seeds.
#
# The first round is the same wherever it runs, so what fails there can be found again: inputs are
# given in one order (a folder's own differs from disk to disk), and comparisons are not watched
# (their operands may be addresses).  The others watch them.
set -eu
fuzzer=$1 corpus=$2 runs=$3 processes=${4:-1}
name=$(basename "$fuzzer")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ASAN_OPTIONS="malloc_context_size=5:quarantine_size_mb=16:detect_stack_use_after_return=0"
find "$corpus" -type f | LC_ALL=C sort | paste -sd, | tr -d '\n' >"$work/kept"

# report LOG: what went wrong there: all but libFuzzer's progress and the dictionary it recommends.
report() {
  echo "--- $name, $(basename "$1")"
  grep -av '^#[0-9]\|NEW_FUNC\|# Uses:\|^INFO\|^stat::' "$1" | tail -45
}

# run SEED RUNS WATCH: the log says what happened.
run() {
  mkdir "$work/new$1"
  "$fuzzer" -seed="$1" -runs="$2" -use_cmp="$3" -entropic=0 -timeout=60 -rss_limit_mb=4096 \
    -max_len="$longest" -seed_inputs="@$work/kept" -artifact_prefix="$PWD/" -print_final_stats=1 \
    "$work/new$1" >"$work/log$1" 2>&1 || {
    report "$work/log$1"
    return 1
  }
  rm -r "$work/new$1"
}

failed=0
longest=4096
case "$name" in # rare sequences come from many short sessions
  fuzz_session) longest=64 ;;
  fuzz_http) longest=256 ;;
esac
for ((round = 0; round < ${SYN_SEEDS:-1}; round++)); do
  first=$((round * processes + 1)) last=$(((round + 1) * processes))
  echo "$name: seeds $first to $last, $((runs / processes)) runs each"
  pids=""
  for ((seed = first; seed <= last; seed++)); do
    run "$seed" $((runs / processes)) $((round > 0)) &
    pids="$pids $!"
  done
  for pid in $pids; do wait "$pid" || failed=1; done
done
if [ "$name" = fuzz_session ]; then
  folder=/dev/shm
  [ -w "$folder" ] || folder=$work
  SYN_FUZZ_FILE="$folder/syncline-fuzz-$$.db" "$fuzzer" -timeout=60 "$corpus"/* \
    >"$work/sqlite" 2>&1 || {
    report "$work/sqlite"
    failed=1
  }
  echo "on SQLite: $(grep -c '^Executed' "$work/sqlite") kept inputs"
fi
[ "$failed" -ne 0 ] || sed -n '/^stat::/p' "$work"/log*
exit "$failed"
