"""Bad input on raw sockets: each gets the documented code, and the server lives.

A case is (name, what is sent after "abc", the answer): the answer is a set of (body, code) of which
one must come.  PROTOCOL.md does not say which faults end the connection (Error), which the channel (Closed)
and which only refuse the events (Nack); where it leaves that open, each of the three is taken.
"""

import asyncio
import zlib

import websockets

import changes as c
from client import SUBPROTOCOL
from document import Document
from schema import pb

PEER = 0x5EED


def frame(channel, **body):
    return pb.Frame(channel=channel, **body).SerializeToString(deterministic=True)


def hello(low=1, high=1, **more):
    return frame(0, hello=pb.Hello(min_version=low, max_version=high, features=5, **more))


def has(kind):
    return lambda received: any(one.WhichOneof("body") == kind for one in received)


class Raw:
    """A socket on which anything may be said."""

    async def connect(self, url, subprotocols=(SUBPROTOCOL,)):
        self.socket = await websockets.connect(
            url, subprotocols=list(subprotocols) or None, compression=None, max_size=None,
            ping_interval=None)
        return self

    async def send(self, *messages):
        try:
            for message in messages:
                await self.socket.send(message)
        except websockets.ConnectionClosed:
            pass

    async def frames(self, quiet=0.8, until=None):
        """What comes until nothing comes any more, and whether the socket was closed.  Silence counts only once
        `until` holds (without it: once anything came), or after 20 s: a busy machine is no reason to fail."""
        received = []
        try:
            while True:
                patience = quiet if (until or len)(received) else 20
                data = await asyncio.wait_for(self.socket.recv(), patience)
                received.append(pb.Frame.FromString(data))
        except asyncio.TimeoutError:
            return received, False
        except websockets.ConnectionClosed:
            return received, True

    async def opened(self, document, peer=PEER):
        await self.send(hello(), frame(1, open=pb.Open(document=document, peer=peer)))
        await self.frames(0.2, has("opened"))
        return self

    async def close(self):
        await self.socket.close()


def codes(frames):
    """(body, code) of every frame that has a code."""
    found = set()
    for received in frames:
        kind = received.WhichOneof("body")
        if kind in ("error", "nack", "closed"):
            found.add((kind, getattr(received, kind).code))
    return found


def anywhere(code):
    return {(body, code) for body in ("nack", "closed", "error")}


def readable(found):
    return sorted("%s %s" % (kind, pb.Code.Name(code)) for kind, code in found) or "no code"


async def ended(url, data, code, check, name, subprotocols=(SUBPROTOCOL,)):
    """Sends on a fresh connection; it must end with an Error of that code."""
    raw = await Raw().connect(url, subprotocols)
    await raw.send(*data)
    frames, closed = await raw.frames(1.5)
    check("%s: Error %s" % (name, pb.Code.Name(code)), ("error", code) in codes(frames),
          readable(codes(frames)))
    check(name + ": the socket closes", closed)
    await raw.close()
    return frames


# ---------------------------------------------------------------------------------------------------
# Before a document
# ---------------------------------------------------------------------------------------------------

