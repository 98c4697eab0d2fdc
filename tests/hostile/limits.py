#!/usr/bin/env python3
"""limits.py SYNCLINE [--long] [CASE...] -- crowds at `syncline serve`: too many, too fast, too much, too slow.

Each case has a server of its own with some limit set low, those who abuse it, and an honest client
whose every letter must be acknowledged and be in the document afterwards.  What is asserted is
memory and outcomes; the only time is a generous one for a limiter to act.

--long: the ceiling is 256 MiB instead of 64, abused for three minutes, and the memory over time is
printed; SYN_ABUSE_SECONDS says how long else."""

import contextlib
import os
import re
import selectors
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib

from hostile import CASES, Server, case, same
from wire import (ACK, CHANGES, CLOSED, CREDIT, ERROR, NACK, OPENED, PACKED, PING, PONG, PRESENCE, Closed, Raw,
                  Socket, fields, frame, hello, insert, message, open_frame, packed, random_peer, request, zigzag)

CASES.clear()  # those are hostile.py's own
BUSY = 17


def page_of(server, path):
    """Under pressure there are some seats for those who look, and others may hold them for a while."""
    for _ in range(600):
        with contextlib.suppress(urllib.error.HTTPError, ConnectionError):
            return urllib.request.urlopen("http://127.0.0.1:%d%s" % (server.port, path), timeout=60).read().decode()
        time.sleep(0.1)
    raise AssertionError("%s is refused for a minute" % path)


def metric(server, name):
    page = page_of(server, "/metrics")
    found = re.search(r"^syncline_%s (\S+)$" % re.escape(name), page, re.M)
    return float(found.group(1)) if found else None


def refused(server, code, limit):
    return metric(server, 'refused_total{code="%s",limit="%s"}' % (code, limit))


def eventually(what):
    """Loops of their own get to it when they do."""
    for _ in range(600):
        if what():
            return
        time.sleep(0.1)
    raise AssertionError("not within a minute")


class Honest:
    """Types letters into a document, comes again when told to, and knows what was acknowledged."""

    def __init__(self, server, name):
        self.server, self.name, self.acked, self.tries = server, name, 0, 0
        self.peer = random_peer()
        self.socket = None

    def connect(self):
        self.socket = Socket(self.server.port)
        self.socket.hello()
        self.socket.give(open_frame(1, self.name, self.peer))
        kind, answer = self.socket.until(OPENED, CLOSED, ERROR)
        if kind != OPENED:
            same(answer.get(1), BUSY)
            raise Closed()

    def letter(self):
        while True:
            try:
                self.tries += 1
                if self.socket is None:
                    self.connect()
                self.socket.give(insert(1, self.acked, self.acked, b"h"))
                kind, answer = self.socket.until(ACK, NACK, CLOSED, ERROR)
                if kind == ACK:
                    self.acked += 1
                    return
                same(answer.get(3 if kind == NACK else 1), BUSY)
            except (Closed, OSError, AssertionError):
                pass
            if self.socket is not None:
                self.socket.close()
            self.socket = None
            assert self.tries < 2000, "never served"
            time.sleep(0.1)

    def verify(self):
        text = self.server.run("text", "ws://127.0.0.1:%d" % self.server.port, self.name.decode()).stdout
        same(text.rstrip("\n"), "h" * self.acked)


# ---- Before sign-in --------------------------------------------------------------------------------


def knock(server):
    raw = Raw(server.port)
    with contextlib.suppress(OSError):
        raw.send(request())
    return raw.head(), raw


@case
def addresses(start):
    server = start("--limit", "address_connections=20")
    inside = [knock(server) for _ in range(20)]
    same([status for status, _ in inside], *[[101] * 20])
    for _ in range(50):
        status, raw = knock(server)
        same(status, 503, 0)  # 0: the request crossed the refusal
        raw.close()
    for _, raw in inside:
        raw.close()
    honest = Honest(server, b"notes")
    honest.letter()
    same(refused(server, "BUSY", "address_connections") >= 50, True)
    honest.verify()


@case
def connections_in_all(start):
    server = start("--limit", "connections=30")
    honest = Honest(server, b"notes")
    honest.letter()
    held = [knock(server) for _ in range(40)]
    honest.letter()
    same(sum(status == 101 for status, _ in held), 29)
    for _, raw in held:
        raw.close()
    eventually(lambda: metric(server, "connections") <= 1)
    same(refused(server, "BUSY", "connections") >= 11, True)  # and whoever looked meanwhile
    eventually(lambda: knock(server)[0] == 101)


