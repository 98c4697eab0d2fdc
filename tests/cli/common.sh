# common.sh -- sourced by the tests of the program: a folder, a count, and what is compared.
program=${1:?path of syncline}
folder=$(mktemp -d)
checks=0
faults=0
server=""
syncline() { "$program" "$@"; }

finish() {
  [ -n "$server" ] && kill -9 "$server" 2>/dev/null
  rm -rf "$folder"
  echo "checks: $checks, faults: $faults"
  [ "$faults" -eq 0 ] && [ "$checks" -gt 0 ]
  exit
}
fault() {
  faults=$((faults + 1))
  echo "FAULT: $*"
}

# awaits PID COMMAND...: until the command succeeds; fails if the process has ended by then, or after
# minutes, which no slow machine needs and a hanging test would.
awaits() {
  local pid=$1
  shift
  for _ in $(seq 6000); do
    "$@" && return
    kill -0 "$pid" 2>/dev/null || { "$@"; return; }
    sleep 0.05
  done
  return 1
}
# ready: the server of process $server says in $folder/ready where it listens; sets url.
says_ready() {
  url=$(sed -n 's/^syncline: ready \(ws:[^ ]*\) data=.*/\1/p' "$folder/ready")
  [ -n "$url" ]
}
ready() {
  awaits "$server" says_ready && return
  fault "the server does not start: $(cat "$folder"/*log)"
  finish
}

# prints EXPECTED ARGS...: exit status 0 and exactly this on stdout.
prints() {
  local expected=$1 got status
  shift
  checks=$((checks + 1))
  got=$(syncline "$@" 2>"$folder/stderr")
  status=$?
  [ "$status" -eq 0 ] || fault "syncline $*: exit status $status: $(cat "$folder/stderr")"
  [ "$got" = "$expected" ] || fault "syncline $*: printed '$got', not '$expected'"
}
# done_ok ARGS...: exit status 0.
done_ok() {
  checks=$((checks + 1))
  syncline "$@" >"$folder/stdout" 2>"$folder/stderr" ||
    fault "syncline $*: exit status $?: $(cat "$folder/stderr")"
}
# refused STATUS WORDS ARGS...: this exit status, nothing on stdout, WORDS on stderr; status 1: in one line.
refused() {
  local expected=$1 words=$2 status
  shift 2
  checks=$((checks + 1))
  syncline "$@" >"$folder/stdout" 2>"$folder/stderr"
  status=$?
  [ "$status" -eq "$expected" ] || fault "syncline $*: exit status $status, not $expected"
  [ -s "$folder/stdout" ] && fault "syncline $*: printed to stdout: $(head -1 "$folder/stdout")"
  grep -q -- "$words" "$folder/stderr" || fault "syncline $*: says: $(cat "$folder/stderr")"
  [ "$expected" -ne 1 ] || [ "$(wc -l <"$folder/stderr")" -eq 1 ] ||
    fault "syncline $*: more than one line: $(cat "$folder/stderr")"
}