async def check_handshake(check, server):
    for name, wanted in (("no subprotocol", ()), ("wrong subprotocol", ("syncline.v9",))):
        try:
            raw = await Raw().connect(server.url, wanted)
            await raw.send(hello())
            frames, closed = await raw.frames()
            check(name + ": refused", closed and not frames, frames)
        except (websockets.InvalidHandshake, websockets.ConnectionClosed, ConnectionError):
            check(name + ": refused", True)
    url = server.url
    malformed, limit = pb.CODE_MALFORMED, pb.CODE_LIMIT
    await ended(url, ["hello"], malformed, check, "text first")
    await ended(url, [hello(), "hello"], malformed, check, "text after Hello")
    await ended(url, [b"\xff\xff\xff"], malformed, check, "garbage first")
    await ended(url, [b""], malformed, check, "empty message")
    await ended(url, [hello(), b""], malformed, check, "frame without body")
    await ended(url, [hello(), b"\x08\x01"], malformed, check, "frame with a channel only")
    await ended(url, [frame(1, open=pb.Open(document=b"x"))], malformed, check, "Open before Hello")
    await ended(url, [hello(), hello()], malformed, check, "Hello twice")
    await ended(url, [hello(), frame(0, pong=pb.Pong(nonce=1))[:-1]], malformed, check, "cut frame")
    await ended(url, [hello(), b"\xa2\x01\x02\x08\x01\xaa\x01\x02\x08\x01"], malformed, check,
                "two bodies in one frame")
    await ended(url, [hello(), b"\xa2\x01\x03\x08\x81\x00"], malformed, check, "a long varint")
    await ended(url, [hello(), b"\xa2\x01\x04\x08\x01\x08\x02"], malformed, check, "a field twice")
    await ended(url, [hello(), b"\xa2\x01\x02\x09\x01"], malformed, check, "wrong wire type")
    await ended(url, [b"\0" * (65 << 10)], limit, check, "65 KiB before Welcome")
    await ended(url, [hello(), b"\0" * ((1 << 20) + 1)], limit, check, "a frame above 1 MiB")
    frames = await ended(url, [hello(2, 9)], pb.CODE_VERSION, check, "a later version")
    for received in frames:
        if received.WhichOneof("body") == "error":
            error = received.error
            check("a later version: what is spoken", (error.min_version, error.max_version,
                                                      error.permanent) == (1, 1, True), error)
    await ended(url, [frame(0, hello=pb.Hello())], pb.CODE_VERSION, check, "Hello of no version")
    await unknown_body(check, url)


async def unknown_body(check, url):
    raw = await Raw().connect(url)
    await raw.send(hello(), b"\x08\x00\xf2\x01\x02\x08\x01", b"\xf2\x01\x00",
                   frame(0, ping=pb.Ping(nonce=5)))
    frames, closed = await raw.frames()
    kinds = [received.WhichOneof("body") for received in frames]
    check("an unknown body is ignored", kinds == ["welcome", "pong"] and not closed, kinds)
    await raw.close()


async def check_names(check, server):
    """Names of documents."""
    for name, document in (("empty name", b""), ("name of 256 bytes", b"x" * 256),
                           ("name not UTF-8", b"\xff\xfe"), ("name with NUL", b"a\0b")):
        raw = await Raw().connect(server.url)
        await raw.send(hello(), frame(1, open=pb.Open(document=document)))
        found = codes((await raw.frames())[0])
        check(name, found & {(kind, code) for kind in ("closed", "error")
                             for code in (pb.CODE_MALFORMED, pb.CODE_LIMIT)}, readable(found))
        await raw.close()
    raw = await Raw().connect(server.url)
    await raw.send(hello(), frame(1, open=pb.Open(document=b"x" * 255)))
    frames, _ = await raw.frames()
    check("name of 255 bytes", any(r.WhichOneof("body") == "opened" for r in frames))
    await raw.send(frame(1, close=pb.Close()), frame(1, ack=pb.Ack()))
    await raw.close()


# ---------------------------------------------------------------------------------------------------
# In a document
# ---------------------------------------------------------------------------------------------------

def typed(text="abc", seq=0, pos=0, **more):
    """A Changes by columns: so that it may be wrong."""
    fields = {"run_seq": [seq] if seq else [], "op_len": [len(text)], "text": text.encode("utf-8"),
              "op_pos": [pos] if pos else []}
    fields.update(more)
    return frame(1, changes=pb.Changes(**fields))


def raw_changes(body):
    return bytes([0x08, 0x01, 0x12, len(body)]) + body


def op(kind, container=None, **more):
    more.setdefault("containers", [container] if container is not None else [])
    return frame(1, changes=pb.Changes(run_seq=[3], op_kind=[kind], **more))


