"""Every byte example of PROTOCOL.md, built by this program from what its commentary says."""

import re
import subprocess

import changes as c
import document as d
from schema import PROTO_DIR, pb

META = ("root", c.MAP, b"meta")
SUB = ("merge", c.MAP, META, b"sub")
ITEMS = ("root", c.LIST, b"items")
HITS = ("root", c.COUNTER, b"hits")
BODY = ("root", c.TEXT, b"body")
LINEAGE = bytes(range(0xA1, 0xB1))
HASHES = (0x0F1B359B9FB7E3F2, 0x920283101A67BD49, 0x13350CCB60C9B41D, 0x819CEA28487DEA0B)
DIGEST = 0x35EFAF9F63673F63


def read_protocol():
    with open(PROTO_DIR + "/PROTOCOL.md", encoding="utf-8") as file:
        return file.read()


def examples(text):
    """name -> bytes of every ```hex block."""
    found = {}
    for name, body in re.findall(r"```hex (\S+)\n(.*?)```", text, re.S):
        found[name] = bytes.fromhex("".join(line.split("#")[0] for line in body.split("\n")))
    return found


def chained(peer, seq, parents, *edits):
    """Steps of one run.  edits: (container, kind, pos, payload[, arg, length, count])."""
    steps = []
    for container, kind, pos, payload, *rest in edits:
        arg, length, count = rest or (0, 1, 1)
        steps.append(c.Step(peer, seq, parents, container, kind, pos, payload, arg, length, count))
        parents, seq = (steps[-1].last,), seq + count
    return steps


def typed(container, pos, string):
    return [(container, c.TEXT_INSERT, pos + i, char) for i, char in enumerate(string)]


def changes_frames():
    """name -> (steps, peer of the channel)."""
    root = c.ROOT_TEXT
    concurrent = (
        chained(1, 2, ((1, 1),), *typed(root, 2, "abc"))
        + chained(2, 0, ((1, 1),), *typed(root, 0, "de"))
        + chained(1, 5, ((1, 4), (2, 1)), (root, c.DELETE, 4, None)))
    a_map = chained(
        2, 0, ((1, 1),),
        (META, c.MAP_SET, 0, (b"sub", (c.MERGEABLE, c.MAP))),
        (SUB, c.MAP_SET, 0, (b"k", (c.STRING, b"v"))),
        (SUB, c.MAP_SET, 0, (b"n", c.real(1.5))),
        (SUB, c.MAP_DELETE, 0, b"k"))
    child = ("event", c.TEXT, 1, 1)
    a_list = chained(
        1, 0, (),
        (ITEMS, c.LIST_INSERT, 0, (c.INT, -3)),
        (ITEMS, c.LIST_INSERT, 1, (c.CHILD, c.TEXT)),
        (ITEMS, c.LIST_SET, 0, (c.TRUE, None)),
        *typed(child, 0, "hi"),
        (HITS, c.COUNTER_ADD, 0, 10),
        (ITEMS, c.DELETE, 0, None))
    later = chained(
        1, 0, (),
        (BODY, c.MARK, 3, (b"link", (c.STRING, b"/a")), 1, 4, 2),
        (BODY, 40, 0, b"later", 0, 1, 2),
        (None, c.NOTHING, 0, None))
    replaced = chained(
        9, 6, ((9, 5),), *[(root, c.DELETE, pos, None) for pos in (120, 119, 118)],
        *typed(root, 118, "hello"))
    return {
        "changes-key": (chained(9, 5, ((9, 4),), *typed(root, 120, "x")), 9),
        "changes-replace": (replaced, 9),
        "changes-concurrent": (concurrent, None),
        "changes-map": (a_map, None),
        "changes-list": (a_list, None),
        "changes-later": (later, None),
    }


def version(*heads):
    return pb.Version(head_peer=[peer for peer, _ in heads], head_seq=[seq for _, seq in heads])


