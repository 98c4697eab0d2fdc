"""Changes messages to steps and back, and the hash chain over steps (PROTOCOL.md 3, 6, 7).

A *step* is what can not be cut: one event, or the two events of a mark, or all events of an op run of
a kind that this program does not know.  A step has absolute positions and explicit parents, so that it
means the same wherever it stands; runs, columns and carets exist only in the message.

A *container* is a tuple, equal exactly if it names the same container:
    ("root", kind, name)   ("event", kind, peer, seq)   ("merge", kind, parent container, key)
A *value* is (ValueKind, data): bytes of a string, an int, the 64 bits of a double, or None.
"""

import struct
from dataclasses import dataclass, replace

import xxhash

from schema import Malformed, pb

TEXT, MAP, LIST, COUNTER, TREE = range(5)
ROOT_TEXT = ("root", TEXT, b"")
ROOT_MAP = ("root", MAP, b"")

(TEXT_INSERT, DELETE, DELETE_BACK, MARK, MAP_SET, MAP_DELETE, LIST_INSERT, LIST_SET, LIST_MOVE,
 COUNTER_ADD, TREE_CREATE, TREE_MOVE, TREE_DELETE, NOTHING) = range(14)
FIRST_UNKNOWN_OP = 32

STRING, NULL, FALSE, TRUE, INT, REAL, BYTES, CHILD, MERGEABLE = range(9)
FIRST_UNKNOWN_VALUE = 16
FIRST_UNKNOWN_CONTAINER = 16

WITH_POSITION = {TEXT_INSERT, DELETE, DELETE_BACK, MARK, LIST_INSERT, LIST_SET, LIST_MOVE}
WITH_ARGUMENT = {MARK, LIST_MOVE}

# Which op kinds a container kind takes; NOTHING and unknown op kinds go anywhere.
ALLOWED = {
    TEXT: {TEXT_INSERT, DELETE, DELETE_BACK, MARK},
    MAP: {MAP_SET, MAP_DELETE},
    LIST: {DELETE, DELETE_BACK, LIST_INSERT, LIST_SET, LIST_MOVE},
    COUNTER: {COUNTER_ADD},
    TREE: {TREE_CREATE, TREE_MOVE, TREE_DELETE},
}

ONE_REAL = struct.Struct("<d")
REAL_BITS = struct.Struct("<Q")
LIMIT = 2 ** 31


def real(number):
    """The value of a double; every NaN is the one that the protocol allows."""
    if number != number:
        return (REAL, 0x7FF8000000000000)
    return (REAL, REAL_BITS.unpack(ONE_REAL.pack(number))[0])


def real_number(value):
    return ONE_REAL.unpack(REAL_BITS.pack(value[1]))[0]


@dataclass(frozen=True)
class Step:
    peer: int
    seq: int
    parents: tuple          # ids (peer, seq) of the first event, ordered
    container: tuple        # None with NOTHING, which has none by content
    kind: int               # never DELETE_BACK: by content it is DELETE
    pos: int = 0
    payload: object = None  # what the kind takes from the queues, see take_payload
    arg: int = 0            # op_arg
    length: int = 1         # MARK: op_len, the entities marked
    count: int = 1          # events

    @property
    def id(self):
        return (self.peer, self.seq)

    @property
    def last(self):
        return (self.peer, self.seq + self.count - 1)


# ---------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------

def require(condition, why):
    if not condition:
        raise Malformed(why)


class Queue:
    """A column read from front to back; an absent one is as many defaults as are asked for."""

    def __init__(self, name, entries, default):
        self.name, self.entries, self.default, self.at = name, entries, default, 0

    def take(self):
        if not self.entries:
            return self.default
        require(self.at < len(self.entries), self.name + " is too short")
        self.at += 1
        return self.entries[self.at - 1]

    def finish(self):
        require(self.at == len(self.entries), self.name + " is not used up")


def table(rows, **columns):
    """The columns of a table, each with `rows` entries."""
    full = []
    for name, (entries, default) in columns.items():
        require(len(entries) in (0, rows), name + " has another length than its table")
        full.append(list(entries) if entries else [default] * rows)
    return full


def rows_of(*columns):
    return next((len(column) for column in columns if len(column)), 1)


