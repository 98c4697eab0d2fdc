#!/usr/bin/env bash
# test_cli_server.sh -- the program against its own server: serve, edit, watch, docs, sync, signals.
. "$(dirname "$0")/common.sh"
db=$folder/server.db

# start_server ARGS...: sets url.
start_server() {
  : >"$folder/ready"
  "$program" serve --data "$db" "$@" >"$folder/ready" 2>>"$folder/server.log" &
  server=$!
  ready
}
stop_server() { # TERM or INT
  checks=$((checks + 1))
  kill -"$1" "$server"
  wait "$server"
  local status=$?
  [ "$status" -eq 0 ] || fault "SIG$1: exit status $status"
  server=""
}

start_server --listen 127.0.0.1:0
checks=$((checks + 1))
[ "$(cat "$folder/ready")" = "syncline: ready $url data=$db" ] || fault "$(cat "$folder/ready")"

# The file has an owner.
refused 1 "ws://" get "$db" notes
refused 1 "ws://" insert "$db" notes "" 0 x
refused 1 "" serve --data "$db" --listen 127.0.0.1:0
refused 1 "" serve --data "$folder/second.db" --listen "${url#ws://}"
refused 1 "a client can end this process" serve --data "$folder/second.db" --deflate
refused 1 "no such folder" serve --data "$folder/second.db" --web "$folder/none"
refused 1 "No such file" serve --data "$folder/second.db" --secret-file "$folder/none"
refused 1 "first line" serve --data "$folder/second.db" --secret-file /dev/null
refused 1 "a server is ws://" get "http${url#ws}" notes
refused 2 "1 to 16" serve --data "$folder/second.db" --loops 0
refused 2 "1 to 16" serve --data "$folder/second.db" --loops many
# Each limit has its line, with what it is for.
"$program" serve --limits >"$folder/limits"
for name in $(sed -n 's/^    X([A-Z_]*, "\([a-z_]*\)".*/\1/p' "$(dirname "$0")/../../net/server_limits.h") frame_bytes; do
  checks=$((checks + 1))
  grep -q "^$name  *[0-9a-zA-Z]* .*[a-z]" "$folder/limits" || fault "--limits lacks $name"
done
[ "$(wc -l <"$folder/limits")" -gt 50 ] || fault "--limits: $(wc -l <"$folder/limits") lines"
checks=$((checks + 1))
said=$( (ulimit -n 24 && exec "$program" serve --data "$folder/second.db" --listen 127.0.0.1:0) 2>&1 </dev/null)
case "$said" in *"file descriptors can be had"*) ;; *) fault "24 file descriptors: $said" ;; esac
refused 1 "HTTP/2" serve --data "$folder/second.db" --http2
refused 1 "insecure" serve --data "$folder/second.db" --listen 0.0.0.0:0
refused 1 "no document" get "$url" notes
refused 1 "no document" text "$url" notes

# Editing through it.
done_ok insert "$url" notes "" 0 'Hello'
prints 'Hello' text "$url" notes
done_ok insert "$url" notes "" 5 ', world'
done_ok delete "$url" notes "" 0 7
prints 'world' text "$url" notes
done_ok set "$url" notes /title '"Plan"'
done_ok incr "$url" notes /likes 2
prints '{"":"world","likes":2,"title":"Plan"}' get "$url" notes
done_ok set "$url" other /x '[1,2]'
checks=$((checks + 1))
[ "$(syncline docs "$url" | cut -f1 | tr '\n' ,)" = "notes,other," ] || fault "docs: $(syncline docs "$url" 2>&1)"
done_ok log "$url" notes

# Watching.
"$program" watch "$url" notes >"$folder/watched" 2>/dev/null &
watcher=$!
awaits "$watcher" grep -q world "$folder/watched" # what was there already
done_ok insert "$url" notes "" 0 'new '
awaits "$watcher" grep -q 'new ' "$folder/watched"
kill "$watcher"
wait "$watcher"
status=$?
checks=$((checks + 1))
[ "$status" -eq 0 ] || fault "watch does not end well: exit status $status"
python3 - "$folder/watched" <<'PY' || fault "watched: $(cat "$folder/watched")"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
splices = [c for line in lines for c in line["changes"] if c["op"] == "splice" and c.get("text") == "new "]
assert splices and splices[0]["pos"] == 0 and splices[0]["in"] == [""], lines
PY

