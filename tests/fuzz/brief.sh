#!/usr/bin/env bash
# brief.sh FUZZER CORPUS -- every kept input, then new ones for 20 s (times SYN_SEEDS).
set -eu
fuzzer=$1 corpus=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/new"
seconds=$((20 * ${SYN_SEEDS:-1}))
echo "$(basename "$fuzzer"): seed 1, $seconds s"
if ! "$fuzzer" -seed=1 -max_total_time="$seconds" -timeout=30 -rss_limit_mb=4096 -max_len=4096 \
  -artifact_prefix="$PWD/" -print_final_stats=1 "$work/new" "$corpus" >"$work/log" 2>&1; then
  tail -60 "$work/log"
  exit 1
fi
tail -8 "$work/log"