def cases():
    """Each after "abc" by PEER, seqs 0..2, was acknowledged."""
    nack = {("nack", pb.CODE_MALFORMED)}
    malformed, limit = anywhere(pb.CODE_MALFORMED), anywhere(pb.CODE_LIMIT)
    version = {("nack", pb.CODE_VERSION)}
    a_map, a_list = pb.Container(kind=c.MAP), pb.Container(kind=c.LIST, name=b"l")
    tree = pb.Container(kind=c.TREE)
    other = 0xABC
    yield "insert beyond the end", typed("x", 3, 4), nack
    yield "delete beyond the end", op(c.DELETE, op_pos=[3]), nack
    yield "delete run beyond the end", op(c.DELETE, op_pos=[1], op_len=[3]), nack
    yield "backspace below 0", op(c.DELETE_BACK, op_pos=[1], op_len=[3]), malformed
    yield "negative position", op(c.DELETE, op_pos=[-1]), malformed
    yield "set of a slot that is not there", op(c.LIST_SET, a_list, val_kind=[c.TRUE]), nack
    yield "a gap", typed("x", 9), {("nack", pb.CODE_GAP)}
    yield "unknown parents", typed("x", 3, peers=[PEER, other], run_deps=[2], dep_peer=[1, 0],
                                   dep_seq=[7, 2]), {("nack", pb.CODE_PARENTS)}
    yield "without its previous event", typed(
        "x", 3, peers=[PEER], run_deps=[1], dep_peer=[0], dep_seq=[1]), malformed
    yield "a parent that is an ancestor of another", typed(
        "x", 3, peers=[PEER], run_deps=[2], dep_peer=[0, 0], dep_seq=[1, 1]), malformed
    yield "a parent twice", typed("x", 3, peers=[PEER], run_deps=[2], dep_peer=[0, 0],
                                  dep_seq=[2, 0]), malformed
    yield "parents out of order", typed("x", 3, peers=[PEER, other], run_deps=[2], dep_peer=[0, 1],
                                        dep_seq=[2, 0]), malformed
    yield "a fork", typed("z", 1), {("nack", pb.CODE_FORKED)}
    yield "set in a text", op(c.MAP_SET, keys=[b"k"]), malformed
    yield "insert into a map", op(c.TEXT_INSERT, a_map, text=b"x"), malformed
    yield "add in a list", op(c.COUNTER_ADD, a_list, val_int=[1]), malformed
    yield "reserved op kind", op(20), malformed
    yield "reserved value kind", op(c.MAP_SET, a_map, keys=[b"k"], val_kind=[12]), malformed
    yield "reserved container kind", op(c.NOTHING, pb.Container(kind=9)), malformed
    yield "a mark", op(c.MARK, op_len=[2], keys=[b"b"], val_kind=[c.TRUE]), version
    yield "a move", op(c.LIST_MOVE, a_list), version | nack
    yield "a tree node", op(c.TREE_CREATE, tree, keys=[b"a"]), version
    yield "a NULL mergeable in a list", op(
        c.LIST_INSERT, a_list, val_kind=[c.MERGEABLE], val_int=[1]), malformed
    yield "text too short", frame(1, changes=pb.Changes(run_seq=[3], op_len=[3], text=b"x")), malformed
    yield "text too long", frame(1, changes=pb.Changes(run_seq=[3], text=b"xy")), malformed
    yield "text not UTF-8", frame(1, changes=pb.Changes(run_seq=[3], text=b"\xff")), malformed
    yield "text with a surrogate", frame(
        1, changes=pb.Changes(run_seq=[3], text=b"\xed\xa0\x80")), malformed
    yield "no text", frame(1, changes=pb.Changes(run_seq=[3])), malformed
    yield "key with NUL", op(c.MAP_SET, a_map, keys=[b"a\0"]), malformed
    yield "key of 1,025 bytes", op(c.MAP_SET, a_map, keys=[b"k" * 1025]), malformed | limit
    yield "key not UTF-8", op(c.MAP_SET, a_map, keys=[b"\xc0\x80"]), malformed
    yield "value that is left over", op(c.MAP_SET, a_map, keys=[b"k"], val_int=[1]), malformed
    yield "another NaN", raw_changes(
        b"\x1a\x01\x03\x42\x02\x08\x01\x52\x01\x04\x72\x01k\x82\x01\x01\x05\x92\x01\x08"
        b"\x01\0\0\0\0\0\xf8\x7f"), malformed
    yield "op_len 0", op(c.DELETE, op_len=[0]), malformed
    yield "runs and operations of other sums", frame(
        1, changes=pb.Changes(run_seq=[3], run_len=[2], text=b"x")), malformed
    yield "columns of unequal length", frame(1, changes=pb.Changes(
        run_seq=[3], op_kind=[0, 1], op_len=[1, 1, 1], text=b"x")), malformed
    yield "index of a peer", typed("x", 3, peers=[PEER], run_peer=[1]), malformed
    yield "index of a container", op(c.DELETE, op_container=[1]), malformed
    yield "peer 0", typed("x", 3, peers=[0]), malformed
    yield "a peer twice", typed("x", 3, peers=[PEER, PEER]), malformed
    yield "a container twice", op(
        c.MAP_SET, containers=[a_map, a_map], keys=[b"k"]), malformed
    yield "a container's parent comes later", op(c.MAP_SET, containers=[
        pb.Container(kind=c.MAP, parent=2, key=b"x"), a_map], keys=[b"k"]), malformed
    yield "a container that is its own parent", op(c.MAP_SET, containers=[
        pb.Container(kind=c.MAP, parent=1, key=b"x")], keys=[b"k"]), malformed
    yield "a container of two forms", op(c.MAP_SET, containers=[
        pb.Container(kind=c.MAP, name=b"n", peer=1)], peers=[PEER], keys=[b"k"]), malformed
    yield "a mergeable child of a list", op(c.MAP_SET, containers=[
        a_list, pb.Container(kind=c.MAP, parent=1, key=b"x")], op_container=[1],
        keys=[b"k"]), malformed
    yield "a container by an unknown event", op(c.TEXT_INSERT, pb.Container(peer=1, seq=77),
                                                peers=[other, PEER], run_peer=[1],
                                                text=b"x"), {("nack", pb.CODE_PARENTS)}
    yield "a container by an event that made none", op(
        c.TEXT_INSERT, pb.Container(peer=1, seq=1), peers=[PEER], text=b"x"), malformed
    yield "an unknown field inside Changes", raw_changes(
        b"\x1a\x01\x03\x6a\x01x\xf8\x07\x01"), malformed
    yield "a column in two pieces", raw_changes(
        b"\x1a\x01\x03\x52\x01\x00\x52\x01\x00\x6a\x02xy"), malformed
    yield "a column not packed", raw_changes(b"\x18\x03\x6a\x01x"), malformed
    yield "an unknown format", typed("x", 3, format=1), malformed | anywhere(
        pb.CODE_VERSION)
    yield "author without RIGHT_RELAY", typed("x", 3, peers=[PEER], author=[b"me"]), malformed | {
        ("nack", pb.CODE_FORBIDDEN)}
    yield "too many events", frame(1, changes=pb.Changes(
        run_seq=[3], op_kind=[c.NOTHING], op_len=[65537])), malformed | limit
    yield "events that wrap around", frame(1, changes=pb.Changes(
        run_seq=[3], run_len=[2 ** 32 - 1, 2], op_kind=[c.NOTHING, c.NOTHING],
        op_len=[2 ** 32 - 1, 2])), malformed | limit
    yield "seq above 2^31", typed("x", 2 ** 31), malformed | limit | {
        ("nack", pb.CODE_GAP)}
    yield from packed_cases(malformed, limit)
    yield "Opened from a client", frame(1, opened=pb.Opened()), {("error", pb.CODE_MALFORMED)}
    yield "Names without the feature", frame(1, names=pb.Names(peers=[3])), {
        ("error", pb.CODE_MALFORMED)}
    yield "Open again under another peer", frame(1, open=pb.Open(document=b"d", peer=3)), {
        ("error", pb.CODE_MALFORMED), ("closed", pb.CODE_MALFORMED)}
    yield "Changes on channel 0", frame(0, changes=pb.Changes(text=b"x")), {
        ("error", pb.CODE_MALFORMED)}
    yield "Ping on a channel", frame(1, ping=pb.Ping(nonce=1)), {("error", pb.CODE_MALFORMED)}


