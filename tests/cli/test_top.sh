#!/usr/bin/env bash
# test_top.sh -- `top` on a server, and on what only says that it is one.
. "$(dirname "$0")/common.sh"

# answering FILE...: sets url of a program that answers each GET with the file's bytes.
answering() {
  python3 - "$1" >"$folder/port" <<'END' &
import http.server, sys
body = open(sys.argv[1], "rb").read()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
END
  server=$!
  until [ -s "$folder/port" ]; do sleep 0.05; done
  url=ws://127.0.0.1:$(cat "$folder/port")
}
stop() {
  kill -9 "$server"
  wait "$server" 2>/dev/null
  server=""
  rm -f "$folder/port"
}
# shows WORDS: they are in the last output.
shows() {
  checks=$((checks + 1))
  grep -q -- "$1" "$folder/stdout" || fault "top does not show '$1': $(cat "$folder/stdout")"
}

"$program" serve --listen 127.0.0.1:0 --data "$folder/top.db" >"$folder/ready" 2>/dev/null &
server=$!
until grep -q ready "$folder/ready"; do sleep 0.05; done
url=$(sed -n 's/^syncline: ready \(ws:[^ ]*\) data=.*/\1/p' "$folder/ready")
done_ok set "$url" notes /title '"Plan"'
done_ok top "$url" --once
shows ' well$'
shows 'documents 1 '
shows 'nothing so far'
done_ok top "$url" # no terminal: once
stop
refused 1 'no answer' top "$url" --once
refused 2 'no server' top "$folder/top.db"
refused 2 'interval' top "$url" --interval 0

printf 'not\nmetrics\n' >"$folder/page"
answering "$folder/page"
refused 1 'no metrics' top "$url" --once
stop

{
  printf 'syncline_refused_total{code="A\033[31mB\007"} 5\n'
  printf 'syncline_connections 1e400\nsyncline_channels nan\nsyncline_documents_loaded -7\n'
  printf 'syncline_uptime_seconds 99999999999999999999999\nsyncline_ \nsyncline_\n'
  head -c 200000 /dev/zero | tr '\0' 'x'
  printf '\nsyncline_%s 1\n' "$(head -c 5000 /dev/zero | tr '\0' 'y')"
  for i in $(seq 3000); do echo "syncline_many_$i $i"; done
} >"$folder/page"
answering "$folder/page"
done_ok top "$url" --once
shows '  A 5'
shows 'open 0 '
checks=$((checks + 1))
LC_ALL=C grep -q '[[:cntrl:]]' "$folder/stdout" && fault "top prints a server's control characters"
stop
finish
