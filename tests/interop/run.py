#!/usr/bin/env python3
"""Interoperation of the program with a client that was written from its protocol's description.

    tests/interop/run.py SYNCLINE_BINARY [SEED]

Prints one line for each group, one for each difference, and last `interop: N passed, M failed`.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import traceback

import bad_input
import changes as c
import vectors
from client import DIGEST, NAMES, PACKED, Replica, connect, end_all, heads_of
from document import Document
from edits import Editor
from schema import pb
from server import Server

SHARED = ("root", c.TEXT, b"shared")
CUT = ("root", c.TEXT, b"cut")


class Report:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, name, right, detail=None):
        if right:
            self.passed += 1
            return
        self.failed += 1
        print("DIFFERS: %s%s" % (name, "" if detail is None else "\n    %s" % (detail,)), flush=True)

    async def group(self, name, function, *arguments):
        before = (self.passed, self.failed)
        try:
            result = function(self.check, *arguments)
            if asyncio.iscoroutine(result):
                await result
        except Exception:
            self.check(name, False, traceback.format_exc())
        await end_all()
        print("%s: %d passed, %d failed" % (
            name, self.passed - before[0], self.failed - before[1]), flush=True)


def same_json(ours, printed):
    """Whether JSON of the program says the same as ours, order of members and kinds of numbers too."""
    def strict(text):
        return json.dumps(json.loads(text), ensure_ascii=False)
    try:
        return strict(ours) == strict(printed)
    except ValueError:
        return False


class Room:
    """A document and everyone who has it open."""

    def __init__(self, server, name, check, seed):
        self.server, self.name, self.check, self.seed = server, name, check, seed
        self.rng = random.Random("%s %s" % (name, seed))
        self.channels, self.captured, self.complaints = [], [], []

    def replica(self):
        return Replica(self.name, random.Random(self.rng.random()))

    async def enter(self, replica=None, **options):
        features = PACKED | DIGEST if len(self.captured) % 3 == 2 else PACKED | NAMES | DIGEST
        connection = await connect(self.server.url, features=features)
        self.captured.append(connection.capture)
        self.complaints.append(connection.complaints)
        channel = await connection.open(replica or self.replica(), **options)
        self.channels.append(channel)
        return channel

    async def leave(self, channel):
        self.channels.remove(channel)
        await channel.connection.close()

    async def settled(self):
        """Until everything is on disk and everyone has everything."""
        for channel in self.channels:
            await channel.acknowledged()
        replicas = [channel.replica for channel in self.channels]
        for channel in self.channels:
            await channel.has(*replicas)

    async def compare(self, what):
        """Everyone, a newcomer by log, and the program's own client."""
        await self.settled()
        first = self.channels[0].replica.document
        for number, channel in enumerate(self.channels[1:], 1):
            other = channel.replica.document
            self.check("%s: replica %d has the same document" % (what, number),
                       (other.json(), other.digest(), other.heads)
                       == (first.json(), first.digest(), first.heads),
                       first.json() + "\n    " + other.json())
        await self.compare_newcomer(what, first)
        await self.compare_program(what, first)
        await self.compare_digest(what, self.channels[0])

    async def compare_newcomer(self, what, first):
        reader = await self.enter(history=True)
        document = reader.replica.document
        self.check(what + ": Opened has the heads, ordered",
                   heads_of(reader.opened.version) == sorted(first.heads),
                   (heads_of(reader.opened.version), sorted(first.heads)))
        ids = [step.id for step in reader.received]
        self.check(what + ": a newcomer gets every event once",
                   len(set(ids)) == len(ids) and set(document.numbers) == set(first.numbers),
                   "%d events, %d different, %d expected" % (
                       len(ids), len(set(ids)), len(first.steps)))
        self.check(what + ": a newcomer has the same document", document.json() == first.json(),
                   first.json() + "\n    " + document.json())
        await self.leave(reader)

    async def compare_program(self, what, first):
        status, out, complaint = await self.server.run("get", self.name)
        self.check(what + ": `syncline get` has the same JSON",
                   status == 0 and same_json(first.json(), out.decode("utf-8")),
                   "%d %s\n    %s\n    %s" % (status, complaint, first.json(), out.decode("utf-8")))
        for container in (c.ROOT_TEXT, vectors.BODY, SHARED):
            if container in first.containers:
                status, out, complaint = await self.server.run(
                    "text", self.name, container[2].decode("utf-8"))
                self.check("%s: `syncline text` of %r" % (what, container[2]),
                           status == 0 and out == first.text(container).encode("utf-8"),
                           (status, complaint, out, first.text(container)))

    async def compare_digest(self, what, channel):
        """A wrong digest makes the server name its own, container by container."""
        document = channel.replica.document
        heads = vectors.version(*sorted(document.heads))
        right = document.digest()
        before = len(channel.digests)
        await channel.send(digest=pb.Digest(version=heads, hash=right, kinds=4))
        await barrier(channel)
        await asyncio.sleep(1.1)  # the server compares a document's digest once a second
        answers = channel.digests[before:]
        self.check(what + ": the server has the same digest", not answers)
        before = len(channel.digests)
        asked = 0
        while asked < 20 and len(channel.digests) == before:  # again: a busy server leaves one out
            await channel.send(digest=pb.Digest(version=heads, hash=right ^ 1, kinds=4))
            asked += 1
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(channel.until(lambda: len(channel.digests) > before), 3)
        answers = channel.digests[before:]
        self.check(what + ": a wrong digest is answered", 1 <= len(answers) <= asked,
                   "heads %s" % sorted(document.heads))
        for answer in answers[:1]:
            named = c.read_containers(answer.containers, list(answer.peers))
            hashes = dict(zip(named, answer.container_hash))
            ours = {k: document.container_hash(k) for k in document.digest_containers()}
            different = {k: (hashes.get(k), ours.get(k)) for k in set(hashes) | set(ours)
                         if hashes.get(k) != ours.get(k)}
            self.check(what + ": the server has the same hash of every container", not different,
                       different)

    async def end(self):
        for channel in list(self.channels):
            await channel.close()
            self.check("Close is answered by Closed OK", channel.closed.code == pb.CODE_OK)
            await self.leave(channel)
        complaints = [text for each in self.complaints for text in each]
        self.check("%s: the server writes canonical frames" % self.name, not complaints,
                   "%d, the first: %s" % (len(complaints), (complaints or [""])[0]))