def packed_cases(malformed, limit):
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    inside = pb.Changes(run_seq=[3], text=b"x").SerializeToString()
    data = deflater.compress(inside) + deflater.flush()

    def packed(**fields):
        return frame(1, packed=pb.Packed(**fields))
    yield "Packed: garbage", packed(raw_size=5, data=b"\xff\xff\xff"), malformed
    yield "Packed: raw_size too small", packed(raw_size=len(inside) - 1, data=data), malformed
    yield "Packed: raw_size too large", packed(raw_size=len(inside) + 1, data=data), malformed
    yield "Packed: bytes after the stream", packed(raw_size=len(inside), data=data + b"x"), malformed
    yield "Packed: raw_size above the limit", packed(raw_size=(64 << 20) + 1, data=data), limit
    yield "Packed: unknown codec", packed(raw_size=len(inside), data=data, codec=1), malformed | anywhere(
        pb.CODE_VERSION)
    yield "Packed: a snapshot from a client", packed(
        raw_size=len(inside), data=data, inside=pb.Packed.SNAPSHOT), malformed
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    blown = bomb.compress(b"\0" * (32 << 20)) + bomb.flush()
    yield "Packed: 32 MiB of zeros", packed(raw_size=32 << 20, data=blown), malformed | limit


async def check_cases(check, server):
    for number, (name, data, wanted) in enumerate(cases()):
        document = b"bad-%d" % number
        raw = await (await Raw().connect(server.url)).opened(document)
        await raw.send(typed())
        frames, _ = await raw.frames(0.2, has("ack"))
        check(name + ": first the good ones", any(r.WhichOneof("body") == "ack" for r in frames),
              readable(codes(frames)))
        await raw.send(data)
        frames, closed = await raw.frames(0.2, lambda received: codes(received) & wanted)
        found = codes(frames)
        check(name, found & wanted, "%s instead of %s" % (readable(found), readable(wanted)))
        check(name + ": only Error closes the socket",
              closed == any(kind == "error" for kind, _ in found), readable(found))
        judge_nacks(check, name, frames)
        await raw.close()
        check(name + ": nothing was half applied", await text_of(server, document) == "abc")


