#!/usr/bin/env python3
"""compare.py KNOWN INDEX -- what Autobahn found, against what is known: better is a fault, too."""

import fnmatch
import json
import sys


def read_known(path):
    known = []
    with open(path) as lines:
        for line in lines:
            words = line.split(None, 3)
            if words and not line.startswith("#"):
                pattern, outcome, close, _reason = words
                known.append((pattern, outcome.split("/"), close.split("/")))
    return known


def expected(case, known):
    for pattern, outcomes, closes in known:
        if fnmatch.fnmatchcase(case, pattern):
            return pattern, outcomes, closes
    return None, ["OK"], ["OK"]


def main(known_path, index_path):
    known = read_known(known_path)
    with open(index_path) as index:
        cases = json.load(index)["syncline"]
    faults = 0
    met = set()
    for case, found in sorted(cases.items()):
        pattern, outcomes, closes = expected(case, known)
        met.add(pattern)
        have = [found[part].replace(" ", "-") for part in ("behavior", "behaviorClose")]
        if have[0] not in outcomes or have[1] not in closes:
            faults += 1
            print("%s: %s %s; known: %s %s" % (case, *have, "/".join(outcomes), "/".join(closes)))
    for pattern, _, _ in known:
        if pattern not in met:
            faults += 1
            print("%s: known, but there is no such case" % pattern)
    print("autobahn: %d cases, %d not as known" % (len(cases), faults))
    return 1 if faults or not cases else 0


sys.exit(main(*sys.argv[1:]))
