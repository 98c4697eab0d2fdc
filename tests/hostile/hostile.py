#!/usr/bin/env python3
"""hostile.py SYNCLINE [CASE...] -- everything that can be said wrongly to `syncline serve`.

A server as its own process is told wrong things over raw sockets.  Each gets its own answer; after
each case the same process still serves an honest client (the canary), and in the end the database
holds exactly what was taken, and fsck finds nothing.  Then databases that are no good."""

import os
import re
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib

from wire import (ACCESS, ACK, AUTH, CHANGES, CLOSE, CLOSED, CREDIT, DIGEST, ERROR, F64, HELLO, NACK,
                  NAMES, OPEN, OPENED, PACKED, PING, PONG, PRESENCE, SNAPSHOT, WANT, WELCOME, Closed,
                  Raw, Socket, fields, fixed, frame, hello, insert, message, open_frame, packed,
                  random_peer, request, varint, zigzag)

CASES = []


def case(function):
    CASES.append(function)
    return function


def same(have, *want):
    if have not in want:
        raise AssertionError("have %r, want %s" % (have, " or ".join(repr(w) for w in want)))


class Server:
    def __init__(self, program, folder, *options, before=None):
        """before: called in the new process, before it is the server."""
        self.program, self.folder = program, folder
        self.data = os.path.join(folder, "data.db")
        self.taken = 0
        with open(program, "rb") as binary:  # sanitizers keep what was freed for a while
            self.spare = 800 if re.search(b"__[at]san_init", binary.read()) else 200
        self.log = open(os.path.join(folder, "log"), "w")
        self.process = subprocess.Popen([program, "serve", "--listen", "127.0.0.1:0", "--data",
                                         self.data, "--loops", os.environ.get("SYN_LOOPS", "3"), *options],
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, preexec_fn=before)
        line = self.process.stdout.readline()
        found = re.match(r"syncline: ready ws://127\.0\.0\.1:(\d+) ", line)
        assert found, "serve says %r" % line
        self.port = int(found.group(1))

    def live(self, **what):
        return Socket(self.port).hello(**what)

    def channel(self, name=b"notes", **what):
        """A connection with channel 1 open under a new peer."""
        s = self.live(**what)
        s.open(1, name, random_peer())
        return s

    def canary(self):
        """An honest client is served, at once and durably."""
        s = self.channel(b"canary")
        s.give(insert(1, 0, 0, b"c"))
        same(s.verdict(), "Ack")
        s.close()
        self.taken += 1

    def memory(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) // 1024

    def stop(self):
        self.process.terminate()
        same(self.process.wait(timeout=60), 0)
        self.log.close()

    def run(self, *arguments):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=120)


def verdict_of(server, data, name=b"notes", **what):
    s = server.channel(name, **what)
    s.give(data)
    out = s.verdict()
    s.close()
    return out


# ---- Below the protocol --------------------------------------------------------------------------