def control_frames():
    """name -> (channel, body)."""
    limits = pb.Limits(
        frame_bytes=1 << 20, raw_bytes=64 << 20, frame_events=65536, documents=1000,
        window_bytes=256 << 10, value_bytes=1044480, parents=4096, document_events=2 ** 31 - 1,
        document_bytes=1 << 32, presence_bytes=4096, presence_ms=100, new_peers=1000)
    tables = [pb.Container(), pb.Container(kind=c.MAP),
              pb.Container(kind=c.LIST, parent=2, key=b"items"),
              pb.Container(kind=c.COUNTER, name=b"hits")]
    me = pb.PresenceState(
        session=3, user=b"ann", state=b'{"name":"Ann"}',
        cursors=[pb.Cursor(at_seq=[5], anchor=120, head=-5)])
    return {
        "hello": (0, {"hello": pb.Hello(min_version=1, max_version=1, features=5, token=b"secret",
                                        client=b"example 1.0")}),
        "welcome": (0, {"welcome": pb.Welcome(
            version=1, features=5, connection=7, store=bytes(range(1, 17)), limits=limits,
            heartbeat_ms=20000, user=b"ann", server=b"syncline 0.1.0")}),
        "ping": (0, {"ping": pb.Ping(nonce=300)}),
        "pong": (0, {"pong": pb.Pong(nonce=300)}),
        "auth": (0, {"auth": pb.Auth(token=b"fresh")}),
        "access": (1, {"access": pb.Access(rights=1, expires_ms=60000)}),
        "error": (0, {"error": pb.Error(code=pb.CODE_VERSION, permanent=True, min_version=1,
                                        max_version=1, detail=b"no common version")}),
        "open": (1, {"open": pb.Open(
            document=b"notes/today", lineage=LINEAGE, rights=3, version=version((1, 4)), peer=1,
            old_peer=[0x99])}),
        "opened": (1, {"opened": pb.Opened(
            lineage=LINEAGE, rights=3, version=version((1, 4), (2, 0)), peer_next=[5, 0],
            peer_chain=[0xA553F4BFF668E428, 0], session=3, window_bytes=256 << 10)}),
        "want": (1, {"want": pb.Want(have=pb.Version(peer=[1, 2], next=[5, 1]))}),
        "ack": (1, {"ack": pb.Ack(next=6, peer=[0x99], peer_next=[12])}),
        "nack": (1, {"nack": pb.Nack(first_seq=6, code=pb.CODE_MALFORMED, permanent=True,
                                     detail=b"position beyond the end", op_run=1)}),
        "credit": (1, {"credit": pb.Credit(bytes=65536)}),
        "close": (1, {"close": pb.Close()}),
        "closed": (1, {"closed": pb.Closed(code=pb.CODE_RESYNC, retry_ms=500,
                                           detail=b"the disk failed")}),
        "presence": (1, {"presence": pb.Presence(
            states=[me, pb.PresenceState(session=4, gone=True)], peers=[1])}),
        "digest": (1, {"digest": pb.Digest(version=version((2, 3)), hash=DIGEST, kinds=4)}),
        "digest-answer": (1, {"digest": pb.Digest(
            version=version((2, 3)), hash=DIGEST, kinds=4, containers=tables,
            container_hash=HASHES)}),
        "names": (1, {"names": pb.Names(peers=[2], containers=[tables[3]])}),
    }


def frame(channel, **body):
    return pb.Frame(channel=channel, **body).SerializeToString(deterministic=True)


def protoc_decode(data):
    """What protoc prints of a frame; raises if it cannot read it."""
    run = subprocess.run(
        ["protoc", "-I", PROTO_DIR, "--decode", "syncline.v1.Frame", "syncline.proto"],
        input=data, capture_output=True, check=True)
    return run.stdout.decode("utf-8", "replace")


def snapshot_states(document, snapshot):
    """The states of a snapshot of one part, written anew from a document that loaded it."""
    states = []
    peers = list(snapshot.peers)
    for index, container in enumerate(c.read_containers(snapshot.containers, peers)):
        state, order = document.container_state(container)
        for name in ("reg_peer", "set_peer"):
            column = [peers.index(order[at]) for at in getattr(state, name)]
            if name == "reg_peer" and not column and order:
                column = [peers.index(order[0])] * len(state.reg_lamport)
            state.ClearField(name)
            c.set_column(getattr(state, name), column)
        state.container = index
        states.append(state)
    return states