def read_containers(entries, peers, before=()):
    """`before`: the channel's, when Names adds to them."""
    containers = list(before)
    for entry in entries:
        require(entry.kind < 5 or entry.kind >= FIRST_UNKNOWN_CONTAINER, "reserved container kind")
        require(not (entry.peer and entry.parent), "a container of two forms")
        for label, size in ((entry.name, 255), (entry.key, 1024)):
            require(len(label) <= size and b"\0" not in label, "a name or key out of bounds")
            utf8(label)
        if entry.peer:
            require(not entry.name and not entry.key, "a container of two forms")
            require(entry.peer <= len(peers), "peer index of a container")
            containers.append(("event", entry.kind, peers[entry.peer - 1], entry.seq))
        elif entry.parent:
            require(not entry.name and not entry.seq, "a container of two forms")
            require(entry.parent <= len(containers), "a container's parent comes later")
            parent = containers[entry.parent - 1]
            require(parent[1] == MAP, "a mergeable child of what is no map")
            containers.append(("merge", entry.kind, parent, entry.key))
        else:
            require(not entry.seq and not entry.key, "a container of two forms")
            containers.append(("root", entry.kind, entry.name))
    require(len(set(containers)) == len(containers), "a container twice")
    return containers


def utf8(blob):
    try:
        return blob.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8") from error


def take_value(kind, blobs, ints, reals):
    if kind == STRING:
        blob = blobs.take()
        utf8(blob)
        return (STRING, blob)
    if kind in (NULL, FALSE, TRUE):
        return (kind, None)
    if kind in (INT, CHILD, MERGEABLE):
        return (kind, ints.take())
    if kind == REAL:
        return real(reals.take())
    require(kind == BYTES or kind >= FIRST_UNKNOWN_VALUE, "reserved value kind")
    return (kind, blobs.take())


def read_values(message, rows):
    """Values of a snapshot: `rows` of them."""
    kinds = Queue("kinds", message.kinds, STRING)
    blobs = Queue("blobs", message.blobs, b"")
    ints = Queue("ints", message.ints, 0)
    reals = Queue("reals", message.reals, 0.0)
    values = [take_value(kinds.take(), blobs, ints, reals) for _ in range(rows)]
    for queue in (kinds, blobs, ints, reals):
        queue.finish()
    return values


def read_graph(message, peers, events):
    """One (peer, seq, parents, starts a run) for each event."""
    rows = rows_of(message.run_peer, message.run_seq, message.run_len, message.run_deps)
    run_peer, run_seq, run_deps = table(
        rows, run_peer=(message.run_peer, 0), run_seq=(message.run_seq, 0),
        run_deps=(message.run_deps, 0))
    require(message.run_len or rows == 1, "run_len is missing")
    run_len = list(message.run_len) or [events]
    require(len(run_len) == rows and 0 not in run_len, "run_len")
    require(sum(run_len) == events, "runs and operations are not the same events")
    dep_peer = Queue("dep_peer", message.dep_peer, 0)
    dep_seq = Queue("dep_seq", message.dep_seq, 0)
    end, named, graph = {}, {}, []
    for index, delta, length, deps in zip(run_peer, run_seq, run_len, run_deps):
        require(index < len(peers), "peer index of a run")
        peer = peers[index]
        seq = end.get(peer, 0) + delta
        require(seq + length <= LIMIT, "seq out of bounds")
        parents = []
        for _ in range(deps):
            at = dep_peer.take()
            require(at < len(peers), "peer index of a parent")
            parent = (peers[at], named.get(peers[at], 0) + dep_seq.take())
            require(0 <= parent[1] < LIMIT, "seq of a parent out of bounds")
            named[peers[at]] = parent[1]
            parents.append(parent)
        if not deps and seq:
            parents = [(peer, seq - 1)]
        require(all(a < b for a, b in zip(parents, parents[1:])), "parents out of order")
        end[peer], named[peer] = seq + length, seq + length - 1
        graph.append((peer, seq, tuple(parents), True))
        graph += [(peer, seq + i, ((peer, seq + i - 1),), False) for i in range(1, length)]
    dep_peer.finish()
    dep_seq.finish()
    return graph


