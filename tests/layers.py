#!/usr/bin/env python3
"""Includes point downward only: cli, demo -> net -> store, proto -> core.

And each foreign library has one place: libwebsockets in net/ws_*.c, sqlite3 in store/*sqlite*, protobuf-c in proto/;
core takes nothing but C11 and xxHash."""

import fnmatch
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BELOW = {
    "core": {"core"},
    "proto": {"proto", "core"},
    "store": {"store", "core"},
    "net": {"net", "store", "proto", "core"},
    "cli": {"cli", "net", "store", "proto", "core"},
    "demo": {"demo", "net", "store", "proto", "core"},
}
C11 = set("assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg "
          "stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype".split())
IMPURE = {"time.h", "threads.h", "signal.h", "locale.h"}  # stdio.h: snprintf, and the last words of a failed check
FOREIGN = [
    (r"(libwebsockets\.h|lws.*\.h)", "net/ws_*"),
    (r"openssl/ssl\.h", "net/ws_tls*"),
    (r"sqlite3.*\.h", "store/*sqlite*"),
    (r"protobuf-c/.*|.*\.pb-c\.h", "proto/*"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def owner_of(headers, folder, name):
    """The folder of ours that a header stands in; its own folder first."""
    found = headers.get(pathlib.PurePath(name).name, set())
    return folder if folder in found else next(iter(sorted(found)), None)


def faults_of(path, headers):
    folder, relative = path.parent.name, path.relative_to(ROOT).as_posix()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name, where = match[2], f"{relative}:{number}: "
        for pattern, place in FOREIGN:
            if re.fullmatch(pattern, name) and not fnmatch.fnmatch(relative, place):
                yield where + f"{name} belongs into {place} alone"
        owner = owner_of(headers, folder, name)
        if owner is not None and owner not in BELOW[folder]:
            yield where + f"{folder} must not include {owner}'s {name}"
        if folder != "core" or owner == "core" or name == "xxhash.h":
            continue
        if name.removesuffix(".h") not in C11:
            yield where + f"core includes {name}, which is neither C11 nor xxHash"
        elif name in IMPURE:
            yield where + f"core includes {name}: it knows no clock, thread, signal or global"


def main():
    sources = [p for folder in BELOW for p in sorted((ROOT / folder).glob("*.[ch]"))]
    headers = {}
    for path in sources:
        if path.suffix == ".h":
            headers.setdefault(path.name, set()).add(path.parent.name)
    faults = [fault for path in sources for fault in faults_of(path, headers)]
    for fault in faults:
        print(fault)
    print(f"layers: {len(sources)} files, {len(faults)} faults")
    return 1 if faults or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