def check_vectors(check):
    text = read_protocol()
    data = examples(text)
    built = {}
    for name, (steps, peer) in changes_frames().items():
        message = c.write_changes(steps, peer)
        built[name] = frame(1, changes=message)
        received = pb.Frame.FromString(data[name]).changes
        check("read " + name, c.read_changes(received, [peer]) == steps)
    for name, (channel, body) in control_frames().items():
        built[name] = frame(channel, **body)
    for name, expected in built.items():
        check("bytes of " + name, expected == data.get(name))
    for name, expected in data.items():
        parsed = pb.Frame.FromString(expected)
        check("parse and write " + name, parsed.SerializeToString(deterministic=True) == expected)
        check("protoc reads " + name, parsed.WhichOneof("body") in protoc_decode(expected))
    check_snapshots(check, data)
    check_packed(check, data["packed"])
    check_chain(check)
    check_containers(check, text)
    left = set(data) - set(built) - {"snapshot-whole", "snapshot-0", "snapshot-1", "snapshot-2",
                                     "packed"}
    check("every example of PROTOCOL.md is covered", not left, left)


def check_snapshots(check, data):
    whole = pb.Frame.FromString(data["snapshot-whole"]).snapshot
    document = d.Document()
    document.load_snapshot([whole])
    check("snapshot: JSON", document.json() ==
          '{"":"Hello, world","hits":42,"items":[7,null],"title":"B"}', document.json())
    check("snapshot: conflict", document.conflicts(c.ROOT_MAP, b"title")
          == [(c.STRING, b"B"), (c.STRING, b"A")])
    check("snapshot: states written anew", snapshot_states(document, whole) == list(whole.states))
    check("snapshot: digest", document.digest() == DIGEST)
    hashes = tuple(document.container_hash(container) for container in document.containers)
    check("snapshot: hash of each container", hashes == HASHES)
    step = document.make(7, c.ROOT_TEXT, c.TEXT_INSERT, 5, "!")
    check("snapshot: goes on", document.text(c.ROOT_TEXT) == "Hello!, world"
          and document.lamport[document.numbers[step.id]] == whole.lamport + 1)
    pieces = [pb.Frame.FromString(data["snapshot-%d" % i]).snapshot for i in range(3)]
    text = b"".join(piece.states[0].text for piece in pieces[:2])
    check("snapshot in parts", text == b"Hello, world" and pieces[1].states[0].offset == 7
          and [piece.part for piece in pieces] == [0, 1, 2])


def check_packed(check, data):
    import zlib
    packed = pb.Frame.FromString(data).packed
    raw = zlib.decompress(packed.data, -15)
    steps = c.read_changes(pb.Changes.FromString(raw), [9])
    check("packed: one text of 65 scalars", len(raw) == packed.raw_size and len(steps) == 65
          and all(step.kind == c.TEXT_INSERT for step in steps))
    check("packed: canonical inside",
          c.write_changes(steps, 9).SerializeToString(deterministic=True) == raw)


def check_chain(check):
    expected = [
        ("0a0801000000000000006a0161", 0xA5AC7578EE8DDAC9),
        ("0a0801000000000000001a0101520101", 0xA553F4BFF668E428),
        ("0a10020000000000000001000000000000002a01013201013a01024208080112046d65746142090801280132"
         "037375624a010152010472016b", 0x16784ED2E77ACF0E)]
    document = d.Document()
    steps = [document.make(1, c.ROOT_TEXT, c.TEXT_INSERT, 0, "a"),
             document.make(1, c.ROOT_TEXT, c.DELETE, 0),
             document.make(2, SUB, c.MAP_SET, 0, (b"k", (c.STRING, b"")))]
    for number, (step, (blob, chain)) in enumerate(zip(steps, expected)):
        check("hash chain %d: B" % number, c.step_bytes(step).hex() == blob)
        check("hash chain %d: chain" % number,
              document.chain(step.peer, step.seq + 1) == chain)


def check_containers(check, text):
    """Ids and states of the table in section 12, as they stand in the document."""
    blob = d.container_id(("event", c.TEXT, 1, 1))
    check("id of a container by event", blob.hex() == "420220010100000000000000"
          and d.xxhash.xxh64_intdigest(blob) == 0x2392E66B5FA43A96)
    rows = re.findall(r"\| (?:TEXT|MAP|LIST|COUNTER)[^|]*\| `(\w+)` \| `(\w+)` \| `(\w+)` \|"
                      r" `(\w+)` \|", text)
    check("digest table has four rows", len(rows) == 4)
    for ident, seed, state, expected in rows:
        ident_hash = d.xxhash.xxh64_intdigest(bytes.fromhex(ident))
        check("digest row " + ident, ident_hash == int(seed, 16) and int(expected, 16)
              == d.xxhash.xxh64_intdigest(bytes.fromhex(state), seed=ident_hash))