def judge_nacks(check, name, frames):
    for received in frames:
        if received.WhichOneof("body") != "nack":
            continue
        nack = received.nack
        code = nack.code
        if code in (pb.CODE_MALFORMED, pb.CODE_VERSION):
            check(name + ": permanent, from the first seq of the frame",
                  nack.permanent and nack.first_seq == 3, nack)
        if code == pb.CODE_GAP:
            check(name + ": the seq that is expected", nack.first_seq == nack.next == 3, nack)
        if code == pb.CODE_FORKED:
            check(name + ": where the server stands", nack.first_seq == 1 and nack.next == 3
                  and nack.chain == chain_of_abc(), nack)
        check(name + ": words for people", nack.detail.decode("utf-8"), nack)


def chain_of_abc():
    document = Document()
    for pos, char in enumerate("abc"):
        document.make(PEER, c.ROOT_TEXT, c.TEXT_INSERT, pos, char)
    return document.chain(PEER, 3)


async def text_of(server, document):
    status, out, _ = await server.run("text", document.decode("utf-8"))
    return out.decode("utf-8") if status == 0 else None


# ---------------------------------------------------------------------------------------------------
# Conversations
# ---------------------------------------------------------------------------------------------------

async def check_conversations(check, server):
    await nack_in_flight(check, server)
    await whole_or_nothing(check, server)
    await duplicates(check, server)
    await later_kinds(check, server)
    await wrong_lineage(check, server)
    await closed_channel(check, server)


def bodies(frames, kind):
    return [getattr(r, kind) for r in frames if r.WhichOneof("body") == kind]


async def nack_in_flight(check, server):
    """After a Nack everything above is ignored until first_seq comes again."""
    raw = await (await Raw().connect(server.url)).opened(b"flight")
    await raw.send(typed("abc"), typed("x", 3, 99), typed("y", 4, 1), typed("z", 5, 1))
    frames, _ = await raw.frames()
    check("frames in flight: one Nack", [n.first_seq for n in bodies(frames, "nack")] == [3],
          bodies(frames, "nack"))
    await raw.send(typed("d", 3, 3))
    frames, _ = await raw.frames()
    check("frames in flight: goes on at first_seq",
          [a.next for a in bodies(frames, "ack")][-1:] == [4], frames)
    await raw.close()
    check("frames in flight: the text", await text_of(server, b"flight") == "abcd")


async def whole_or_nothing(check, server):
    raw = await (await Raw().connect(server.url)).opened(b"whole")
    await raw.send(typed("abc"), frame(1, changes=pb.Changes(
        run_seq=[3], op_kind=[0, 1], op_pos=[0, 98], text=b"x")))
    frames, _ = await raw.frames()
    nacks = bodies(frames, "nack")
    check("a frame with one bad operation", [n.op_run for n in nacks] == [2], nacks)
    await raw.close()
    check("a frame with one bad operation: whole or nothing",
          await text_of(server, b"whole") == "abc")


async def duplicates(check, server):
    raw = await (await Raw().connect(server.url)).opened(b"twice")
    await raw.send(typed("abc"))
    await raw.frames()
    await raw.send(typed("abc"), typed("bcd", 1, 1))
    frames, _ = await raw.frames()
    check("duplicates are acknowledged, and what is new in them taken",
          [a.next for a in bodies(frames, "ack")][-1:] == [4] and not bodies(frames, "nack"), frames)
    await raw.close()
    check("duplicates: the text", await text_of(server, b"twice") == "abcd")