async def barrier(channel):
    """Until the server has read everything sent so far."""
    connection = channel.connection
    nonce = 1000 + len(connection.pongs)
    await connection.send(0, ping=pb.Ping(nonce=nonce))
    await connection.until(lambda: nonce in connection.pongs)


# ---------------------------------------------------------------------------------------------------
# The model against itself
# ---------------------------------------------------------------------------------------------------

def check_model(check, seed):
    order_examples(check)
    for history in range(20):
        random_history(check, "%s/%d" % (seed, history))


def order_examples(check):
    def merged(*edits_by_peer):
        whole, steps = Document(), []
        for peer, edits in edits_by_peer:
            own = Document()
            steps += [own.make(peer, c.ROOT_TEXT, c.TEXT_INSERT, pos, char) for pos, char in edits]
        for step in steps:
            whole.apply(step)
        return whole.text(c.ROOT_TEXT)

    check("order: peers at one place", merged((2, [(0, "b")]), (1, [(0, "a")])) == "ab")
    check("order: no interleaving forwards",
          merged((1, [(0, "a")]), (2, [(0, "b"), (1, "c")])) == "abc")
    check("order: no interleaving backwards",
          merged((1, [(0, "b"), (0, "a")]), (2, [(0, "d"), (0, "c")])) in ("abcd", "cdab"))
    check("order: peers are unsigned", merged((2 ** 63 + 1, [(0, "b")]), (5, [(0, "a")])) == "ab")


def random_history(check, seed):
    """Replicas that exchange steps in random order, all through the encoding."""
    rng = random.Random(seed)
    replicas = [Replica("x", rng) for _ in range(rng.randint(2, 4))]
    editors = [Editor(replica, rng.random()) for replica in replicas]
    for _ in range(60):
        rng.choice(editors).step()
        if rng.random() < 0.3:
            giver, taker = rng.sample(replicas, 2)
            pass_on(giver.document, taker.document, rng)
    for giver in replicas:
        for taker in replicas:
            pass_on(giver.document, taker.document, rng)
    first = replicas[0].document
    shuffled = Document()
    deliver(shuffled, first.steps, rng)
    for other in [replica.document for replica in replicas[1:]] + [shuffled]:
        check("model %s: replicas converge" % seed,
              (first.json(), first.digest(), first.heads, first.chains)
              == (other.json(), other.digest(), other.heads, other.chains))


def pass_on(giver, taker, rng):
    missing = [step for step in giver.steps if step.id not in taker.numbers]
    while missing:
        size = rng.randint(1, len(missing))
        part, missing = missing[:size], missing[size:]
        message = pb.Changes.FromString(c.write_changes(part).SerializeToString())
        received = c.read_changes(message)
        assert received == part
        for step in received:
            taker.apply(step)


