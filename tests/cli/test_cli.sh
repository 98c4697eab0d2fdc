#!/usr/bin/env bash
# test_cli.sh -- every command that needs no server: database files, traces, wrong use.
. "$(dirname "$0")/common.sh"
db=$folder/notes.db

# Help and wrong use.
done_ok --help
done_ok --version
for command in serve get text set insert delete incr watch docs sync log replay bench fsck backup \
  restore compact; do
  done_ok "$command" --help
  grep -q Examples "$folder/stdout" || fault "$command --help has no examples"
  refused 2 "no option --nonsense" "$command" --nonsense
done
refused 2 "usage" 
refused 2 "no command" nonsense
refused 2 "missing" get
refused 2 "missing" get "$db"
refused 2 "too many" get "$db" a /b c
refused 2 "needs a value" get "$db" a --timeout
refused 2 "begins with /" get "$db" a title
refused 2 "POS" insert "$db" a "" x text
refused 2 "COUNT" delete "$db" a "" 0
refused 2 "whole number" incr "$db" a /n 1.5
refused 2 "no JSON" set "$db" a /b '{'
refused 2 "begins with /" set "$db" a b 1
refused 2 "~0" set "$db" a /b~2 1
refused 2 "URL" sync "$db" "$db"
refused 2 "no limit of that name" serve --limit none=1
refused 2 "NAME=VALUE" serve --limit=connections
refused 2 "it cannot be that" serve --memory 1K
done_ok serve --limits --memory 256M --limit connections=7,burst=3 --limit user_bytes=3M
grep -Eq '^connections +7 ' "$folder/stdout" && grep -Eq '^memory +256M ' "$folder/stdout" &&
  grep -Eq '^burst +3 ' "$folder/stdout" && grep -Eq '^user_bytes +3M ' "$folder/stdout" ||
  fault "serve --limits does not show what was set"

# What is not there.
refused 1 "notes.db" get "$db" a
[ -e "$db" ] && fault "get made a file"
refused 1 "notes.db" docs "$db"
refused 1 "" fsck "$db"
refused 1 "" backup "$db" "$folder/copy.db"
refused 1 "" compact "$db"

# Editing makes what is missing.
done_ok insert "$db" notes body 0 'Hello'
prints 'Hello' text "$db" notes body
done_ok insert "$db" notes body 5 ', wörld 🙂'
prints 'Hello, wörld 🙂' text "$db" notes body
done_ok delete "$db" notes body 5 7
prints 'Hello 🙂' text "$db" notes body
refused 1 "characters" insert "$db" notes body 99 x
refused 1 "characters" delete "$db" notes body 0 99
prints 'Hello 🙂' text "$db" notes body
refused 1 "no text" text "$db" notes
refused 1 "no document" get "$db" other
done_ok set "$db" notes /title '"Plan"'
prints '"Plan"' get "$db" notes /title
done_ok set "$db" notes /deep/er/key 7
prints '7' get "$db" notes /deep/er/key
refused 1 "force" set "$db" notes /title/sub 1
done_ok set "$db" notes /title/sub 1 --force
prints '{"sub":1}' get "$db" notes /title
done_ok set "$db" notes /tasks '["a",{"b":[true,null,1.5,-3]}]'
prints '["a",{"b":[true,null,1.5,-3]}]' get "$db" notes /tasks
done_ok set "$db" notes /tasks/- '"last"'
prints '"last"' get "$db" notes /tasks/2
done_ok set "$db" notes /tasks/0 '"first"'
prints '"first"' get "$db" notes /tasks/0
done_ok set "$db" notes /tasks/1/b/0 false
prints '[false,null,1.5,-3]' get "$db" notes /tasks/1/b
refused 1 "items" set "$db" notes /tasks/9 1
refused 1 "index" set "$db" notes /tasks/x 1
done_ok delete "$db" notes /tasks 0 1
prints '"last"' get "$db" notes /tasks/1
done_ok delete "$db" notes /tasks/0
prints '["last"]' get "$db" notes /tasks
done_ok incr "$db" notes /likes 5
done_ok incr "$db" notes /likes -2
prints '3' get "$db" notes /likes
refused 1 "" incr "$db" notes /deep/er/key 1
done_ok insert "$db" notes /chapters/one 0 'It was dark.'
prints '"It was dark."' get "$db" notes /chapters/one
done_ok delete "$db" notes /deep
refused 1 "nothing at" get "$db" notes /deep
refused 1 "nothing" delete "$db" notes /deep
done_ok set "$db" notes '/a~1b~0c' 1
prints '1' get "$db" notes '/a~1b~0c'
prints '{"a/b~c":1,"body":"Hello 🙂","chapters":{"one":"It was dark."},"likes":3,"tasks":["last"],"title":{"sub":1}}' \
  get "$db" notes
