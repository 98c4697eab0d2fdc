"""A naive document: the plainest reading of PROTOCOL.md 2, 4, 5, 10, 12 and 16.

Steps are numbered in the order in which they were applied.  The history of a step - itself and all of
its ancestors - is a Python integer with one bit for each number, so "is an ancestor" is one shift.
Nothing is ever transformed: a position is looked up by walking the elements that are in the history of
the event's parents.

A document that began with a snapshot has a step number 0 that stands for everything in it.
"""

import base64
import functools
import json
import math
from dataclasses import dataclass

import xxhash

from changes import (
    BYTES, CHILD, COUNTER, COUNTER_ADD, DELETE, FALSE, FIRST_UNKNOWN_OP, INT,
    LIST, LIST_INSERT, LIST_MOVE, LIST_SET, MAP, MAP_DELETE, MAP_SET, MARK, MERGEABLE, NOTHING, NULL,
    REAL, ROOT_MAP, STRING, Step, TEXT, TEXT_INSERT, TREE, TRUE, chain_after, read_containers,
    read_values, real_number, require, rows_of, set_column, table, write_values)
from schema import Malformed, Unsupported, pb

KINDS_IN_DIGEST = 4
M64 = 2 ** 64


class Gap(Exception):
    """Not the next seq of that peer."""


class MissingParents(Exception):
    """Parents (or a container's event) that are not here."""


class Forked(Exception):
    """The id exists with other content."""


def signed(number):
    number %= M64
    return number - M64 if number >= M64 // 2 else number


def inside(history, number):
    return history >> number & 1


# ---------------------------------------------------------------------------------------------------
# Containers
# ---------------------------------------------------------------------------------------------------

class Element:
    """One element of a sequence: a node of the FugueMax tree."""

    def __init__(self, ident, number, value=None, lamport=0):
        self.ident = ident           # (peer, seq) of its insert
        self.number = number         # of the step that inserted it
        self.value = value
        self.lamport = lamport
        self.right_origin = None
        self.left, self.right = [], []
        self.deleters = []           # numbers of steps
        self.sets = []               # (lamport, peer, seq, value), LIST_SET only

    def shown(self):
        return not self.deleters

    def shown_in(self, history):
        return inside(history, self.number) and not any(
            inside(history, number) for number in self.deleters)

    def current(self):
        return max(self.sets, key=lambda write: write[:3])[3] if self.sets else self.value


class Sequence:
    """Elements of a TEXT or slots of a LIST, deleted ones included, in their order."""

    def __init__(self):
        self.start = Element(None, None)
        self.order = []

    def shown(self):
        return [element for element in self.order if element.shown()]

    def origins(self, pos, history):
        """Left and right origin of an insert at `pos` after `history`."""
        left, count = self.start, 0
        for element in self.order:
            if not inside(history, element.number):
                continue
            if count == pos:
                return left, element
            if element.shown_in(history):
                count += 1
                left = element
        require(count == pos, "position beyond the end")
        return left, None

    def at(self, pos, history):
        count = -1
        for element in self.order:
            count += element.shown_in(history)
            if count == pos:
                return element
        raise Malformed("position beyond the end")

    def insert(self, element, pos, history):
        left, right = self.origins(pos, history)
        element.right_origin = right
        if any(inside(history, child.number) for child in left.right if child.number is not None):
            require(right is not None, "no right origin where there must be one")
            self.place_left(element, right)
        else:
            self.place_right(element, left)

    def place_left(self, element, parent):
        siblings = parent.left
        siblings.append(element)
        siblings.sort(key=lambda child: child.ident)
        after = siblings.index(element) + 1
        follower = leftmost(siblings[after]) if after < len(siblings) else parent
        self.order.insert(self.order.index(follower), element)

    def place_right(self, element, parent):
        siblings = parent.right
        siblings.append(element)
        siblings.sort(key=lambda child: (-self.place(child.right_origin), child.ident))
        before = siblings.index(element) - 1
        if before >= 0:
            at = self.order.index(rightmost(siblings[before])) + 1
        else:
            at = 0 if parent is self.start else self.order.index(parent) + 1
        self.order.insert(at, element)

    def place(self, element):
        return len(self.order) if element is None else self.order.index(element)

    def load(self, elements):
        """Elements of a snapshot: each the right child of the one before.  All later events have them
        in their history, so only their order counts."""
        parent = self.order[-1] if self.order else self.start
        for element in elements:
            parent.right.append(element)
            self.order.append(element)
            parent = element


