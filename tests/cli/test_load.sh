#!/usr/bin/env bash
# test_load.sh -- `load` against a server of its own: what it prints adds up, and nothing is lost.
. "$(dirname "$0")/common.sh"

: >"$folder/ready"
"$program" serve --data "$folder/server.db" --listen 127.0.0.1:0 >"$folder/ready" 2>"$folder/server.log" &
server=$!
ready

# holds EXPRESSION: true of the JSON (j) that was printed last.
holds() {
  checks=$((checks + 1))
  python3 -c 'import json,sys; j=json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
    "$folder/stdout" "$1" || fault "does not hold: $1 in $(head -c 3000 "$folder/stdout")"
}
nothing_lost() {
  holds 'j["verified"]["differing"] == 0 and j["verified"]["missing"] == 0'
  holds 'j["verified"]["unacknowledged"] == 0 and j["counts"]["rejected"] == 0'
  holds 'j["counts"]["durable"] == j["counts"]["edits"] == j["latency_us"]["durable"]["count"]'
  holds 'j["errors"]["codes"] == {} and j["errors"]["connections"] == {}'
}

# Fixed clients: every edit is seen once by each other client of its document.
done_ok load "$url" --documents 3 --writers 2 --readers 2 --edits 20 --duration 2 --seed 7 --json
nothing_lost
holds 'j["seed"] == 7 and j["clients"] == 12 and j["counts"]["opened"] == 12'
holds 'j["counts"]["edits"] > 100 and j["counts"]["deliveries"] == 3 * j["counts"]["edits"]'
holds 'j["latency_us"]["seen"]["count"] + j["counts"]["not_timed"] == j["counts"]["deliveries"]'
holds 'j["verified"]["clients"] == 12 and j["verified"]["documents"] == 3'
holds 'len(j["over_time"]) == 8 and j["over_time"][-1]["connections"] == 12'
holds 'sum(s["edits"] for s in j["over_time"]) == j["counts"]["edits"]'
# A clock that runs late on a busy machine is no fault of the schedule, so the planned gaps are judged.
holds 'j["theory"]["gaps"]["count"] > 100 and j["theory"]["gaps"]["p_planned"] > 0.001'

# Clients that come and go, in two processes, some slow, with presence, and a page.
done_ok load "$url" --arrivals 60 --stay 0.5 --writing 0.5 --documents 4 --zipf 1 --presence 2 \
  --slow 0.3 --slow-for 0.2 --processes 2 --duration 2 --seed 8 --json --report "$folder/page.html"
nothing_lost
holds 'j["counts"]["left"] > 10 and j["counts"]["opened"] >= j["counts"]["left"]'
holds 'j["counts"]["presence_sent"] > 0 and j["counts"]["pauses"] > 0'
holds 'j["counts"]["presence_seen"] > 0 and j["latency_us"]["seen_by_slow"]["count"] > 0'
holds 'j["theory"]["connections"]["low"] < 30 < j["theory"]["connections"]["high"]'
holds 'j["theory"]["gaps"]["p_planned"] > 0.001 and j["theory"]["handshakes"]["model"] == "M/D/1"'
checks=$((checks + 2))
[ "$(grep -c '<svg' "$folder/page.html")" -eq 4 ] || fault "the page has not four plots"
grep -qE 'https?://|nan|inf,' "$folder/page.html" && fault "the page loads something, or has holes"
python3 - "$folder/page.html" <<'PY' || fault "a plot is not well-formed"
import re, sys, xml.etree.ElementTree as tree
for svg in re.findall(r"<svg.*?</svg>", open(sys.argv[1]).read(), re.S): tree.fromstring(svg)
PY

# All at once, twice.
done_ok load "$url" --storm 40 --writers 1 --duration 1 --away 0.2 --document all-hands --json
nothing_lost
holds 'j["counts"]["opened"] == 81 and j["latency_us"]["join"]["count"] == 41'
holds 'j["latency_us"]["rejoin"]["count"] == 40 and j["join_bytes"]["rejoin"] > 0'
checks=$((checks + 1))
syncline docs "$url" | grep -q '^all-hands' || fault "no document of that name"
holds 'j["theory"]["handshakes"]["model"] == "all at once"'

# Some readers stop once: told apart from the others, who see everything; all are equal afterwards.
done_ok load "$url" --readers 6 --writers 1 --edits 40 --stop-readers 2@0.5:1 --duration 2 --json
nothing_lost
holds 'j["counts"]["pauses"] == 2 and j["latency_us"]["seen_by_slow"]["max"] > 900000'
holds 'j["latency_us"]["seen"]["count"] == 4 * j["counts"]["edits"]'
holds '0 < j["latency_us"]["seen_while_stopped"]["count"] < j["latency_us"]["seen"]["count"]'
holds '2 * j["latency_us"]["seen_by_slow"]["count"] == j["latency_us"]["seen"]["count"]'
done_ok load "$url" --storm 40 --duration 2 --back-rate 100 --json
nothing_lost
holds 'j["latency_us"]["rejoin"]["count"] == 40'

# Steps; and the end by SIGINT, with the report.
done_ok load "$url" --ramp 4 --duration 2 --edits 100 --json
nothing_lost
holds 'sum(s["edits"] for s in j["over_time"][:2]) * 2 < sum(s["edits"] for s in j["over_time"][-2:])'
done_ok load "$url" --ramp 2 --duration 1 --edits 50
checks=$((checks + 1))
[ "$(grep -cE '^ +[12] of 2 +[0-9]' "$folder/stdout")" -eq 2 ] || fault "steps: $(cat "$folder/stdout")"
checks=$((checks + 1))
"$program" load "$url" --duration 1000 --json --document cut-short >"$folder/stdout" 2>"$folder/stderr" &
load=$!
has_begun() { syncline docs "$url" 2>&1 | grep -q '^cut-short	[1-9]'; }
awaits "$load" has_begun || fault "no edit comes" # from the first on it listens to signals
kill -INT "$load"
wait "$load" || fault "SIGINT: exit status $?: $(cat "$folder/stderr")"
holds 'j["interrupted"] and j["seconds"] < 1000'
nothing_lost

# As text; and wrong use.
done_ok load "$url" --duration 0.5
checks=$((checks + 1))
grep -q '^equal: 2 clients of 1 documents' "$folder/stdout" || fault "text: $(cat "$folder/stdout")"
refused 2 "--edits" load "$url" --edits x
refused 2 "--stop-readers" load "$url" --stop-readers 5
refused 2 "--documents" load "$url" --documents 0
refused 2 "--document" load "$url" --document x --documents 2
refused 2 "at most" load "$url" --documents 100000 --writers 2
refused 1 "ws://" load http://127.0.0.1:1
refused 1 "127.0.0.1:1" load ws://127.0.0.1:1
finish