@case
def wrong_upgrades(server):
    wrong = [request(protocol="other"), request(version="8"), request(method="POST"),
             request(key="x"), request(key=""),
             request().replace(b"Sec-WebSocket-Protocol: syncline.v1\r\n", b""),
             request().replace(b"Upgrade: websocket\r\n", b"Upgrade: foo\r\n"),
             request().replace(b"HTTP/1.1", b"HTTP/1.0"),
             b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(400), b"\0" * 1000,
             b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100000 + b"\r\n\r\n",
             b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", b"\r\n" * 100, b"GET\r\n\r\n"]
    for text in wrong:
        raw = Raw(server.port)
        try:
            raw.send(text)
        except ConnectionError:
            continue
        status = raw.head()
        assert status == 0 or 200 <= status < 600 and status != 101, (status, text[:60])
        raw.close()


@case
def half_open(server):
    """Those who say nothing, or half of something, are gone after a while; others do not wait."""
    held = []
    for data in [b"", b"GET / HT", request()[:-2], request()]:
        for _ in range(20):
            raw = Raw(server.port)
            raw.send(data)
            held.append(raw)
    server.canary()
    for raw in held:
        while raw.more():
            pass
        raw.close()


@case
def silent_on_a_quiet_server(server):
    """Who says nothing is gone before a quiet client is asked whether it lives (20 s), although
    nothing else wakes the server; and CONNECT is no way around that."""
    quiet, silent, tunnel = server.live(), Raw(server.port), Raw(server.port)
    tunnel.send(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while silent.more():
        pass
    ready, _, _ = select.select([quiet.socket], [], [], 0)
    assert not ready and quiet.kept == b"", "the silent one was there for longer than a heartbeat"
    while tunnel.more():
        pass
    for s in (quiet, silent, tunnel):
        s.close()


@case
def text_and_control(server):
    for opcode, want in [(1, ("Error MALFORMED",)), (3, ("closed 1002", "closed None")),
                         (11, ("closed 1002", "closed None"))]:
        s = server.live()
        s.frame(opcode, b"hello")
        same(s.verdict(), *want)
    s = server.live()
    s.frame(8, b"\x03")
    same(s.verdict().split()[0], "closed")
    s = server.live()
    s.frame(2, hello(), masked=False)
    same(s.verdict().split()[0], "closed", "Error")


@case
def lengths(server):
    for length in [2 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]:
        s = server.live()
        s.frame(2, b"x" * 100, declared=length)
        try:
            s.send(bytes(1 << 20) * 2)
        except OSError:
            pass
        same(s.verdict(), "Error LIMIT", "closed 1009", "closed 1002", "closed None")
    s = Socket(server.port)
    try:
        s.give(frame(0, HELLO, bytes(70000)))
    except OSError:
        pass
    same(s.verdict(), "Error LIMIT", "Error MALFORMED", "closed 1009", "closed None")


@case
def fragments(server):
    s = server.channel()
    data = insert(1, 0, 0, b"fragments")
    s.frame(2, data[:3], fin=False)
    s.frame(9, b"between")
    for byte in data[3:-1]:
        s.frame(0, bytes([byte]), fin=False)
    s.frame(0, b"", fin=False)
    s.frame(0, data[-1:])
    same(s.verdict(), "Ack")
    s.frame(0, b"nothing to continue")
    same(s.verdict().split()[0], "closed", "Error")
    s = server.live()
    try:
        for i in range(40):
            s.frame(0 if i else 2, bytes(65536), fin=False)
    except OSError:
        pass
    same(s.verdict(), "Error LIMIT", "closed 1009", "closed None")


# ---- Frames ----------------------------------------------------------------------------------------


@case
def before_hello(server):
    for data in [frame(0, PING, b""), open_frame(1, b"x"), b"\xff", b"", insert(1, 0, 0, b"x")]:
        s = Socket(server.port)
        s.give(data)
        same(s.verdict(), "Error MALFORMED")
    for version in [0, 2, 99]:
        s = Socket(server.port)
        s.give(hello(version=version))
        same(s.verdict(), "Error VERSION", "Error MALFORMED")
    s = server.live()
    s.give(hello())
    same(s.verdict(), "Error MALFORMED")


@case
def broken_frames(server):
    good = insert(1, 0, 0, b"hello, world")
    for cut in range(len(good)):
        have = verdict_of(server, good[:cut])
        same(have, "Error MALFORMED", "Closed MALFORMED")
    nested = b""
    for _ in range(10000):
        nested = frame(0, CHANGES, nested)[:60000]
    wrong = {
        b"\xff" * 100: None,
        b"\x08" + b"\xff" * 9 + b"\x7f": None,
        frame(1, CHANGES, nested): None,
        frame(1, WANT, message((1, nested))): None,
        message((1, 1), (CHANGES, b""), (ACK, b"")): None,
        message((1, 1)): None,
        message((1, 1), (1, 2), (PING, b"")): None,
        frame(1, OPEN, message((1, b"a"), (4, nested))): None,
        b"\x0b" * 1000: None,
        frame(1, CHANGES, b"\x0c"): None,
    }
    for data in wrong:
        have = verdict_of(server, data)
        same(have, "Error MALFORMED", "Closed MALFORMED", "Closed LIMIT", "Error LIMIT")


@case
def unknown_bodies_are_ignored(server):
    s = server.channel()
    for number in [23, 100, 5000, 1 << 28]:
        s.give(message((1, 1), (number, b"later")))
        s.give(message((number, b"later")))
    s.give(insert(1, 0, 0, b"after"))
    same(s.verdict(), "Ack")


@case
def server_messages_from_a_client(server):
    for kind in [OPENED, CLOSED, ACK, NACK, SNAPSHOT, NAMES]:
        same(verdict_of(server, frame(1, kind, b"")), "Error MALFORMED", "Closed MALFORMED")
    for kind in [WELCOME, ACCESS, ERROR]:
        same(verdict_of(server, frame(0, kind, b"")), "Error MALFORMED", "Closed MALFORMED")
    for kind in [HELLO, PING, AUTH]:
        same(verdict_of(server, frame(1, kind, b"")), "Error MALFORMED", "Closed MALFORMED")
    for kind in [CHANGES, OPEN, CLOSE, WANT, CREDIT, PRESENCE]:
        same(verdict_of(server, frame(0, kind, b"")), "Error MALFORMED", "Closed MALFORMED")


@case
def names_of_documents(server):
    for name in [None, b"", b"x" * 256, b"\xff\xfe", b"a\0b", b"\xed\xa0\x80", b"\xc0\x80",
                 b"\xf4\x90\x80\x80", b"x" * 60000]:
        s = server.live()
        s.give(open_frame(1, name))
        same(s.verdict(), "Error MALFORMED", "Closed MALFORMED", "Closed LIMIT", "Error LIMIT")
    s = server.channel(b"y" * 255)
    s.give(insert(1, 0, 0, b"longest"))
    same(s.verdict(), "Ack")


@case
def opens(server):
    for data in [open_frame(1, b"other", 7), open_frame(0, b"x"), frame(7, CREDIT, message((1, 5)))]:
        same(verdict_of(server, data), "Error MALFORMED")
    for more in [[(2, b"short")], [(2, b"x" * 17)], [(6, fixed(range(1, 2000)))],
                 [(4, message((1, fixed([2, 1])), (2, packed([0, 0]))))],
                 [(4, message((1, fixed([1])), (2, packed([0, 0]))))],
                 [(4, message((1, fixed(range(1, 5001))), (2, packed([1] * 5000))))],
                 [(4, message((1, fixed([0])), (2, packed([1]))))]]:
        s = server.live()
        s.give(open_frame(1, b"x", 5, more))
        same(s.verdict(), "Error MALFORMED", "Error LIMIT", "Closed MALFORMED", "Closed LIMIT")
    s = server.live()
    s.open(5, b"notes")
    s.give(open_frame(3, b"notes"))
    same(s.verdict(), "Error MALFORMED")


@case
def thousands_of_channels(server):
    s = server.live()
    last = None
    for i in range(1, 3001):
        s.give(open_frame(i, b"many%d" % i, i))
        last, answer = s.until(OPENED, CLOSED, ERROR)
        if last != OPENED:
            break
    assert last in (CLOSED, ERROR), "3000 channels were opened"
    same(answer.get(1), 2)
    assert i == 1001, i


# ---- Changes --------------------------------------------------------------------------------------


TEXT = (8, b"")
MAP = (8, message((1, 1)))
LIST = (8, message((1, 2)))


def op(kind, *more):
    return [(10, packed([kind])), *more]


@case
def impossible_positions(server):
    wrong = [insert(1, 0, 1, b"x"), insert(1, 0, 0x7fffffff, b"x"), insert(1, 0, -1, b"x"),
             insert(1, 0, 1 << 33, b"x"), insert(1, 0, 0, b"xyz", length=4), insert(1, 0, 0, b""),
             insert(1, 0, 0, b"xyz", length=2), insert(1, 0, 0, b"\xff"), insert(1, 0, 0, b"", length=0),
             frame(1, CHANGES, message(*op(1))), frame(1, CHANGES, message(*op(2))),
             frame(1, CHANGES, message(LIST, *op(7), (16, packed([1])))),
             frame(1, CHANGES, message(LIST, *op(1))),
             frame(1, CHANGES, message(MAP, *op(0), (13, b"x"))),
             frame(1, CHANGES, message(*op(4), (14, b"k"), (16, packed([1])))),
             frame(1, CHANGES, message(*op(9), (16, packed([4])), (17, packed([2])))),
             frame(1, CHANGES, message(MAP, *op(4), (14, b"k" * 1025), (16, packed([1])))),
             frame(1, CHANGES, message(MAP, *op(4), (14, b"\xff"), (16, packed([1])))),
             frame(1, CHANGES, message(MAP, *op(4), (14, b"k"), (16, packed([7])), (17, packed([1])))),
             frame(1, CHANGES, message(*op(5))), frame(1, CHANGES, message((9, packed([7])), (13, b"x")))]
    for data in wrong:
        have = verdict_of(server, data, b"impossible")
        assert have != "Ack", data.hex()
        same(have, "Nack MALFORMED", "Closed MALFORMED", "Nack LIMIT", "Closed LIMIT")


@case
def kinds_of_later_versions(server):
    for kind in [3, 8, 10, 11, 12]:
        data = frame(1, CHANGES, message((10, packed([kind]))))
        same(verdict_of(server, data, b"later"), "Nack VERSION", "Nack MALFORMED", "Closed MALFORMED",
             "Closed VERSION")
    for kind in [14, 31]:
        data = frame(1, CHANGES, message((10, packed([kind]))))
        same(verdict_of(server, data, b"later").split()[1], "VERSION", "MALFORMED")
    data = frame(1, CHANGES, message((10, packed([40])), (22, b"of a later version")))
    same(verdict_of(server, data, b"later"), "Ack")
    data = frame(1, CHANGES, message((13, b"x"), (24, 9)))
    same(verdict_of(server, data, b"later").split()[1], "VERSION")
    data = frame(1, CHANGES, message((13, b"x"), (99, b"unknown field")))
    same(verdict_of(server, data, b"later").split()[1], "MALFORMED", "VERSION")


@case
def gaps_and_parents(server):
    same(verdict_of(server, insert(1, 5, 0, b"x"), b"gaps"), "Nack GAP", "Nack PARENTS")
    same(verdict_of(server, insert(1, 0x7ffffffe, 0, b"xyz"), b"gaps").split()[1], "GAP", "LIMIT", "MALFORMED")
    s = server.channel(b"gaps")
    s.give(insert(1, 0, 0, b"abc"))
    same(s.verdict(), "Ack")
    s.give(insert(1, 7, 0, b"x"))
    same(s.verdict(), "Nack GAP")
    s.give(insert(1, 3, 3, b"def"))
    same(s.verdict(), "Ack")
    s.give(insert(1, 0, 0, b"abX"))
    same(s.verdict(), "Nack FORKED")
    s.give(insert(1, 0, 0, b"abc"))
    same(s.verdict(), "Ack", "Nack FORKED")
    stranger = random_peer()
    unknown = [(1, fixed([0xabc, stranger])), (5, packed([1])), (6, packed([1])), (7, packed([0]))]
    s = server.live()
    s.open(1, b"gaps", 0xabc)
    s.give(insert(1, 0, 0, b"x", more=unknown))
    same(s.verdict(), "Nack PARENTS")
    s = server.live()
    s.open(1, b"gaps", 0xabd)
    own = [(1, fixed([0xabd])), (5, packed([1])), (7, packed([0]))]
    s.give(insert(1, 0, 0, b"x", more=own))
    assert s.verdict().split()[1] in ("MALFORMED", "PARENTS", "GAP")


@case
def previous_event_is_no_ancestor(server):
    a, b = random_peer(), random_peer()
    s = server.live()
    s.open(1, b"ancestors", a)
    s.give(insert(1, 0, 0, b"a"))
    same(s.verdict(), "Ack")
    t = server.live()
    t.open(1, b"ancestors", b)
    t.give(insert(1, 0, 0, b"b"))
    same(t.verdict(), "Ack")
    more = [(1, fixed([b, a])), (5, packed([1])), (6, packed([1])), (7, packed([0]))]
    t.give(insert(1, 1, 0, b"x", more=more))
    same(t.verdict(), "Nack MALFORMED")


@case
def foreign_peers(server):
    """Everybody is anonymous here, so a foreign peer is one that another document's rule covers:
    a peer of 0, and tables that contradict each other."""
    zero = insert(1, 0, 0, b"x", more=[(1, fixed([0]))])
    same(verdict_of(server, zero).split()[1], "MALFORMED")
    twice = insert(1, 0, 0, b"x", more=[(1, fixed([9, 9]))])
    same(verdict_of(server, twice).split()[1], "MALFORMED")
    beyond = frame(1, CHANGES, message((1, fixed([9])), (2, packed([5])), (13, b"x")))
    same(verdict_of(server, beyond).split()[1], "MALFORMED")
    s = server.live()
    s.open(1, b"notes")
    s.give(insert(1, 0, 0, b"x"))
    assert s.verdict().split()[1] in ("MALFORMED", "FOREIGN_PEER")


@case
def bombs(server):
    many = 0x7fffffff
    wrong = [insert(1, 0, 0, b"x", length=many), frame(1, CHANGES, message(*op(13), (11, packed([many])))),
             frame(1, CHANGES, message(*op(1), (11, packed([many])))),
             frame(1, CHANGES, message(MAP, *op(5), (11, packed([many])))),
             frame(1, CHANGES, message(LIST, *op(6), (11, packed([many])), (16, packed([1])))),
             frame(1, CHANGES, message((10, packed([40])), (11, packed([many])), (22, b""))),
             frame(1, CHANGES, message((11, packed([1] * 70000)), (13, b"x" * 70000))),
             frame(1, CHANGES, message(*op(13), (11, packed([0xffffffff])))),
             frame(1, CHANGES, message((11, packed([many] * 1000)), (10, packed([13] * 1000)))),
             frame(1, CHANGES, b"\x42\x00" * 500000), frame(1, CHANGES, b"\x72\x00" * 500000),
             frame(1, CHANGES, b"\xb2\x01\x00" * 300000), frame(1, PRESENCE, b"\x0a\x00" * 500000),
             frame(1, DIGEST, b"\x22\x00" * 500000), frame(1, CHANGES, b"\x7a\x00" * 500000)]
    before = server.memory()
    for data in wrong:
        have = verdict_of(server, data, b"bombs")
        word = have.split()
        assert word[0] in ("Nack", "Closed", "Error") and word[1] in ("LIMIT", "MALFORMED"), (have, data[:40])
    assert server.memory() - before < server.spare, (before, server.memory())


@case
def deep_containers(server):
    """Each event names all that it is under: many events far down are refused before that is done."""
    levels = [(8, message((1, 1)))] + [(8, message((1, 1), (5, i), (6, b"k"))) for i in range(1, 4000)]
    levels.append((8, message((1, 3), (5, 4000), (6, b"n"))))
    for events, want in [(65536, "Nack LIMIT"), (100, "Ack")]:
        body = message(*levels, (9, packed([4000])), (10, packed([9])), (11, packed([events])))
        same(verdict_of(server, frame(1, CHANGES, body), b"deep"), want)


@case
def deflate_bombs(server):
    def squeeze(data):
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflater.compress(data) + deflater.flush()

    def pack(raw_size, data, inside=0, codec=0):
        more = [(1, inside)] if inside else []
        return frame(1, PACKED, message(*more, *([(2, codec)] if codec else []), (3, raw_size), (4, data)))

    zeros = squeeze(bytes(60 << 20))
    text = message((11, packed([60000])), (13, b"x" * 60000))
    lone = squeeze(text)
    wrong = [pack(60 << 20, zeros), pack(100, zeros), pack(1 << 31, zeros), pack(0xffffffff, zeros),
             pack(0, lone), pack(len(text) + 1, lone), pack(len(text) - 1, lone), pack(len(text), lone[:-5]),
             pack(len(text), lone + b"more"), pack(len(text), b"\xff" * 50), pack(len(text), lone, codec=7),
             pack(len(text), lone, inside=1), pack(len(text), lone, inside=9), pack(len(text), b"")]
    before = server.memory()
    for data in wrong:
        have = verdict_of(server, data, b"packed", features=1).split()
        assert have[0] in ("Nack", "Closed", "Error"), have
        assert have[1] in ("LIMIT", "MALFORMED", "VERSION"), have
    same(verdict_of(server, pack(len(text), lone), b"packed", features=0).split()[1], "MALFORMED")
    same(verdict_of(server, pack(len(text), lone), b"packed", features=1), "Ack")
    assert server.memory() - before < server.spare, (before, server.memory())


@case
def wants_and_presence(server):
    for data in [frame(1, WANT, message((1, message((1, fixed([5])), (2, packed([9])), (3, fixed([5])), (4, packed([9])))))),
                 frame(1, WANT, message((2, message((1, fixed([77])), (2, packed([9])))))), frame(1, CREDIT, message((1, 0xffffffff))),
                 frame(1, PRESENCE, message((1, message((3, b"x" * 5000))))),
                 frame(1, PRESENCE, message((1, message((1, 99), (3, b"forged"))), (1, message((3, b"two")))))]:
        s = server.channel()
        s.give(data)
        s.give(frame(0, PING, message((1, 7))))
        kind, answer = s.until(PONG, ERROR, CLOSED)
        if kind != PONG:
            assert answer.get(1) in (1, 2, 10, 13, 18), answer


@case
def floods(server):
    s = server.live()
    ended = "answered"
    try:
        for _ in range(20):
            s.send(b"".join(b"\x82\x86\0\0\0\0" + frame(0, PING, message((1, 300))) for _ in range(5000)))
    except OSError:
        ended = "cut"
    server.canary()
    try:
        while True:
            kind, answer = s.until(PONG, ERROR)
            if kind == ERROR:
                ended = answer.get(1)
                break
    except (Closed, OSError):
        ended = "cut"
    assert ended in ("cut", 2, 17), ended
    s = server.live()
    try:
        for _ in range(200):
            s.send(b"\x89\x80\0\0\0\0" * 1000)
    except OSError:
        pass
    server.canary()
    s.close()
    s = server.live()
    try:
        for _ in range(100):
            s.send(b"\x02\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 1000)
    except OSError:
        pass
    server.canary()
    s.close()


@case
def a_reader_that_never_reads(server):
    """51 MB go to others, while one has stopped reading: he costs next to nothing."""
    slow = [Socket(server.port, receive_buffer=4096).hello() for _ in range(5)]
    for s in slow:
        s.give(open_frame(1, b"stream", 0, [(7, 1 << 29)]))
    writer = server.channel(b"stream")
    reader = server.live()
    reader.give(open_frame(1, b"stream", 0, [(7, 1 << 29)]))
    reader.until(OPENED)
    block, before = b"0123456789abcdef" * 3750, server.memory()
    for i in range(850):
        run = [(3, packed([i]))] if i else []
        writer.give(frame(1, CHANGES, message(*run, MAP, *op(4), (14, b"key"), (15, block))))
        same(writer.verdict(), "Ack")
        while True:
            got = [dict(fields(value)) for number, value in fields(reader.next()) if number == CHANGES]
            if any(changes.get(15) == block for changes in got):
                break
    grown = server.memory() - before
    # The document's log is 51 MB; five readers that do not read must not be as much again, each.
    assert grown < server.spare, "%d MiB" % grown
    for s in slow:
        s.close()


# ---- In the end ------------------------------------------------------------------------------------


def nothing_half_applied(server):
    out = server.run("fsck", server.data)
    same(out.returncode, 0)
    text = server.run("text", server.data, "canary")
    same(text.stdout.rstrip("\n"), "c" * server.taken)
    for name in ["impossible", "bombs", "half"]:
        same(server.run("get", server.data, name).returncode, 1)
    same(server.run("text", server.data, "packed").stdout.rstrip("\n"), "x" * 60000)


# ---- Databases --------------------------------------------------------------------------------------


def refused(server, arguments, *words):
    out = server.run(*arguments)
    same(out.returncode, 1)
    lines = out.stderr.strip().splitlines()
    assert lines and any(word in out.stderr for word in words), (arguments, out.stderr)
    assert "Sanitizer" not in out.stderr, out.stderr


def all_refuse(server, path, *words):
    for arguments in [("serve", "--listen", "127.0.0.1:0", "--data", path), ("get", path, "canary"),
                      ("fsck", path)]:
        refused(server, arguments, *words)


def no_good_databases(server):
    def file_of(name, data):
        path = os.path.join(server.folder, name)
        with open(path, "wb") as out:
            out.write(data)
        return path

    all_refuse(server, file_of("text.db", b"this is no database\n" * 100), "not a Syncline", "not a database")
    other = os.path.join(server.folder, "other.db")
    connection = sqlite3.connect(other)
    connection.execute("create table mine (x)")
    connection.commit()
    connection.close()
    all_refuse(server, other, "of another program")
    newer = os.path.join(server.folder, "newer.db")
    shutil.copy(server.data, newer)
    connection = sqlite3.connect(newer)
    version = connection.execute("pragma user_version").fetchone()[0]
    connection.execute("pragma user_version = %d" % (version + 1))
    connection.commit()
    connection.close()
    all_refuse(server, newer, "newer")
    all_refuse(server, server.folder, "directory", "cannot", "not a")
    refused(server, ("get", os.path.join(server.folder, "nowhere.db"), "x"), "no such file", "No such")
    refused(server, ("fsck", os.path.join(server.folder, "nowhere.db")), "no such file", "No such")
    locked = Server(server.program, tempfile.mkdtemp(dir=server.folder))
    locked.canary()
    refused(server, ("serve", "--listen", "127.0.0.1:0", "--data", locked.data), "in use by ws://127.0.0.1")
    locked.stop()


def damaged_databases(server):
    """Bytes changed, and files cut off: whatever a program says, it says it, and does not die.  What
    is read is what was written, or refused."""
    small = Server(server.program, tempfile.mkdtemp(dir=server.folder))
    for _ in range(20):
        small.canary()
    small.stop()
    with open(small.data, "rb") as data:
        good = data.read()
    found = quiet = 0
    for i in range(60):
        bad = bytearray(good)
        if i % 3 == 2:
            bad = bad[:len(bad) * (i + 1) // 61]
        else:
            for k in range(1 + i % 5):
                at = (i * 7919 + k * 104729) * 31 % len(bad)
                bad[at] ^= 1 << (i % 8)
        path = os.path.join(server.folder, "damaged%d.db" % i)
        with open(path, "wb") as out:
            out.write(bad)
        text = server.run("text", path, "canary")
        check = server.run("fsck", path)
        for out in (text, check):
            assert out.returncode in (0, 1) and "Sanitizer" not in out.stderr, (i, out)
        if text.returncode == 0:
            same(text.stdout.rstrip("\n"), "c" * small.taken)
        else:
            assert text.stderr.startswith("syncline: "), text.stderr
        found += check.returncode == 1
        quiet += check.returncode == 0 and text.returncode == 1
        os.unlink(path)
    assert found > 20, "fsck found %d of 60 damaged files" % found
    same(quiet, 0)


def main():
    program, only = os.path.abspath(sys.argv[1]), sys.argv[2:]
    folder = tempfile.mkdtemp(prefix="syn-hostile-")
    server = Server(program, folder)
    for function in CASES:
        if only and function.__name__ not in only:
            continue
        begin = time.time()
        try:
            function(server)
            assert server.process.poll() is None, "the server ended: %s" % server.process.poll()
            server.canary()
        except (AssertionError, Closed, OSError):
            print("FAILED: %s; see %s" % (function.__name__, folder), flush=True)
            if server.process.poll() is None:
                server.process.kill()
            raise
        print("ok  %s (%.1f s)" % (function.__name__, time.time() - begin), flush=True)
    server.stop()
    for function in [nothing_half_applied, no_good_databases, damaged_databases]:
        if only and function.__name__ not in only:
            continue
        try:
            function(server)
        except AssertionError:
            print("FAILED: %s; see %s" % (function.__name__, folder), flush=True)
            raise
        print("ok  %s" % function.__name__, flush=True)
    with open(os.path.join(folder, "log")) as log:
        assert "Sanitizer" not in log.read(), "see %s/log" % folder
    shutil.rmtree(folder)
    print("passed")


if __name__ == "__main__":
    main()