done_ok set "$db" notes /big 9223372036854775807
prints '9223372036854775807' get "$db" notes /big
done_ok set "$db" "second one" /x 1

refused 1 "UTF-8" set "$db" "$(printf '\377')" /x 1
refused 1 "UTF-8" insert "$db" notes body 0 "$(printf '\377')"
refused 1 "255 bytes" set "$db" "$(printf '%0300d' 0)" /x 1
refused 1 "255 bytes" get "$db" ""

# Looking.
checks=$((checks + 1))
[ "$(syncline docs "$db" | cut -f1 | tr '\n' ,)" = "notes,second one," ] || fault "docs"
done_ok log "$db" notes
python3 -c 'import json,sys
for line in open(sys.argv[1]):
    assert json.loads(line)["events"] > 0' "$folder/stdout" || fault "log prints no JSON"
grep -q ', wörld 🙂' "$folder/stdout" || fault "log does not show what was inserted"
done_ok log "$db" notes --dot
grep -q digraph "$folder/stdout" || fault "log --dot"
done_ok log "$db" notes --dump
refused 1 "watch a server" watch "$db" notes

# Looking after the file.
before=$(syncline get "$db" notes)
done_ok fsck "$db"
grep -q clean "$folder/stdout" || fault "fsck does not say clean"
done_ok backup "$db" "$folder/copy.db"
refused 1 "already" backup "$db" "$folder/copy.db"
done_ok compact "$db"
done_ok fsck "$db"
prints "$before" get "$db" notes
done_ok insert "$db" notes body 0 'lost '
done_ok restore "$db" "$folder/copy.db"
prints "$before" get "$db" notes
[ -e "$db.before-restore" ] || fault "restore did not keep what was there"
done_ok insert "$db" notes body 0 'again '
done_ok fsck "$db"

# Files that are not ours, or damaged.
echo "this is no database, only a text that is long enough to look at" >"$folder/text.db"
refused 1 "text.db" get "$folder/text.db" notes
python3 - "$folder/copy.db" "$folder/hurt.db" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
at = data.find("It was dark.".encode())
assert at > 0
data[at] ^= 1
open(sys.argv[2], "wb").write(data)
PY
checks=$((checks + 1))
syncline fsck "$folder/hurt.db" >"$folder/stdout" 2>"$folder/stderr"
[ $? -eq 1 ] && [ -s "$folder/stdout" ] && grep -q restore "$folder/stderr" ||
  fault "fsck of a damaged file: $(cat "$folder/stdout" "$folder/stderr")"
refused 1 "no answer" get ws://127.0.0.1:1 notes --timeout 1
refused 1 "no answer.*running there" docs ws://127.0.0.1:1
refused 1 "no answer.*SYNCLINE_CA" docs wss://127.0.0.1:1

# Traces that are none, or wrong.
refused 1 "gone.gz" bench "$folder/gone.gz"
printf '#CTRACE 1\nR a C 1 1\nT 0 - 0,0,hi\nE hi\nF 2 2 %064d\n.\n' 0 | gzip >"$folder/wrong.gz"
checks=$((checks + 1))
got=$(syncline replay "$folder/wrong.gz" 2>"$folder/stderr")
[ $? -eq 1 ] && [[ $got == '{"records":1,"passed":0,"failed":1,"events":2,'* ]] &&
  grep -q "final text" "$folder/stderr" || fault "replay of a wrong trace: $got"
for line in 'T 7 - 0,0,x' 'T 0 3 0,0,x' 'T 0 - 0,0' 'T 0 - 0,0,%zz' 'V 9 1 1 0' 'X' 'T 0 - 9,0,x'; do
  printf '#CTRACE 1\nR a C 1 1\n%s\nF 0 0 %064d\n.\n' "$line" 0 | gzip >"$folder/bad.gz"
  checks=$((checks + 1))
  syncline replay "$folder/bad.gz" >"$folder/stdout" 2>"$folder/stderr"
  [ $? -eq 1 ] && [ -s "$folder/stderr" ] || fault "replay took: $line"
done
finish
