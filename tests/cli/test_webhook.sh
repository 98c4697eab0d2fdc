#!/usr/bin/env bash
# test_webhook.sh -- `serve --webhooks`: signed, sent again until taken, told also after a kill -9.
. "$(dirname "$0")/common.sh"

# A receiver: one line for each request (id, whether the signature holds, documents), and the answers that the
# file `answers` lists, one for each request; 204 when it is used up.
receive() {
  python3 - "$folder" "$1" >"$folder/port" <<'END' &
import base64, hashlib, hmac, http.server, json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
key = b"0123456789abcdef0123456789abcdef"
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = self.headers
        text = b".".join([head["webhook-id"].encode(), head["webhook-timestamp"].encode(), body])
        want = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        got = head.get("webhook-signature", "none")
        signed = "signed" if got == want else "unsigned" if got == "none" else "forged"
        documents = json.loads(body)["data"]["documents"]
        told = " ".join(d["document"] + ("-" if d.get("deleted") else "") + (f":{d['events']}" if "events" in d else "")
                        for d in documents)
        answers = (folder / "answers").read_text().split()
        (folder / "answers").write_text(" ".join(answers[1:]))
        with open(folder / "requests", "a") as log:
            print(head["webhook-id"], signed, told, file=log, flush=True)
        self.send_response(int(answers[0]) if answers else 204)
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
END
  receiver=$!
  until [ -s "$folder/port" ]; do sleep 0.05; done
  port=$(cat "$folder/port")
}
stop_receiver() {
  kill -9 "$receiver"
  wait "$receiver" 2>/dev/null
  rm -f "$folder/port"
}
start() {
  : >"$folder/ready"
  "$program" serve --listen 127.0.0.1:0 --data "$folder/hooks.db" --secret s3cret \
    --webhooks "$folder/hooks.json" >"$folder/ready" 2>>"$folder/log" &
  server=$!
  until grep -q ready "$folder/ready"; do
    kill -0 "$server" || { fault "no server: $(cat "$folder/log")"; finish; }
    sleep 0.05
  done
  url=$(sed -n 's/^syncline: ready \(ws:[^ ]*\) data=.*/\1/p' "$folder/ready")
}
stop() {
  kill "-$1" "$server"
  wait "$server" 2>/dev/null
  server=""
}
has_lines() { [ "$(wc -l <"$folder/requests")" -ge "$1" ]; }
# got N LINE: the Nth request, which may take its time.
got() {
  local line=""
  checks=$((checks + 1))
  awaits "$server" has_lines "$1"
  line=$(sed -n "$1p" "$folder/requests")
  [ "$line" = "$2" ] || fault "request $1 is '$line', not '$2'"
}
logged() {
  checks=$((checks + 1))
  awaits "$server" grep -q -- "$1" "$folder/log" && return
  fault "no '$1' in the log: $(cat "$folder/log")"
}

export SYNCLINE_TOKEN=s3cret
: >"$folder/requests"
: >"$folder/answers"
receive 0
cat >"$folder/hooks.json" <<END
{"hooks": [{"name": "notes", "url": "http://127.0.0.1:$port/hook", "documents": "notes/*", "quiet_ms": 50,
            "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}]}
END
start
done_ok set "$url" notes/a /title '"Plan"'
got 1 "notes-1.0 signed notes/a:1"
done_ok set "$url" other /title '"Plan"' # not of its pattern
printf '500 302' >"$folder/answers"    # no yes: the same batch is sent again, with the same id
done_ok set "$url" notes/b /title '"Plan"'
got 2 "notes-3.0 signed notes/b:1"
got 3 "notes-3.0 signed notes/b:1"
got 4 "notes-3.0 signed notes/b:1"
logged 'webhook notes: not taken, will be sent again: HTTP status 500'
logged 'webhook notes: answers again'

# Nobody there: the server is killed, changes come without the hook's knowledge; all of it is told later.
stop_receiver
done_ok set "$url" notes/a /title '"Plan 2"'
logged 'onnect'
stop KILL
start
stop TERM
receive "$port"
start
got 5 "notes-4.0 signed notes/a:1"

# Deleted and made anew, in one batch.
printf '500' >"$folder/answers"
python3 - "$url" <<'END' || fault "DELETE"
import sys, urllib.request
url = sys.argv[1].replace("ws:", "http:")
for name in "a", "b":
    request = urllib.request.Request(f"{url}/v1/documents/notes/{name}", method="DELETE",
                                     headers={"Authorization": "Bearer s3cret"})
    urllib.request.urlopen(request).read()
END
awaits "$server" has_lines 6
checks=$((checks + 1))
sed -n '6p' "$folder/requests" | grep -q 'notes/a-' || fault "request 6: $(sed -n 6p "$folder/requests")"
stop TERM # while it waits to send that again
start
done_ok set "$url" notes/a /title '"Plan 3"'
told_anew() { grep -q 'notes/a.*:1$' <(sed -n '7,$p' "$folder/requests"); }
awaits "$server" told_anew
checks=$((checks + 1))
sed -n '7,$p' "$folder/requests" | tr '\n' ' ' | grep -Eq 'notes/b-.*notes/a(-)?:1|notes/a-.*:1' ||
  fault "after the deletions: $(sed -n '7,$p' "$folder/requests")"

# 410: no more.
printf '410' >"$folder/answers"
done_ok set "$url" notes/c /title '"Plan"'
logged 'webhook notes: is gone (410)'
stop TERM
checks=$((checks + 1))
grep -q 'forged\|unsigned' "$folder/requests" && fault "a signature is wrong: $(cat "$folder/requests")"
stop_receiver

# wrong WORDS JSON: the file is refused before anything is served.
wrong() {
  printf '%s' "$2" >"$folder/hooks.json"
  refused 1 "$1" serve --listen 127.0.0.1:0 --data "$folder/hooks.db" --webhooks "$folder/hooks.json"
}
wrong 'line 1' '{"hooks": ['
wrong 'holds' '[]'
wrong 'holds' '{"hooks": {}}'
wrong 'hook 1: a hook has' '{"hooks": [{"name": "a"}]}'
wrong 'hook 1: a hook has' '{"hooks": [{"name": "a", "url": "http://x/", "secert": "0123456789abcdef"}]}'
wrong 'hook 1: name' '{"hooks": [{"name": "a b", "url": "http://x/"}]}'
wrong 'hook 1: url' '{"hooks": [{"name": "a", "url": "file:///etc/passwd"}]}'
wrong 'hook 1: secret' '{"hooks": [{"name": "a", "url": "http://x/", "secret": "short"}]}'
wrong 'hook 1: secret' '{"hooks": [{"name": "a", "url": "http://x/", "secret": "whsec_short"}]}'
wrong 'hook 1: quiet_ms' '{"hooks": [{"name": "a", "url": "http://x/", "quiet_ms": -1}]}'
wrong 'hook 1: quiet_ms' '{"hooks": [{"name": "a", "url": "http://x/", "latest_ms": "1"}]}'
wrong 'hook 2: the name' '{"hooks": [{"name": "a", "url": "http://x/"}, {"name": "a", "url": "http://y/"}]}'
refused 1 'none.json' serve --listen 127.0.0.1:0 --data "$folder/hooks.db" --webhooks "$folder/none.json"
finish