# Health, and a look at the metrics.
checks=$((checks + 1))
curl -fsS "http${url#ws}/healthz" >/dev/null || fault "/healthz"
curl -fsS "http${url#ws}/metrics" | grep -q syncline || fault "/metrics"

# A backup of a file in use is clean.
done_ok backup "$db" "$folder/copy.db"
done_ok fsck "$folder/copy.db"

# A local file, offline, and back.
done_ok sync "$folder/mine.db" "$url"
prints 'new world' text "$folder/mine.db" notes
done_ok insert "$folder/mine.db" notes "" 0 'offline: '
done_ok insert "$url" notes "" 9 '!'
done_ok set "$folder/mine.db" fresh /made '"here"'
done_ok sync "$folder/mine.db" "$url"
prints 'offline: new world!' text "$url" notes
prints 'offline: new world!' text "$folder/mine.db" notes
prints '{"made":"here"}' get "$url" fresh
done_ok fsck "$folder/mine.db"

# kill -9 loses nothing that was acknowledged; SIGTERM and SIGINT end it well.
done_ok insert "$url" notes "" 0 'kept '
kill -9 "$server"
wait "$server" 2>/dev/null
start_server --listen 127.0.0.1:0
prints 'kept offline: new world!' text "$url" notes
stop_server TERM
done_ok fsck "$db"
prints 'kept offline: new world!' text "$db" notes

# A version over HTTP, also one below the snapshot that folding made.
at() { python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' \
  "${url/ws:/http:}/v1/documents/old?text=&at=$1"; }
versions() {
  checks=$((checks + 1))
  [ "$(at 3)/$(at 5)/$(at 6)" = "abc/abcde/abcdef" ] || fault "versions: $(at 3), $(at 5), $(at 6)"
}
start_server --listen 127.0.0.1:0
done_ok insert "$url" old "" 0 abc
done_ok insert "$url" old "" 3 def
versions
stop_server TERM
done_ok compact "$db"
start_server --listen 127.0.0.1:0
versions
stop_server TERM

# A secret.
echo "open sesame" >"$folder/secret"
start_server --listen 127.0.0.1:0 --secret-file "$folder/secret"
refused 1 "SYNCLINE_TOKEN" text "$url" notes --timeout 3
SYNCLINE_TOKEN=wrong refused 1 "SYNCLINE_TOKEN" text "$url" notes --timeout 3
export SYNCLINE_TOKEN="open sesame"
prints 'kept offline: new world!' text "$url" notes
done_ok docs "$url"
unset SYNCLINE_TOKEN
refused 1 "SYNCLINE_TOKEN" docs "$url"
stop_server INT
checks=$((checks + 1))
grep -q 'open sesame\|SYNCLINE_TOKEN=wrong' "$folder/server.log" && fault "a secret is in the log"

# Signed tokens: what they do not allow is said.
syncline token key >"$folder/key"
syncline token public "$folder/key" >"$folder/keys"
start_server --listen 127.0.0.1:0 --keys "$folder/keys"
export SYNCLINE_TOKEN
SYNCLINE_TOKEN=$(syncline token make "$folder/key" --user ann --create 'team/*')
refused 1 "no right to list" docs "$url"
refused 1 "FORBIDDEN" get "$url" elsewhere
checks=$((checks + 1))
syncline load "$url" --duration 1000 >"$folder/stdout" 2>"$folder/stderr" && fault "nobody may write, and load ran"
grep -q "no client may open" "$folder/stderr" || fault "load says: $(cat "$folder/stderr")"
unset SYNCLINE_TOKEN
stop_server TERM
refused 2 "empty secret" serve --secret ""
refused 1 "secret" serve --secret-file "$folder/nothing"
finish