class Operands:
    """The queues of a Changes message."""

    def __init__(self, message, peers):
        self.peers = peers
        self.text = Queue("text", utf8(message.text), None)
        self.keys = Queue("keys", message.keys, b"")
        self.kinds = Queue("val_kind", message.val_kind, STRING)
        self.blobs = Queue("val_blob", message.val_blob, b"")
        self.ints = Queue("val_int", message.val_int, 0)
        self.reals = Queue("val_real", message.val_real, 0.0)
        self.id_peer = Queue("id_peer", message.id_peer, 0)
        self.id_seq = Queue("id_seq", message.id_seq, 0)
        self.ext = Queue("ext", message.ext, b"")

    def finish(self):
        for queue in vars(self).values():
            if isinstance(queue, Queue):
                queue.finish()

    def key(self):
        key = self.keys.take()
        require(len(key) <= 1024 and b"\0" not in key, "key")
        utf8(key)
        return key

    def value(self):
        return take_value(self.kinds.take(), self.blobs, self.ints, self.reals)

    def node(self):
        index, seq = self.id_peer.take(), self.id_seq.take()
        require(index <= len(self.peers) and (index or not seq), "id of a node")
        return (self.peers[index - 1], seq) if index else None

    def payload(self, kind):
        if kind == TEXT_INSERT:
            char = self.text.take()
            require(char is not None, "text is too short")
            return char
        if kind in (MARK, MAP_SET):
            return (self.key(), self.value())
        if kind == MAP_DELETE:
            return self.key()
        if kind in (LIST_INSERT, LIST_SET):
            return self.value()
        if kind == COUNTER_ADD:
            return self.ints.take()
        if kind == TREE_CREATE:
            return (self.node(), self.keys.take())
        if kind == TREE_MOVE:
            return (self.node(), self.node(), self.keys.take())
        if kind == TREE_DELETE:
            return self.node()
        if kind >= FIRST_UNKNOWN_OP:
            return self.ext.take()
        return None


def caret_after(kind, pos, length, arg):
    """Where an op run leaves the caret (the table of section 3.1)."""
    if kind in (TEXT_INSERT, LIST_INSERT):
        return pos + length
    if kind == DELETE_BACK:
        return pos - length + 1
    if kind == LIST_MOVE:
        return arg
    return pos


def event_position(kind, pos, index):
    if kind in (TEXT_INSERT, LIST_INSERT, LIST_SET):
        return pos + index
    if kind == DELETE_BACK:
        return pos - index
    return pos


def read_changes(message, peers=(), containers=(ROOT_TEXT,)):
    """The steps of a message.  `peers` and `containers` are used where it brings no table."""
    require(not len(message.UnknownFields()), "an unknown field inside Changes")
    require(message.format == 0, "unknown format")
    peers = list(message.peers) or list(peers)
    require(0 not in peers and len(set(peers)) == len(peers), "table of peers")
    if message.containers:
        containers = read_containers(message.containers, peers)
    rows = rows_of(message.op_container, message.op_kind, message.op_len, message.op_pos,
                   message.op_arg)
    runs = list(zip(*table(
        rows, op_container=(message.op_container, 0), op_kind=(message.op_kind, TEXT_INSERT),
        op_len=(message.op_len, 1), op_pos=(message.op_pos, 0), op_arg=(message.op_arg, 0))))
    events = sum(2 if kind == MARK else length for _, kind, length, _, _ in runs)
    graph = read_graph(message, peers, events)
    operands = Operands(message, peers)
    steps, at, caret = [], 0, None
    for index, kind, length, delta, arg in runs:
        require(index < len(containers), "container index of an op run")
        require(length > 0, "op_len 0")
        container = containers[index]
        check_kind(kind, container, length, arg)
        pos = 0
        if kind in WITH_POSITION:
            pos = delta + (caret[1] if caret and caret[0] == index else 0)
            caret = (index, caret_after(kind, pos, length, arg))
            lowest = caret[1] if kind == DELETE_BACK else pos
            require(lowest >= 0 and pos + length <= LIMIT, "position out of bounds")
        else:
            require(delta == 0, "a position with a kind that has none")
        for step in read_op_run(kind, container, length, pos, arg, graph[at:], operands):
            steps.append(step)
            at += step.count
    operands.finish()
    return steps


def check_kind(kind, container, length, arg):
    require(kind <= NOTHING or kind >= FIRST_UNKNOWN_OP, "reserved op kind")
    if kind < NOTHING and container[1] < FIRST_UNKNOWN_CONTAINER:
        require(kind in ALLOWED[container[1]], "op kind in a container of another kind")
    require(kind != LIST_MOVE or length == 1, "op_len of a move")
    require(kind in WITH_ARGUMENT or arg == 0, "op_arg with a kind that has none")