def deliver(document, steps, rng):
    """Applies steps in a random order among those that keep parents first."""
    waiting = list(steps)
    while waiting:
        rng.shuffle(waiting)
        for step in list(waiting):
            if all(parent in document.numbers for parent in step.parents) and (
                    step.seq == document.next.get(step.peer, 0)):
                document.apply(step)
                waiting.remove(step)


# ---------------------------------------------------------------------------------------------------
# With the server
# ---------------------------------------------------------------------------------------------------

async def two_clients(check, server, seed, captured):
    room = Room(server, "two", check, seed)
    ann, bob = await room.enter(), await room.enter()
    check("Opened without lineage while the document does not exist", not ann.opened.lineage)
    ann.replica.insert(c.ROOT_TEXT, 0, "Hello")
    await ann.acknowledged()
    check("Opened with lineage when the document comes into being",
          len(ann.openings) == 2 and len(ann.openings[1].lineage) == 16, ann.openings)
    await bob.has(ann.replica)
    ann.replica.insert(c.ROOT_TEXT, 5, ", world")
    bob.replica.insert(c.ROOT_TEXT, 5, " 😀 there")
    ann.replica.set(c.ROOT_MAP, b"title", (c.STRING, b"A"))
    bob.replica.set(c.ROOT_MAP, b"title", (c.STRING, b"B"))
    ann.replica.insert(ann.replica.child(c.ROOT_MAP, b"note", c.TEXT), 0, "left")
    bob.replica.insert(bob.replica.child(c.ROOT_MAP, b"note", c.TEXT), 0, "right")
    ann.replica.add(vectors.HITS, 2)
    bob.replica.add(vectors.HITS, 3)
    await room.compare("two clients")
    plain = ann.replica.document.plain()
    check("two clients: counter", plain["hits"] == 5)
    check("two clients: mergeable text", plain["note"] in ("leftright", "rightleft"))
    check("two clients: the loser stays readable",
          len(ann.replica.document.conflicts(c.ROOT_MAP, b"title")) == 2)
    await ann.connection.send(0, ping=pb.Ping(nonce=77))
    await ann.until(lambda: 77 in ann.connection.pongs)
    await presence(check, ann, bob)
    await room.end()
    captured += room.captured


async def presence(check, ann, bob):
    state = pb.PresenceState(state=b'{"name":"Ann"}', cursors=[pb.Cursor(anchor=3, head=-2)])
    await ann.send(presence=pb.Presence(states=[state]))

    def seen():
        return [s for p in bob.presence for s in p.states
                if s.session == ann.opened.session and s.state == b'{"name":"Ann"}']
    await bob.until(lambda: seen())
    check("presence reaches the other", seen()[0].cursors[0].anchor == 3
          and seen()[0].cursors[0].head == -2)


async def random_clients(check, server, seed, captured):
    for number in range(4):
        room = Room(server, "random-%d" % number, check, seed)
        channels = [await room.enter() for _ in range(2 + number)]
        editors = [Editor(channel.replica, room.rng.random()) for channel in channels]
        for _ in range(120):
            room.rng.choice(editors).step()
            if room.rng.random() < 0.2:
                await asyncio.sleep(room.rng.random() * 0.01)
        await room.compare("random clients %d" % number)
        await snapshot_reader(check, room, number)
        await room.end()
        captured += room.captured


async def snapshot_reader(check, room, number):
    """One who starts from a snapshot goes on with the others."""
    author = room.channels[0]
    author.replica.edit((None, c.NOTHING, 0, None))      # one head
    await room.settled()
    reader = await room.enter(state_only=True)
    what = "snapshot %d" % number
    check(what + ": plan", reader.opened.plan == pb.Opened.SNAPSHOT, reader.opened.plan)
    same = author.replica.document
    different = [(key, value, reader.replica.document.plain().get(key))
                 for key, value in same.plain().items()
                 if value != reader.replica.document.plain().get(key)]
    check(what + ": the same document", reader.replica.document.json() == same.json(),
          repr(different) + "\n    " + same.json() + "\n    " + reader.replica.document.json())
    editors = [Editor(channel.replica, room.rng.random()) for channel in room.channels]
    for _ in range(60):
        room.rng.choice(editors).step()
        if room.rng.random() < 0.2:
            await asyncio.sleep(room.rng.random() * 0.01)
    await room.settled()
    check(what + ": the same document after more edits",
          (reader.replica.document.json(), reader.replica.document.digest())
          == (same.json(), same.digest()),
          same.json() + "\n    " + reader.replica.document.json())
    await room.compare_program(what, same)
    await room.leave(reader)