@case
def unfinished_messages(start):
    """Everybody sends most of a message, and then nothing."""
    server = start("--limit", "unfinished_bytes=4M")
    honest = Honest(server, b"notes")
    honest.letter()
    before, held, ended = server.memory(), [], 0
    for _ in range(40):
        s = server.live()
        with contextlib.suppress(OSError):
            s.frame(2, bytes(500000), declared=1000000)
        held.append(s)
    honest.letter()
    assert server.memory() - before < 4 + server.spare / 10, server.memory()
    eventually(lambda: refused(server, "BUSY", "unfinished_bytes") >= 30)
    assert metric(server, 'refused_total{code="BUSY"}') == 0  # counted once
    for s in held:
        s.close()
    honest.letter()
    s = server.live()  # what was held is given back
    s.frame(2, frame(0, PING, message((1, 7))) + bytes(0))
    s.until(PONG)
    honest.verify()


# ---- Floods ----------------------------------------------------------------------------------------


@case
def a_flood_of_letters(start):
    """One at line rate, in as many documents as it takes to have credit; another types."""
    server = start("--limit", "connection_frames=200,burst=2")  # few, for a machine that may be busy
    honest = Honest(server, b"honest")
    honest.letter()
    flood = server.live()
    for channel in range(1, 21):
        flood.open(channel, b"flood%d" % channel, random_peer())
    begun, seq = time.monotonic(), 0
    try:
        while True:
            batch = b""
            for _ in range(50):
                for channel in range(1, 21):
                    data = insert(channel, seq, seq, b"f")
                    batch += bytes([0x82, 0x80 | len(data), 0, 0, 0, 0]) + data
                seq += 1
            flood.send(batch)
    except ConnectionError:  # sent away; a socket that only stands still is another error
        acted = time.monotonic() - begun
    for _ in range(30):
        honest.letter()
    same((refused(server, "BUSY", "connection_frames") or 0) >= 1, True)
    flood.close()
    honest.verify()
    return "acted after %.2f s, at frame %d" % (acted, seq * 20)


# ---- Readers that stop -------------------------------------------------------------------------------


class Crowd:
    """Readers of one document; texts of the changes each got, in order."""

    def __init__(self, server, name, count, credit, buffer=None):
        self.sockets = []
        self.texts = [[] for _ in range(count)]
        for _ in range(count):
            s = Socket(server.port, receive_buffer=buffer)
            s.hello()
            s.give(open_frame(1, name, 0, [(7, credit)]))
            s.until(OPENED)
            self.sockets.append(s)

    def read(self, which, want):
        """Until each has so many bytes of text."""
        chooser, kept = selectors.DefaultSelector(), {}
        have = [sum(map(len, self.texts[i])) for i in range(len(self.sockets))]
        for i in which:
            if have[i] < want:
                chooser.register(self.sockets[i].socket, selectors.EVENT_READ, i)
        while chooser.get_map():
            for key, _ in chooser.select(60) or [None]:
                i = key.data
                s = self.sockets[i]
                assert s.more(), "reader %d was cut off" % i
                for text in messages(s):
                    self.texts[i].append(text)
                    have[i] += len(text)
                if have[i] >= want:
                    chooser.unregister(s.socket)

    def close(self):
        for s in self.sockets:
            s.close()


def messages(s):
    """The texts of all whole Changes that came."""
    while True:
        data = s.kept
        if len(data) < 2:
            return
        size, at = data[1] & 127, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        if len(data) < at + size:
            return
        body, s.kept = data[at:at + size], data[at + size:]
        if data[0] & 15 == 9:
            s.frame(10, body)
        if body[:2] == b"\xa2\x01":
            s.give(b"\xaa" + body[1:])
        for number, value in fields(body) if data[0] & 15 == 2 else []:
            if number == CHANGES:
                yield dict(fields(value)).get(13, b"")