def read_op_run(kind, container, length, pos, arg, graph, operands):
    """The steps of one op run over the events at the front of `graph`."""
    whole = kind == MARK or kind >= FIRST_UNKNOWN_OP
    if whole:
        count = 2 if kind == MARK else length
        require(not any(first for _, _, _, first in graph[1:count]), "a cut through a step")
        peer, seq, parents, _ = graph[0]
        return [Step(peer, seq, parents, container, kind, pos, operands.payload(kind), arg,
                     length if kind == MARK else 1, count)]
    steps = []
    for i in range(length):
        peer, seq, parents, _ = graph[i]
        payload = operands.payload(kind)
        value = payload[1] if kind == MAP_SET else payload if kind in (LIST_INSERT, LIST_SET) else None
        if value:
            require(value[0] != MERGEABLE or kind == MAP_SET, "a mergeable child in a list")
            require(value[0] not in (CHILD, MERGEABLE) or value[1] in range(5)
                    or value[1] >= FIRST_UNKNOWN_CONTAINER, "kind of a child")
        steps.append(Step(
            peer, seq, parents, None if kind == NOTHING else container,
            DELETE if kind == DELETE_BACK else kind, event_position(kind, pos, i), payload, arg))
    return steps


# ---------------------------------------------------------------------------------------------------
# Writing, in canonical form (section 6)
# ---------------------------------------------------------------------------------------------------

class Tables:
    """Peers and containers in the order of first use, behind those that have a number already."""

    def __init__(self, peers=(), containers=()):
        self.peers, self.containers, self.entries = list(peers), list(containers), []

    def peer(self, peer):
        if peer not in self.peers:
            self.peers.append(peer)
        return self.peers.index(peer)

    def container(self, container):
        if container in self.containers:
            return self.containers.index(container)
        entry = pb.Container(kind=container[1])
        if container[0] == "root":
            entry.name = container[2]
        elif container[0] == "event":
            entry.peer, entry.seq = 1 + self.peer(container[2]), container[3]
        else:
            entry.parent, entry.key = 1 + self.container(container[2]), container[3]
        self.containers.append(container)
        self.entries.append(entry)
        return len(self.containers) - 1


def set_column(field, entries, default=0):
    """Left out exactly when all its entries are the default."""
    if any(entry != default for entry in entries):
        field.extend(entries)


def set_reals(field, bits):
    """Bits, not numbers, decide: -0.0 is no default."""
    if any(bits):
        field.extend(ONE_REAL.unpack(REAL_BITS.pack(b))[0] for b in bits)


def split_values(values):
    """Values as columns: kinds, blobs, ints, bits of reals."""
    kinds, blobs, ints, reals = [], [], [], []
    for kind, data in values:
        kinds.append(kind)
        if kind in (STRING, BYTES) or kind >= FIRST_UNKNOWN_VALUE:
            blobs.append(data)
        elif kind in (INT, CHILD, MERGEABLE):
            ints.append(data)
        elif kind == REAL:
            reals.append(data)
    return kinds, blobs, ints, reals


def write_values(values):
    message = pb.Values()
    kinds, blobs, ints, reals = split_values(values)
    set_column(message.kinds, kinds)
    set_column(message.blobs, blobs, b"")
    set_column(message.ints, ints)
    set_reals(message.reals, reals)
    return message


def graph_runs(steps):
    """Steps cut into runs: each a list of steps, each step the only child of the one before."""
    runs = []
    for step in steps:
        if runs:
            before = runs[-1][-1].last
            if step.peer == before[0] and step.seq == before[1] + 1 and step.parents == (before,):
                runs[-1].append(step)
                continue
        runs.append([step])
    return runs


def write_graph(message, steps, tables):
    columns = {name: [] for name in ("run_peer", "run_seq", "run_len", "run_deps", "dep_peer",
                                     "dep_seq")}
    end, named = {}, {}
    for run in graph_runs(steps):
        first, last = run[0], run[-1].last
        columns["run_peer"].append(tables.peer(first.peer))
        columns["run_seq"].append(first.seq - end.get(first.peer, 0))
        columns["run_len"].append(last[1] - first.seq + 1)
        implied = ((first.peer, first.seq - 1),) if first.seq else ()
        parents = () if first.parents == implied else first.parents
        columns["run_deps"].append(len(parents))
        for peer, seq in parents:
            columns["dep_peer"].append(tables.peer(peer))
            columns["dep_seq"].append(seq - named.get(peer, 0))
            named[peer] = seq
        end[first.peer], named[first.peer] = last[1] + 1, last[1]
    if len(columns["run_len"]) == 1:
        del columns["run_len"]
    else:
        message.run_len.extend(columns.pop("run_len"))
    for name, entries in columns.items():
        set_column(getattr(message, name), entries)