async def with_program(check, server, seed):
    """The program's own commands edit the document that our clients edit."""
    room = Room(server, "both", check, seed)
    channels = [await room.enter() for _ in range(2)]
    channels[0].replica.insert(SHARED, 0, "x" * 40)
    channels[0].replica.insert(CUT, 0, "y" * 40)
    await room.settled()
    chapters = ("merge", c.MAP, c.ROOT_MAP, b"chapters")
    far = ("merge", c.MAP, c.ROOT_MAP, b"far")
    avoid = [SHARED, CUT, far, ("merge", c.MAP, far, b"off"), chapters, ("merge", c.TEXT, chapters, b"one"),
             ("merge", c.COUNTER, c.ROOT_MAP, b"likes")]
    editors = [Editor(channel.replica, room.rng.random(), avoid) for channel in channels]
    commands = []
    for i in range(12):
        commands += [
            ("insert", "both", "shared", str(i % 7), "é%d😀" % i),
            ("delete", "both", "cut", str(i), "1"),
            ("set", "both", "/n%d" % i, json.dumps([None, True, i, 1.5, "ü", {"k": [i]}][i % 6])),
            ("set", "both", "/far/off/k", json.dumps(i)),
            ("incr", "both", "/likes", str(i)),
            ("insert", "both", "/chapters/one", "0", "c%d " % i)]
    room.rng.shuffle(commands)

    async def commander(mine):
        for command in mine:
            status, _, complaint = await server.run(*command)
            check("`syncline %s`" % " ".join(command), status == 0, complaint)

    async def clients():
        for _ in range(150):
            room.rng.choice(editors).step()
            channel = room.rng.choice(channels)
            channel.replica.insert(SHARED, room.rng.randint(0, 20), "p")
            await asyncio.sleep(0.01)

    await asyncio.gather(commander(commands[0::2]), commander(commands[1::2]), clients())
    # Everything that the commands wrote is on disk; a newcomer knows what there is to wait for.
    reader = await room.enter(history=True)
    for channel in channels:
        await channel.has(reader.replica)
    await room.compare("with the program")
    plain = reader.replica.document.plain()
    check("with the program: the sum of all incr", plain.get("likes") == sum(range(12)),
          plain.get("likes"))
    check("with the program: every insert is there",
          plain["shared"].count("é") == plain["shared"].count("😀") == 12, plain["shared"])
    check("with the program: every delete is there", len(plain["cut"]) == 40 - 12, plain["cut"])
    check("with the program: every chapter is there",
          sorted(plain["chapters"]["one"].split()) == sorted("c%d" % i for i in range(12)),
          plain["chapters"])
    await room.end()


async def offline(check, server, seed):
    """Offline edits arrive exactly once: after a disconnect, a kill, a restart of the client."""
    room = Room(server, "offline", check, seed)
    ann, bob = await room.enter(), await room.enter()
    editors = [Editor(ann.replica, room.rng.random()), Editor(bob.replica, room.rng.random())]
    for _ in range(30):
        room.rng.choice(editors).step()
    await room.settled()
    for round_number in range(3):
        await room.leave(ann)
        for _ in range(40):
            room.rng.choice(editors).step()
        await bob.acknowledged()
        ann = await room.enter(ann.replica)
        check("offline %d: resent from where the server stands" % round_number,
              not ann.nacks and not ann.closed)
        await room.compare("offline %d" % round_number)
    await killed(check, server, room, ann, bob, editors)
    await restarted(check, room)
    await room.end()


async def killed(check, server, room, ann, bob, editors):
    """kill -9 with frames under way; nothing acknowledged is lost, nothing comes twice."""
    for round_number in range(3):
        for _ in range(60):
            room.rng.choice(editors).step()
            if room.rng.random() < 0.3:
                await asyncio.sleep(0.002)
        acked = {channel.replica: set(channel.replica.held) for channel in (ann, bob)}
        await server.kill()
        for channel in (ann, bob):
            room.channels.remove(channel)
            channel.replica.on_edit = None
            channel.connection.end()
        for editor in editors:
            for _ in range(10):
                editor.step()
        await server.start()
        reader = await room.enter(history=True)
        for replica, held in acked.items():
            lost = held - set(reader.replica.document.numbers)
            check("kill %d: nothing acknowledged is lost" % round_number, not lost, lost)
        await room.leave(reader)
        ann, bob = await room.enter(ann.replica), await room.enter(bob.replica)
        await room.compare("kill %d" % round_number)