def write_stream(server, name, stopped):
    """6 MB under the eyes of 20 readers, while others stopped; (MiB more, everybody)."""
    slow = Crowd(server, name, stopped, 1 << 29, buffer=4096)
    quick = Crowd(server, name, 20, 1 << 29)
    writer = server.channel(name)
    before, block, total = server.memory(), 60000, 0
    for i in range(100):
        writer.give(insert(1, total, total, (b"%06d" % i) * (block // 6)))
        same(writer.verdict(), "Ack")
        total += block
        quick.read(range(20), total)
    grown = server.memory() - before
    slow.read(range(stopped), total)
    want = b"".join(quick.texts[0])
    same(len(want), total)
    for texts in quick.texts + slow.texts:
        assert b"".join(texts) == want
    slow.close()
    quick.close()
    return grown


@case
def readers_that_stop(start):
    """100 of 120 stop reading while 6 MB are written, and get all of it when they read again.  They
    cost what the document costs without them, and a socket's buffer each."""
    server = start("--limit", "connection_events=0,user_events=0,document_events_rate=0")
    alone = write_stream(server, b"alone", 0)
    grown = write_stream(server, b"stream", 100)
    assert grown - alone < 100 * 0.25 + server.spare / 10, (alone, grown)
    return "%d MiB with 100 stopped readers, %d MiB without" % (grown, alone)


# ---- Memory ------------------------------------------------------------------------------------------

MIB = 1 << 20
LONG = "--long" in sys.argv
CEILING, SLACK = (256, 64) if LONG else (64, 32)


class Group:
    """A cgroup (v1) that kills what goes above the ceiling and its slack; where there is none, only
    the process's own peak is looked at."""

    def __init__(self):
        self.path = "/sys/fs/cgroup/memory/syncline-test-%d" % os.getpid()
        try:
            os.mkdir(self.path)
            with open(self.path + "/memory.limit_in_bytes", "w") as limit:
                limit.write(str((CEILING + SLACK) * MIB))
        except OSError:
            self.path = None

    def join(self):
        if self.path:
            with open(self.path + "/cgroup.procs", "w") as procs:
                procs.write(str(os.getpid()))

    def remove(self):
        if self.path:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)


def peak(server):
    with open("/proc/%d/status" % server.process.pid) as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) // 1024


def endless(abuse):
    """Runs it again and again, whatever it is told, until asked to stop."""

    def run(server, stop):
        while not stop.is_set():
            try:
                abuse(server, stop)
            except (Closed, OSError, AssertionError):
                time.sleep(0.02)

    return run


@endless
def many_large_documents(server, stop):
    s = server.live()
    s.socket.settimeout(10)
    for channel in range(1, 200):
        s.open(channel, b"large%d" % (random_peer() % 1000000), random_peer())
        for i in range(20):
            s.give(insert(channel, i * 60000, i * 60000, os.urandom(30000).hex().encode()))
            same(s.verdict(), "Ack")
            if stop.is_set():
                return


@endless
def the_same_documents_again(server, stop):
    s = server.live()
    s.socket.settimeout(10)
    for channel in range(1, 900):
        s.give(open_frame(channel, b"large%d" % (random_peer() % 1000000), 0, [(7, 1 << 29)]))
        s.until(OPENED, CLOSED)
        if stop.is_set():
            return


@endless
def many_connections(server, stop):
    held = []
    try:
        for _ in range(400):
            s = server.live()
            s.frame(2, bytes(300000), declared=900000)
            held.append(s)
        stop.wait(1)
    finally:
        for s in held:
            s.close()


def bomb():
    """Two million events in some kilobytes."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = message((11, packed([1] * 2000000)), (13, b"x" * 2000000))
    return frame(1, PACKED, message((3, len(data)), (4, deflater.compress(data) + deflater.flush())))


@endless
def bombs(server, stop):
    data = bomb()
    for _ in range(20):
        s = server.channel(b"bombs", features=1)
        s.give(data)
        s.verdict()
        s.close()


@case
def what_bombs_cost(start):
    """Unpacked an event is a hundred bytes: a message may not have more of them for being packed."""
    server = start()
    before, data = server.memory(), bomb()
    for _ in range(5):
        s = server.channel(b"bombs", features=1)
        s.give(data)
        same(s.verdict().split()[0], "Closed")
        s.close()
    most = peak(server) - before
    assert most < 48 + server.spare, most
    return "%d MiB at most" % most


@endless
def missing_parents(server, stop):
    s = server.live()
    for channel in range(1, 200):
        s.open(channel, b"pending", random_peer())
        for i in range(4):
            s.give(insert(channel, 1 + i * 60000, 0, b"x" * 60000))
        same(s.verdict(), "Nack GAP")
        if stop.is_set():
            return


@endless
def presence(server, stop):
    held = []
    try:
        for i in range(150):
            s = server.channel(b"crowd")
            s.give(frame(1, PRESENCE, message((1, message((3, os.urandom(3900)))))))
            held.append(s)
        stop.wait(1)
    finally:
        for s in held:
            s.close()


@endless
def readers_that_never_read(server, stop):
    crowd = [Socket(server.port, receive_buffer=4096) for _ in range(60)]
    try:
        for s in crowd:
            s.hello()
            s.give(open_frame(1, b"large%d" % (random_peer() % 1000000), 0, [(7, 1 << 29)]))
        stop.wait(2)
    finally:
        for s in crowd:
            s.close()


ABUSES = [many_large_documents, the_same_documents_again, many_connections, bombs, missing_parents, presence,
          readers_that_never_read]


class Looker:
    """Asks for the metrics all the time; what came, and the memory each told."""

    def __init__(self, server):
        self.server, self.stop = server, threading.Event()
        self.asked, self.refused, self.curve, self.begun = 0, 0, [], time.monotonic()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        url = "http://127.0.0.1:%d/metrics" % self.server.port
        while not self.stop.wait(0.1):
            self.asked += 1
            try:
                page = urllib.request.urlopen(url, timeout=60).read().decode()
            except (urllib.error.URLError, OSError):
                self.refused += 1
                continue
            used = int(re.search(r"^syncline_memory_bytes (\d+)", page, re.M).group(1))
            self.curve.append((time.monotonic() - self.begun, used // MIB))

    def end(self):
        self.stop.set()
        self.thread.join()


def rounds(server, honest, seconds):
    stop = threading.Event()
    threads = [threading.Thread(target=abuse, args=(server, stop)) for abuse in ABUSES]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            honest.letter()
            time.sleep(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def settled(server):
    """Memory when nobody has been there for a while: documents are forgotten after 30 s, and what is
    free is given back every 5."""
    for _ in range(120):
        time.sleep(0.5)
        if metric(server, "documents_loaded") <= 1:
            break
    lowest = server.memory()
    for _ in range(14):
        time.sleep(0.5)
        lowest = min(lowest, server.memory())
    return lowest


@case
def memory_ceiling(start):
    seconds = int(os.environ.get("SYN_ABUSE_SECONDS", "180" if LONG else "12"))
    group = Group()
    try:
        server = start("--memory", "%dM" % CEILING, before=group.join)
        if server.spare > 200:
            return "not with a sanitizer, which keeps what was freed"
        honest = Honest(server, b"honest")
        rounds(server, honest, seconds / 2)  # the base is that of a server that has worked
        base = settled(server)
        looker = Looker(server)
        rounds(server, honest, seconds)
        looker.end()
        assert looker.curve, "nobody could look at it"
        same(server.process.poll(), None)  # not killed
        most = peak(server)
        assert most <= CEILING + SLACK, "%d MiB" % most
        shed = refused(server, "BUSY", "memory")
        assert shed > 0 or most < CEILING * 0.8, "nothing was shed at %d MiB" % most
        after = settled(server)
        # SQLite's cache, an eighth of the ceiling, may have filled up only now.
        assert after <= base * 1.1 + CEILING / 8 and after < most * 0.75, (base, most, after)
        if LONG:
            for at in range(0, len(looker.curve), max(1, len(looker.curve) // 40)):
                print("    %6.1f s %5d MiB" % looker.curve[at])
            page = page_of(server, "/metrics")
            print("    looked at %d times, refused %d" % (looker.asked, looker.refused))
            for line in re.findall(r"^syncline_refused_total.* [1-9]\d*$", page, re.M):
                print("    " + line)
        honest.letter()
        honest.verify()
        server.stop()
        same(server.run("fsck", server.data).returncode, 0)
        same(server.run("text", server.data, "honest").stdout.rstrip("\n"), "h" * honest.acked)
    finally:
        group.remove()
    return "%s of %d MiB at most, %d refused, %d letters saved, %d MiB before and %d after%s" % (
        most, CEILING, shed, honest.acked, base, after, "" if group.path else " (no cgroup here)")


def run(function, program):
    folder = tempfile.mkdtemp(prefix="limits-")
    servers = []

    def start(*options, before=None):
        servers.append(Server(program, folder, *options, before=before))
        return servers[-1]

    begun = time.monotonic()
    said = function(start)
    for server in servers:
        if server.process.poll() is None:
            server.stop()
    shutil.rmtree(folder)
    print("ok  %s (%.1f s)%s" % (function.__name__, time.monotonic() - begun, ": " + said if said else ""),
          flush=True)


def main():
    wanted = [argument for argument in sys.argv[2:] if argument != "--long"]
    for function in CASES:
        if not wanted or function.__name__ in wanted:
            run(function, sys.argv[1])
    print("passed")


if __name__ == "__main__":
    main()