class OpRun:
    """An op run as it grows: its kind is settled last, since DELETE may turn into DELETE_BACK."""

    def __init__(self, step):
        self.first, self.last, self.length, self.back = step, step, 1, None

    def join(self, step):
        kind = self.first.kind
        if (step.kind, step.container) != (kind, self.first.container):
            return False
        if kind in (MARK, LIST_MOVE) or kind >= FIRST_UNKNOWN_OP:
            return False
        moved = step.pos - self.last.pos
        if kind == DELETE:
            if moved not in (0, -1) or self.back not in (None, moved == -1):
                return False
            self.back = moved == -1
        elif moved != (1 if kind in (TEXT_INSERT, LIST_INSERT, LIST_SET) else 0):
            return False
        self.last = step
        self.length += 1
        return True

    def op_len(self):
        if self.first.kind == MARK:
            return self.first.length
        return self.first.count if self.first.kind >= FIRST_UNKNOWN_OP else self.length


def op_runs(steps):
    runs = []
    for step in steps:
        if not runs or not runs[-1].join(step):
            runs.append(OpRun(step))
    return runs


def write_operations(message, steps, tables):
    columns = {name: [] for name in ("op_container", "op_kind", "op_pos", "op_arg")}
    lengths, caret = [], None
    for run in op_runs(steps):
        first, kind = run.first, run.first.kind
        index = 0 if first.container is None else tables.container(first.container)
        here = caret[1] if caret and caret[0] == index else None
        if kind == DELETE and (run.back or run.back is None and here == first.pos + 1):
            kind = DELETE_BACK
        columns["op_container"].append(index)
        columns["op_kind"].append(kind)
        columns["op_pos"].append(first.pos - (here or 0) if kind in WITH_POSITION else 0)
        columns["op_arg"].append(first.arg)
        lengths.append(run.op_len())
        if kind in WITH_POSITION:
            caret = (index, caret_after(kind, first.pos, run.op_len(), first.arg))
    for name, entries in columns.items():
        set_column(getattr(message, name), entries)
    set_column(message.op_len, lengths, 1)


def write_operands(message, steps, tables):
    text, keys, values, ext, nodes = [], [], [], [], []
    ints_in_order = []      # COUNTER_ADD takes val_int between those of values

    def value(entry):
        values.append(entry)
        if entry[0] in (INT, CHILD, MERGEABLE):
            ints_in_order.append(entry[1])

    for step in steps:
        kind, payload = step.kind, step.payload
        if kind == TEXT_INSERT:
            text.append(payload)
        elif kind in (MARK, MAP_SET):
            keys.append(payload[0])
            value(payload[1])
        elif kind == MAP_DELETE:
            keys.append(payload)
        elif kind in (LIST_INSERT, LIST_SET):
            value(payload)
        elif kind == COUNTER_ADD:
            ints_in_order.append(payload)
        elif kind in (TREE_CREATE, TREE_MOVE):
            nodes += payload[:-1]
            keys.append(payload[-1])
        elif kind == TREE_DELETE:
            nodes.append(payload)
        elif kind >= FIRST_UNKNOWN_OP:
            ext.append(payload)
    kinds, blobs, _, reals = split_values(values)
    message.text = "".join(text).encode("utf-8")
    set_column(message.keys, keys, b"")
    set_column(message.val_blob, blobs, b"")
    set_column(message.val_kind, kinds)
    set_column(message.val_int, ints_in_order)
    set_reals(message.val_real, reals)
    set_column(message.id_peer, [1 + tables.peer(node[0]) if node else 0 for node in nodes])
    set_column(message.id_seq, [node[1] if node else 0 for node in nodes])
    set_column(message.ext, ext, b"")


def write_named(steps, tables):
    """The message by the channel's tables, to which what is new is added, and Names that say it."""
    message, peers, entries = pb.Changes(), len(tables.peers), len(tables.entries)
    write_graph(message, steps, tables)
    write_operations(message, steps, tables)
    write_operands(message, steps, tables)
    names = pb.Names(peers=tables.peers[peers:], containers=tables.entries[entries:])
    return message, names


def write_changes(steps, channel_peer=None):
    """The canonical message.  With `channel_peer`, a table of just that peer is left out."""
    message, tables = pb.Changes(), Tables()
    write_graph(message, steps, tables)
    write_operations(message, steps, tables)
    write_operands(message, steps, tables)
    if tables.peers != [channel_peer]:
        message.peers.extend(tables.peers)
    if tables.containers != [ROOT_TEXT]:
        message.containers.extend(tables.entries)
    return message


def step_bytes(step):
    """B of the hash chain: the step alone, with explicit tables."""
    return write_changes([step]).SerializeToString(deterministic=True)


def chain_after(step, chain):
    return xxhash.xxh64_intdigest(step_bytes(step), seed=chain)


def rename(step, **changes):
    return replace(step, **changes)
