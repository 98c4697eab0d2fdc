#!/usr/bin/env bash
# hardening.sh PROGRAM LIBRARY -- what the loader and the compiler do against faults is in the built
# files: any address, nothing to overwrite after loading, no code on the stack, checked stack frames
# and checked copies.
set -u
faults=0

fault() {
  echo "$1: $2"
  faults=$((faults + 1))
}

command -v readelf >/dev/null || {
  echo "left out: readelf (binutils) is not there"
  exit 77
}
for file in "$@"; do
  headers=$(readelf -hldW "$file") && symbols=$(readelf --dyn-syms -W "$file") || exit 1
  grep -q 'Type: *DYN' <<<"$headers" || fault "$file" "not position-independent"
  grep -q 'GNU_RELRO' <<<"$headers" || fault "$file" "no RELRO"
  grep -Eq '\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*NOW' <<<"$headers" || fault "$file" "bound lazily: RELRO is partial"
  grep 'GNU_STACK' <<<"$headers" | grep -q 'RWE' && fault "$file" "its stack may hold code"
  grep -q 'TEXTREL' <<<"$headers" && fault "$file" "its code is changed while loading"
  grep -q '__stack_chk_fail' <<<"$symbols" || fault "$file" "no stack protector"
  grep -q '__[a-z]*_chk@' <<<"$symbols" || fault "$file" "no FORTIFY"
done
readelf -dW "$1" | grep -q 'FLAGS_1.* PIE' || fault "$1" "not PIE"
echo "hardening: $# files, $faults faults"
[ "$faults" -eq 0 ]