def leftmost(element):
    while element.left:
        element = element.left[0]
    return element


def rightmost(element):
    while element.right:
        element = element.right[-1]
    return element


@dataclass
class Write:
    """One write of a key."""
    lamport: int
    peer: int
    seq: int
    number: int
    value: tuple        # None: deleted

    @property
    def rank(self):
        return (self.lamport, self.peer, self.seq)


class Map:
    def __init__(self):
        self.writes = {}     # key -> the writes that no other write has among its ancestors, greatest first

    def write(self, key, write, history):
        kept = [old for old in self.writes.get(key, ()) if not inside(history, old.number)]
        self.writes[key] = sorted(kept + [write], key=lambda w: w.rank, reverse=True)

    def winner(self, key):
        writes = self.writes.get(key)
        return writes[0].value if writes else None


class Counter:
    def __init__(self):
        self.sum = 0


NEW_STATE = {TEXT: Sequence, LIST: Sequence, MAP: Map, COUNTER: Counter}


# ---------------------------------------------------------------------------------------------------
# The document
# ---------------------------------------------------------------------------------------------------

class Document:
    def __init__(self):
        self.steps = []          # None at 0 after a snapshot
        self.history = []        # per step, as bits
        self.lamport = []        # per step, of its last event
        self.numbers = {}        # id of an event -> number of its step
        self.heads = set()
        self.next = {}           # peer -> first seq that is not here
        self.chains = {}         # peer -> {seq: chain over the events below seq}
        self.containers = {}     # container -> state, those that have an event
        self.children = {}       # id of an event -> kind of the child that it made
        self.base_vector_known = True

    # --- applying

    def apply(self, step):
        """True if it was new.  Raises Forked, Gap, MissingParents, Malformed or Unsupported."""
        if step.id in self.numbers:
            if self.steps[self.numbers[step.id]] not in (None, step):
                raise Forked(step.id)
            return False
        expected = self.next.get(step.peer, 0)
        if step.seq != expected and (self.base_vector_known or step.peer in self.next):
            raise Gap(step.peer, expected)
        missing = [parent for parent in step.parents if parent not in self.numbers]
        if missing:
            raise MissingParents(missing)
        numbers = [self.numbers[parent] for parent in step.parents]
        history = functools.reduce(lambda bits, n: bits | self.history[n], numbers, 0)
        for n in numbers:
            require(not any(inside(self.history[m], n) for m in numbers if m != n),
                    "a parent is an ancestor of another")
        if step.seq and not (0 in numbers and not self.base_vector_known):
            before = self.numbers.get((step.peer, step.seq - 1))
            require(before is None and not self.base_vector_known or before is not None
                    and inside(history, before), "the peer's previous event is no ancestor")
        lamport = max((self.lamport[n] for n in numbers), default=0) + 1
        self.check_container(step.container, history)
        self.carry_out(step, len(self.steps), history, lamport)
        self.record(step, history, lamport)
        return True

    def record(self, step, history, lamport):
        number = len(self.steps)
        self.steps.append(step)
        self.history.append(history | 1 << number)
        self.lamport.append(lamport + step.count - 1)
        for i in range(step.count):
            self.numbers[(step.peer, step.seq + i)] = number
        self.heads -= set(step.parents)
        self.heads.add(step.last)
        self.next[step.peer] = step.seq + step.count
        chains = self.chains.setdefault(step.peer, {0: 0})
        if step.seq in chains:
            chains[step.seq + step.count] = chain_after(step, chains[step.seq])

    def check_container(self, container, history):
        while container and container[0] == "merge":
            container = container[2]
        if container and container[0] == "event":
            ident = container[2:4]
            number = self.numbers.get(ident)
            if number is None and not self.base_vector_known:
                return               # made below the snapshot
            if number is None or not inside(history, number):
                raise MissingParents([ident])
            if self.steps[number] is not None:
                require(self.children.get(ident) == container[1], "a container of another kind")

    def state(self, container):
        if container not in self.containers:
            make = NEW_STATE.get(container[1])
            self.containers[container] = make() if make else None
        return self.containers[container]

    def carry_out(self, step, number, history, lamport):
        kind = step.kind
        if kind == NOTHING:
            return
        if kind in (MARK, LIST_MOVE) or step.container[1] == TREE:
            raise Unsupported(kind)
        value = step.payload[1] if kind == MAP_SET else step.payload
        new = step.container not in self.containers
        state = self.state(step.container)
        if kind >= FIRST_UNKNOWN_OP or state is None:
            return
        try:
            self.change(step, state, number, history, lamport)
        except Malformed:
            if new:
                del self.containers[step.container]
            raise
        if kind in (MAP_SET, LIST_INSERT, LIST_SET) and value[0] == CHILD:
            self.children[step.id] = value[1]

    def change(self, step, state, number, history, lamport):
        kind, payload = step.kind, step.payload
        if kind in (TEXT_INSERT, LIST_INSERT):
            state.insert(Element(step.id, number, payload, lamport), step.pos, history)
        elif kind == DELETE:
            state.at(step.pos, history).deleters.append(number)
        elif kind == LIST_SET:
            state.at(step.pos, history).sets.append((lamport, step.peer, step.seq, payload))
        elif kind == MAP_SET:
            state.write(payload[0], Write(lamport, step.peer, step.seq, number, payload[1]), history)
        elif kind == MAP_DELETE:
            state.write(payload, Write(lamport, step.peer, step.seq, number, None), history)
        elif kind == COUNTER_ADD:
            state.sum += payload

    # --- editing

    def make(self, peer, container, kind, pos=0, payload=None):
        """Makes one event of `peer` after everything that is here, and applies it."""
        step = Step(peer, self.next.get(peer, 0), tuple(sorted(self.heads)), container, kind, pos,
                    payload)
        self.apply(step)
        return step

    def length(self, container):
        return len(self.containers[container].shown()) if container in self.containers else 0

    def text(self, container):
        if container not in self.containers:
            return ""
        return "".join(element.value for element in self.containers[container].shown())

    def slots(self, container):
        """The shown elements of a list."""
        return self.containers[container].shown() if container in self.containers else []

    def winner(self, container, key):
        """The value that a key of a map shows; None if it shows nothing."""
        return self.containers[container].winner(key) if container in self.containers else None

    def conflicts(self, container, key):
        """The concurrent writes of a key, winner first; None stands for a delete."""
        return [write.value for write in self.containers[container].writes.get(key, ())]

    # --- versions

    def vector(self):
        return sorted(self.next.items())

    def chain(self, peer, seq):
        return self.chains.get(peer, {0: 0}).get(seq)

    def of_peer(self, peer, seq):
        """The steps of a peer from `seq` on."""
        return [step for step in self.steps if step and step.peer == peer and step.seq >= seq]

    def beyond(self, version):
        """The steps outside a Version message, parents first; None if a head is not known."""
        if version.peer:
            held = dict(zip(version.peer, column(version.next, len(version.peer))))
            return [step for step in self.steps if step and step.seq >= held.get(step.peer, 0)]
        heads = list(zip(version.head_peer, column(version.head_seq, len(version.head_peer))))
        if any(head not in self.numbers for head in heads):
            return None
        history = 0
        for head in heads:
            history |= self.history[self.numbers[head]]
        return [step for number, step in enumerate(self.steps)
                if step and not inside(history, number)]

    # --- JSON (section 16)

    def plain(self):
        """The document as Python's values; members by bytes of the key."""
        members = self.plain_map(ROOT_MAP)
        roots = sorted((container for container in self.containers
                        if container[0] == "root" and container != ROOT_MAP),
                       key=lambda container: (container[2], -container[1]))
        for root in roots:
            members[root[2]] = self.plain_container(root)
        return {key.decode("utf-8"): members[key] for key in sorted(members)}

    def json(self):
        return json.dumps(self.plain(), ensure_ascii=False, separators=(",", ":"))

    def plain_map(self, container):
        if container not in self.containers:
            return {}
        state = self.containers[container]
        members = {}
        for key in state.writes:
            write = state.writes[key][0]
            if write.value is not None:
                members[key] = self.plain_value(write.value, (write.peer, write.seq), container, key)
        return members

    def plain_container(self, container):
        kind = container[1]
        if kind == TEXT:
            return self.text(container)
        if kind == MAP:
            members = self.plain_map(container)
            return {key.decode("utf-8"): members[key] for key in sorted(members)}
        if kind == LIST:
            return [self.plain_value(element.current(), writer(element), container, None)
                    for element in self.slots(container)]
        if kind == COUNTER:
            return signed(self.containers[container].sum) if container in self.containers else 0
        return None

    def plain_value(self, value, ident, parent, key):
        kind, data = value
        if kind == STRING:
            return data.decode("utf-8")
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind == INT:
            return data
        if kind == REAL:
            number = real_number(value)
            return number if math.isfinite(number) else None
        if kind == BYTES:
            return base64.b64encode(data).decode("ascii")
        if kind == CHILD:
            return self.plain_container(("event", data) + ident)
        if kind == MERGEABLE:
            return self.plain_container(("merge", data, parent, key))
        return None

    # --- digest (section 12)

    def digest(self):
        return sum(self.container_hash(c) for c in self.digest_containers()) % M64

    def digest_containers(self):
        return [c for c in self.containers if c[1] < KINDS_IN_DIGEST]

    def container_hash(self, container):
        state, peers = self.container_state(container)
        blob = state.SerializeToString(deterministic=True) + b"".join(
            peer.to_bytes(8, "little") for peer in peers)
        return xxhash.xxh64_intdigest(blob, seed=xxhash.xxh64_intdigest(container_id(container)))

    def container_state(self, container):
        """The canonical ContainerState, and its peers in the order of first use."""
        state, message, peers = self.containers[container], pb.ContainerState(), []
        if container[1] == TEXT:
            message.text = self.text(container).encode("utf-8")
        elif container[1] == COUNTER:
            message.counter = signed(state.sum)
        elif container[1] == MAP:
            # Left out: a key whose only write (that no other has among its ancestors) is a delete.
            rows = [(key, write) for key in sorted(state.writes) for write in state.writes[key]
                    if len(state.writes[key]) > 1 or write.value is not None]
            set_column(message.keys, [key for key, _ in rows], b"")
            set_values(message, [write.value or (NULL, None) for _, write in rows])
            set_registers(message, [(w.peer, w.seq, w.lamport) for _, w in rows], peers)
            set_column(message.reg_gone, [w.value is None for _, w in rows], False)
        else:
            elements = state.shown()
            set_values(message, [element.current() for element in elements])
            set_registers(message, [e.ident + (e.lamport,) for e in elements], peers)
            sets = [(slot,) + max(element.sets, key=lambda write: write[:3])
                    for slot, element in enumerate(elements) if element.sets]
            set_column(message.set_slot, [row[0] for row in sets])
            set_column(message.set_peer, [index_in(peers, row[2]) for row in sets])
            set_column(message.set_seq, [row[3] for row in sets])
            set_column(message.set_lamport, [row[1] for row in sets])
        return message, peers

    # --- snapshots (section 10)

    def load_snapshot(self, parts):
        """Begins with a snapshot; the document must be empty."""
        require(not self.steps, "a snapshot on top of a document")
        first = parts[0]
        require(len(first.version.head_peer) == 1, "a snapshot's version has one head")
        seqs = column(first.version.head_seq, 1)
        head = (first.version.head_peer[0], seqs[0])
        self.steps, self.history, self.lamport = [None], [1], [first.lamport]
        self.numbers, self.heads = {head: 0}, {head}
        self.next = {head[0]: head[1] + 1}
        self.base_vector_known = False
        sizes = {}
        for number, part in enumerate(parts):
            require((part.id, part.part, part.format) == (first.id, number, 0), "part of a snapshot")
            require(part.parts == len(parts), "parts of a snapshot")
            peers = list(part.peers)
            containers = read_containers(part.containers, peers)
            if not containers:
                containers = [("root", TEXT, b"")]
            for entry in part.states:
                require(entry.container < len(containers), "container of a state")
                container = containers[entry.container]
                require(entry.offset == sizes.get(container, 0), "offset of a piece")
                sizes[container] = entry.offset + self.load_state(container, entry, peers)
        require(self.digest() == first.digest, "the digest of a snapshot")

    def load_state(self, container, entry, peers):
        """One piece; gives its size."""
        state = self.state(container)
        if container[1] == TEXT:
            require(not entry.anchor_lamport, "anchors are not applied in version 1")
            text = entry.text.decode("utf-8")
            state.load([Element(None, 0, char) for char in text])
            return len(text)
        if container[1] == COUNTER:
            state.sum = entry.counter
            return 1
        rows = len(entry.reg_lamport)
        columns = table(rows, reg_peer=(entry.reg_peer, 0), reg_seq=(entry.reg_seq, 0),
                        reg_lamport=(entry.reg_lamport, 0), reg_gone=(entry.reg_gone, False))
        values = read_values(entry.values, rows)
        keys = column(entry.keys, rows, b"")
        sets = list(zip(*table(
            len(entry.set_lamport), set_slot=(entry.set_slot, 0), set_peer=(entry.set_peer, 0),
            set_seq=(entry.set_seq, 0), set_lamport=(entry.set_lamport, 0))))
        elements, was_set = [], {slot for slot, _, _, _ in sets}
        for row, (index, seq, lamport, gone) in enumerate(zip(*columns)):
            ident = (peers[index], seq)
            if values[row][0] == CHILD and entry.offset + row not in was_set:
                self.children[ident] = values[row][1]
            if container[1] == MAP:
                write = Write(lamport, ident[0], seq, 0, None if gone else values[row])
                state.writes.setdefault(keys[row], []).append(write)
            else:
                require(not gone, "nothing moves in version 1")
                elements.append(Element(ident, 0, values[row], lamport))
        if container[1] == LIST:
            for slot, index, seq, lamport in sets:
                element = elements[slot - entry.offset]
                element.sets.append((lamport, peers[index], seq, element.value))
                if element.value[0] == CHILD:
                    self.children[(peers[index], seq)] = element.value[1]
            state.load(elements)
        return rows


