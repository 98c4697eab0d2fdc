#!/usr/bin/env bash
# test_traces.sh -- recorded sessions through the core, and some through a server.
. "$(dirname "$0")/common.sh"
source_dir=$2

passes() { # FILE ARGS...
  checks=$((checks + 1))
  local last
  last=$(syncline replay "$@" 2>"$folder/stderr" | tail -1)
  [[ $last == *'"failed":0,'* && $last != *'"records":0,'* ]] ||
    fault "replay $*: $last $(head -3 "$folder/stderr")"
}

for trace in "$source_dir"/tests/data/*.trace.gz; do passes "$trace"; done
if [ -d "$source_dir/../shared/traces" ]; then
  for trace in "$source_dir"/../shared/traces/*.trace.gz; do
    [ -e "$source_dir/tests/data/$(basename "$trace")" ] || passes "$trace"
  done
else
  echo "left out: ../shared/traces is not there"
fi

# Through a server, a connection per agent.
"$program" serve --listen 127.0.0.1:0 --data "$folder/t.db" >"$folder/ready" 2>"$folder/log" &
server=$!
ready
passes "$source_dir/tests/data/small.trace.gz" --via "$url"
checks=$((checks + 1))
syncline replay "$source_dir/tests/data/small.trace.gz" --via "$url" >/dev/null 2>"$folder/stderr" &&
  fault "a document that is there already was taken for new"
kill "$server"
wait "$server" || fault "the server did not end well: $(tail -3 "$folder/log")"
server=""
done_ok fsck "$folder/t.db"

# The benchmark prints its lines.
done_ok bench --json "$source_dir/tests/data/small.trace.gz"
for work in encode load ready merge relay; do
  grep -q "\"work\":\"$work\",.*\"ms\":.*\"peak_bytes\":" "$folder/stdout" || fault "bench: no $work"
done
finish