async def restarted(check, room):
    """A client that starts again draws a new peer, and brings what the old one had not sent."""
    channel = room.channels[0]
    await room.leave(channel)
    replica = channel.replica
    replica.insert(c.ROOT_TEXT, 0, "before the restart ")
    replica.restart()
    replica.insert(c.ROOT_TEXT, 0, "after the restart ")
    channel = await room.enter(replica)
    check("restart: both peers are named", len(channel.opened.peer_next) == 2,
          channel.opened)
    await room.compare("restart")


async def text_before_bytes(check, server, seed):
    """Text and bytes that look like more of it lie side by side in a message, and do not mix."""
    room = Room(server, "side by side", check, seed)
    ann = await room.enter()
    for text in ("a", "ä", "日b", "😀"):
        ann.replica.edit(
            (c.ROOT_TEXT, c.TEXT_INSERT, 0, text[0]),
            (c.ROOT_MAP, c.MAP_SET, 0, (b"k", (c.BYTES, b"\x9e\xbf"))),
            (vectors.BODY, c.TEXT_INSERT, 0, text[-1]))
    await room.compare("text before bytes")
    await room.end()


async def late_peer(check, server, seed):
    """A channel that begins with peer 0, and names it in a second Open."""
    room = Room(server, "late", check, seed)
    writer = await room.enter()
    writer.replica.insert(c.ROOT_TEXT, 0, "abc")
    await writer.acknowledged()
    replica = room.replica()
    peer, replica.peer = replica.peer, 0
    late = await room.enter(replica)
    check("peer 0: reads", replica.document.text(c.ROOT_TEXT) == "abc")
    replica.peer = peer
    before = len(late.openings)
    await late.send(open=pb.Open(document=b"late", peer=peer))
    await late.until(lambda: len(late.openings) > before or late.closed)
    check("second Open: answered by Opened", len(late.openings) == before + 1, late.closed)
    replica.insert(c.ROOT_TEXT, 3, "d")
    await room.compare("late peer")
    await room.end()


async def wide(check, server, seed):
    """Big frames: Packed, credit that runs out, a document larger than a window."""
    room = Room(server, "wide", check, seed)
    ann = await room.enter()
    bob = await room.enter(window_bytes=4096)
    text = "".join(room.rng.choice("abcdefgh äöü\n") for _ in range(3000))
    ann.replica.insert(c.ROOT_TEXT, 0, text)
    blob = bytes(room.rng.randrange(256) for _ in range(100000))
    for i in range(8):
        ann.replica.set(c.ROOT_MAP, b"blob%d" % i, (c.BYTES, blob))
    await room.compare("wide")
    check("wide: the text", bob.replica.document.text(c.ROOT_TEXT) == text)
    await room.end()


def check_captured(check, captured):
    """protoc reads what went over the wire: for every body, some frames of each direction."""
    seen = {}
    for frames in captured:
        for direction, data in frames:
            kind = pb.Frame.FromString(data).WhichOneof("body")
            seen.setdefault((direction, kind), []).append(data)
    for (direction, kind), frames in sorted(seen.items()):
        for data in random.Random(kind).sample(frames, min(5, len(frames))):
            check("protoc reads %s from the %s" % (kind, direction),
                  kind + " {" in vectors.protoc_decode(data))


async def run(program, seed):
    report = Report()
    print("seed %s" % seed, flush=True)
    await report.group("bytes of PROTOCOL.md", vectors.check_vectors)
    await report.group("the model against itself", check_model, seed)
    folder = tempfile.mkdtemp(prefix="syncline-interop-")
    server = await Server(program, os.path.join(folder, "x.db")).start()
    captured = []
    try:
        await report.group("two clients", two_clients, server, seed, captured)
        await report.group("text before bytes", text_before_bytes, server, seed)
        await report.group("random clients", random_clients, server, seed, captured)
        await report.group("with the program", with_program, server, seed)
        await report.group("offline and kill", offline, server, seed)
        await report.group("late peer", late_peer, server, seed)
        await report.group("wide", wide, server, seed)
        await report.group("captured frames", check_captured, captured)
        await report.group("bad input", bad_input.check_bad_input, server)
        report.check("the server lives", server.alive())
        status = await server.stop()
        report.check("the server ends with status 0", status == 0, status)
    finally:
        if server.alive():
            await server.kill()
        if not report.failed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print("kept: %s" % folder)
    print("interop: %d passed, %d failed" % (report.passed, report.failed))
    return 1 if report.failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(run(os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "1")))