def column(entries, rows, default=0):
    require(len(entries) in (0, rows), "columns of unequal length")
    return list(entries) or [default] * rows


def index_in(peers, peer):
    if peer not in peers:
        peers.append(peer)
    return peers.index(peer)


def writer(element):
    """The id of the event whose value an element shows."""
    return max(element.sets, key=lambda write: write[:3])[1:3] if element.sets else element.ident


def set_values(message, values):
    columns = write_values(values)
    if columns.ByteSize():
        message.values.CopyFrom(columns)


def set_registers(message, registers, peers):
    set_column(message.reg_peer, [index_in(peers, peer) for peer, _, _ in registers])
    set_column(message.reg_seq, [seq for _, seq, _ in registers])
    set_column(message.reg_lamport, [lamport for _, _, lamport in registers])


def container_id(container):
    """The chain of containers under which a digest counts this one."""
    chain = []
    while container[0] == "merge":
        chain.insert(0, container)
        container = container[2]
    chain.insert(0, container)
    blob = b""
    for at, part in enumerate(chain):
        entry, tail = pb.Container(kind=part[1]), b""
        if part[0] == "root":
            entry.name = part[2]
        elif part[0] == "event":
            entry.seq, tail = part[3], part[2].to_bytes(8, "little")
        else:
            entry.parent, entry.key = at, part[3]
        holder = pb.Changes(containers=[entry])
        blob += holder.SerializeToString() + tail
    return blob