async def later_kinds(check, server):
    """Kinds of a later version are kept and relayed."""
    raw = await (await Raw().connect(server.url)).opened(b"later")
    listener = await (await Raw().connect(server.url)).opened(b"later", 0xBEEF)
    steps, document = [], Document()
    later = ("root", 17, b"future")
    for container, kind, payload, count in (
            (c.ROOT_TEXT, c.TEXT_INSERT, "a", 1), (c.ROOT_TEXT, 40, b"ext", 3),
            (later, 33, b"", 1), (c.ROOT_MAP, c.MAP_SET, (b"k", (20, b"blob")), 1),
            (c.ROOT_TEXT, 40, b"", 2), (c.ROOT_TEXT, 40, b"more", 1)):
        step = c.Step(PEER, document.next.get(PEER, 0), tuple(document.heads), container, kind, 0,
                      payload, 0, 1, count)
        document.apply(step)
        steps.append(step)
    await raw.send(frame(1, changes=c.write_changes(steps, PEER)))
    frames, _ = await raw.frames()
    check("later kinds are taken", [a.next for a in bodies(frames, "ack")] == [9], frames)
    frames, _ = await listener.frames()
    received = [step for message in bodies(frames, "changes") for step in c.read_changes(message)]
    check("later kinds are relayed unchanged", received == steps, received)
    status, out, _ = await server.run("get", "later")
    check("an unknown value shows as null", status == 0 and b'"k":null' in out, out)
    await raw.close()
    await listener.close()
    again = await Raw().connect(server.url)
    await again.send(hello(), frame(1, open=pb.Open(document=b"later", peer=PEER)))
    frames, _ = await again.frames()
    opened = bodies(frames, "opened")[0]
    check("hash chain over later kinds", list(opened.peer_next) == [9]
          and list(opened.peer_chain) == [document.chain(PEER, 9)], opened)
    await again.close()


async def wrong_lineage(check, server):
    raw = await Raw().connect(server.url)
    await raw.send(hello(), frame(1, open=pb.Open(document=b"twice", lineage=b"0123456789abcdef")))
    frames, _ = await raw.frames()
    check("another lineage: Closed LINEAGE", codes(frames) == {("closed", pb.CODE_LINEAGE)},
          readable(codes(frames)))
    await raw.send(frame(2, open=pb.Open(document=b"twice", lineage=b"short")))
    frames, _ = await raw.frames()
    check("a lineage of 5 bytes", codes(frames) & {
        ("closed", pb.CODE_MALFORMED), ("error", pb.CODE_MALFORMED)}, readable(codes(frames)))
    await raw.close()


async def closed_channel(check, server):
    """Frames for a channel that was closed are ignored; one that never was is a fault."""
    raw = await (await Raw().connect(server.url)).opened(b"closing")
    await raw.send(frame(1, close=pb.Close()), typed("abc"), frame(0, ping=pb.Ping(nonce=3)))
    frames, closed = await raw.frames()
    check("a closed channel ignores frames", codes(frames) == {("closed", pb.CODE_OK)}
          and bodies(frames, "pong") and not closed, readable(codes(frames)))
    await raw.send(frame(1, open=pb.Open(document=b"closing")))
    frames, closed = await raw.frames(until=lambda received: True)
    check("a channel number is not used again", closed or codes(frames) or not frames, frames)
    await raw.close()
    raw = await (await Raw().connect(server.url)).opened(b"closing")
    await raw.send(frame(9, changes=pb.Changes(text=b"x")))
    frames, closed = await raw.frames()
    check("a channel that was never opened", codes(frames) == {("error", pb.CODE_MALFORMED)},
          readable(codes(frames)))
    await raw.close()


async def check_bad_input(check, server):
    await check_handshake(check, server)
    await check_names(check, server)
    await check_cases(check, server)
    await check_conversations(check, server)
    raw = await (await Raw().connect(server.url)).opened(b"after all")
    await raw.send(typed("fine"))
    frames, _ = await raw.frames()
    check("the server still serves", [a.next for a in bodies(frames, "ack")] == [4], frames)
    await raw.close()
