"""A second client of the Syncline protocol, written from syncline.proto and PROTOCOL.md alone.

    Replica     a document with its peers, offline or online; survives connections
    Connection  one WebSocket: Hello, Welcome, Ping, Pong, Error, and channels by number
    Channel     one Replica on one Connection: Open, resend, live edits, acks, credit

Who receives judges: every frame of the server is parsed, encoded again and compared, and every Changes
is also put through the canonical writer; what differs is collected in Connection.complaints.
"""

import asyncio
import random
import zlib

import websockets

from changes import (
    COUNTER_ADD, DELETE, LIST_INSERT, LIST_SET, MAP_DELETE, MAP_SET, MERGEABLE, ROOT_TEXT,
    TEXT_INSERT, Tables, read_changes, read_containers, write_changes, write_named)
from document import Document, column
from schema import Malformed, pb

SUBPROTOCOL = "syncline.v1"
PACKED, NAMES, DIGEST = (
    1 << pb.FEATURE_PACKED, 1 << pb.FEATURE_NAMES, 1 << pb.FEATURE_DIGEST)
NAMES_PER_TABLE = 300        # of what we write; far below what the server takes
EVENTS_PER_FRAME = 2000
TIMEOUT = 60         # nothing here takes so long; whoever waits longer waits for ever
CONNECTIONS = []     # every one, so that a failed test can end those that it left


class Refused(Exception):
    """Closed or Error where something else was hoped for."""

    def __init__(self, message):
        super().__init__("%s %s" % (pb.Code.Name(message.code), message.detail.decode("utf-8")))
        self.code = message.code
        self.message = message


class Replica:
    """A copy of one document with the peer under which it writes now, and those of earlier starts."""

    def __init__(self, name, rng=None):
        self.name = name
        self.rng = rng or random.SystemRandom()
        self.document = Document()
        self.lineage = b""
        self.peer = self.draw_peer()
        self.old_peers = []
        self.held = set()        # ids of last events of steps that the server is known to have
        self.on_edit = None      # the channel, while there is one

    def draw_peer(self):
        return self.rng.randrange(1, 2 ** 64)

    def restart(self):
        """As if the program had been started again on its stored copy: a new peer."""
        if self.peer in self.document.next:
            self.old_peers.append(self.peer)
        self.peer = self.draw_peer()

    def server_heads(self):
        """Heads of what this copy holds from the server."""
        document = self.document
        if document.base_vector_known and len(self.held) == len(document.steps):
            return sorted(document.heads)
        numbers = {document.numbers[ident] for ident in self.held}
        if document.steps and document.steps[0] is None:
            numbers.add(0)
        covered = set()
        for number in numbers:
            step = document.steps[number]
            if step:
                covered |= {document.numbers[parent] for parent in step.parents}
        last = {number: ident for ident, number in document.numbers.items()}
        return sorted(last[number] for number in numbers - covered)

    # Edits.  Each call is one transaction: one frame, taken as a whole or not at all.

    def edit(self, *operations):
        """operations: (container, kind, pos, payload), each made after the one before."""
        steps = [self.document.make(self.peer, *operation) for operation in operations]
        if self.on_edit:
            self.on_edit(steps)
        return steps

    def insert(self, container, pos, string):
        return self.edit(*((container, TEXT_INSERT, pos + i, char)
                           for i, char in enumerate(string)))

    def delete(self, container, pos, count, backwards=False):
        at = [pos + count - 1 - i if backwards else pos for i in range(count)]
        return self.edit(*((container, DELETE, p, None) for p in at))

    def set(self, container, key, value):
        return self.edit((container, MAP_SET, 0, (key, value)))

    def unset(self, container, key):
        return self.edit((container, MAP_DELETE, 0, key))

    def list_insert(self, container, pos, *values):
        return self.edit(*((container, LIST_INSERT, pos + i, value)
                           for i, value in enumerate(values)))

    def list_set(self, container, pos, value):
        return self.edit((container, LIST_SET, pos, value))

    def add(self, container, number):
        return self.edit((container, COUNTER_ADD, 0, number))

    def child(self, parent, key, kind):
        """Get or create the mergeable child that every peer shares under (parent, key)."""
        if self.document.winner(parent, key) != (MERGEABLE, kind):
            self.set(parent, key, (MERGEABLE, kind))
        return ("merge", kind, parent, key)


class Channel:
    """One replica on one connection."""

    def __init__(self, connection, number, replica, **options):
        self.connection, self.number, self.replica = connection, number, replica
        self.options = options
        self.opened = None           # the first Opened
        self.openings = []           # all of them
        self.closed = None
        self.nacks = []
        self.acked = 0               # of the replica's peer
        self.credit = 0
        self.counted = True          # whether credit is counted in our direction
        self.queue = []              # steps that wait for Opened, for the server's events or for credit
        self.parts = []
        self.digests = []
        self.presence = []
        self.received = []           # steps in the order in which they came
        self.named = bool(connection.welcome.features & NAMES)
        self.tables_out = None       # what we named, from the first edit on: then there is a peer
        self.peers_in, self.containers_in = [], [ROOT_TEXT]   # what the server named

    def version(self, ids):
        version = pb.Version()
        version.head_peer.extend(peer for peer, _ in ids)
        if any(seq for _, seq in ids):
            version.head_seq.extend(seq for _, seq in ids)
        return version

    def vector(self):
        version = pb.Version()
        for peer, following in self.replica.document.vector():
            held = [step.seq + step.count for step in self.replica.document.of_peer(peer, 0)
                    if step.last in self.replica.held]
            if held or not self.replica.document.base_vector_known:
                version.peer.append(peer)
                version.next.append(max(held, default=following))
        return version

    async def open(self):
        replica = self.replica
        message = pb.Open(document=replica.name.encode("utf-8"), lineage=replica.lineage,
                          version=self.version(replica.server_heads()), peer=replica.peer,
                          old_peer=replica.old_peers, **self.options)
        if not message.version.ByteSize():
            message.ClearField("version")
        await self.send(open=message)
        await self.until(lambda: self.opened or self.closed)
        if not self.opened:
            raise Refused(self.closed)
        await self.caught_up()
        self.resend()
        replica.on_edit = self.edited
        return self

    async def caught_up(self):
        """Until all heads of the server's version are here."""
        await self.until(lambda: self.closed or all(
            head in self.replica.document.numbers for head in heads_of(self.opened.version)))
        if self.closed:
            raise Refused(self.closed)

    async def until(self, condition):
        await self.connection.until(condition)

    async def send(self, **body):
        await self.connection.send(self.number, **body)

    # --- writing

    def resend(self):
        """What the server lacks of our peers, by Opened alone."""
        replica, opened = self.replica, self.opened
        peers = [replica.peer] + replica.old_peers
        following = dict(zip(peers, column(opened.peer_next, len(peers))))
        chains = dict(zip(peers, column(opened.peer_chain, len(peers))))
        document = replica.document
        for peer, seq in following.items():
            known = document.chain(peer, seq) if peer in document.chains or not seq else None
            if document.base_vector_known and known != chains[peer]:
                raise AssertionError("forked: peer %x at %d" % (peer, seq))
            replica.held |= {step.last for step in document.of_peer(peer, 0) if step.seq < seq}
        self.queue += [step for step in document.steps
                       if step and step.peer in following and step.seq >= following[step.peer]]
        self.flush()

    def edited(self, steps):
        self.queue.append(None)      # a frame begins: one transaction, one frame
        self.queue += steps
        self.flush()

    def flush(self):
        """Sends what waits, as far as credit goes."""
        while self.queue and self.opened and not self.closed and (
                self.credit > 0 or not self.counted):
            if self.queue[0] is None:
                del self.queue[0]
                continue
            end = self.queue.index(None) if None in self.queue else len(self.queue)
            end = min(end, EVENTS_PER_FRAME)
            steps, self.queue = self.queue[:end], self.queue[end:]
            self.credit -= self.connection.post(self.number, changes=self.write(steps))

    def write(self, steps):
        """By number what is edited one by one, with tables what is not."""
        tables = self.tables_out = self.tables_out or Tables([self.replica.peer], [ROOT_TEXT])
        full = max(len(tables.peers), len(tables.containers)) > NAMES_PER_TABLE
        if not self.named or len(steps) > 20 or full:
            return write_changes(steps, self.replica.peer)
        message, names = write_named(steps, tables)
        if names.peers or names.containers:
            self.connection.post(self.number, names=names)
        return message

    async def acknowledged(self):
        """Until everything that this replica wrote is on the server's disk."""
        mine = [step.last for step in self.replica.document.steps
                if step and step.peer in [self.replica.peer] + self.replica.old_peers]
        await self.until(lambda: self.closed or self.nacks
                         or all(ident in self.replica.held for ident in mine))
        if self.closed:
            raise Refused(self.closed)
        if self.nacks:
            raise Refused(self.nacks[0])

    async def has(self, *replicas):
        """Until everything that the given replicas have is here."""
        wanted = [ident for other in replicas for ident in other.document.heads]
        await self.until(lambda: all(ident in self.replica.document.numbers for ident in wanted))

    async def close(self):
        self.replica.on_edit = None
        await self.send(close=pb.Close())
        await self.until(lambda: self.closed)

    # --- reading

    def take(self, kind, message, size):
        getattr(self, "take_" + kind, lambda *_: None)(message)
        if kind in ("changes", "packed", "snapshot"):
            self.connection.post(self.number, credit=pb.Credit(bytes=size))

    def take_opened(self, message):
        self.openings.append(message)
        if message.lineage:
            self.replica.lineage = message.lineage
        if self.opened is None:
            self.opened = message
            limits = self.connection.welcome.limits
            self.credit = message.window_bytes or limits.window_bytes
            self.counted = self.credit > 0
            if message.plan == pb.Opened.NEED_VECTOR:
                self.connection.post(self.number, want=pb.Want(have=self.vector()))

    def take_closed(self, message):
        self.closed = message
        if self.replica.on_edit == self.edited:
            self.replica.on_edit = None

    def take_names(self, message):
        if not self.named:
            raise Malformed("Names that were not agreed")
        peers = self.peers_in + list(message.peers)
        if 0 in peers or len(set(peers)) != len(peers):
            raise Malformed("a peer named twice")
        self.containers_in = read_containers(message.containers, peers, self.containers_in)
        self.peers_in = peers
        if len(self.peers_in) > 4096 or len(self.containers_in) > 4096:
            raise Malformed("more names than there may be")

    def take_changes(self, message):
        self.judge(message)
        for step in read_changes(message, self.peers_in, self.containers_in):
            self.received.append(step)
            self.replica.document.apply(step)
            self.replica.held.add(step.last)

    def take_snapshot(self, message):
        self.parts.append(message)
        if message.part + 1 == message.parts:
            self.replica.document.load_snapshot(self.parts)

    def take_packed(self, message):
        if message.codec:
            raise Malformed("unknown codec")
        inflater = zlib.decompressobj(-15)
        raw = inflater.decompress(message.data) + inflater.flush()
        if len(raw) != message.raw_size or inflater.unused_data or not inflater.eof:
            raise Malformed("Packed")
        if message.inside == pb.Packed.SNAPSHOT:
            self.take_snapshot(pb.Snapshot.FromString(raw))
        else:
            self.take_changes(pb.Changes.FromString(raw))

    def take_ack(self, message):
        document, nexts = self.replica.document, {}
        if message.next:
            nexts[self.replica.peer] = message.next
        nexts.update(zip(message.peer, column(message.peer_next, len(message.peer))))
        for peer, following in nexts.items():
            self.replica.held |= {step.last for step in document.of_peer(peer, 0)
                                  if step.seq < following}
        self.acked = max(self.acked, message.next)

    def take_nack(self, message):
        self.nacks.append(message)

    def take_credit(self, message):
        self.credit += message.bytes
        self.flush()

    def take_want(self, message):
        steps = self.replica.document.beyond(message.have)
        if steps is None:
            steps = self.replica.document.of_peer(self.replica.peer, 0)
        self.queue += [None] + steps
        self.flush()

    def take_digest(self, message):
        self.digests.append(message)

    def take_presence(self, message):
        self.presence.append(message)

    def judge(self, message):
        """Whether the server wrote the message in canonical form, with its table of peers."""
        bare = pb.Changes()
        bare.CopyFrom(message)
        bare.ClearField("run_time")
        bare.ClearField("author")
        steps = read_changes(bare, self.peers_in, self.containers_in)
        if bare.peers:
            canonical = write_changes(steps)
        else:                        # by number, and everything was named before
            canonical, names = write_named(steps, Tables(self.peers_in, self.containers_in))
            if names.peers or names.containers:
                self.connection.complaints.append("Changes with numbers that were not named")
        if canonical.SerializeToString() != bare.SerializeToString():
            fields = [field.name for field in pb.Changes.DESCRIPTOR.fields
                      if getattr(bare, field.name) != getattr(canonical, field.name)]
            self.connection.complaints.append("Changes not canonical: " + "; ".join(
                "%s %s instead of %s" % (name, list(getattr(bare, name)),
                                         list(getattr(canonical, name))) for name in fields))


class Connection:
    def __init__(self, url, features=PACKED | NAMES | DIGEST):
        self.url, self.features = url, features
        self.socket = None
        self.welcome = None
        self.error = None
        self.channels = {}
        self.last_channel = 0
        self.pongs = []
        self.complaints = []
        self.capture = []            # (direction, bytes) of every frame
        self.broken = None           # an exception of the reader
        self.outgoing = asyncio.Queue()
        self.changed = asyncio.Condition()
        self.tasks = []

    async def connect(self):
        CONNECTIONS.append(self)
        self.socket = await websockets.connect(
            self.url, subprotocols=[SUBPROTOCOL], compression=None, max_size=None,
            ping_interval=None)
        if self.socket.subprotocol != SUBPROTOCOL:
            raise AssertionError("no subprotocol")
        self.tasks = [asyncio.ensure_future(self.read()), asyncio.ensure_future(self.write())]
        await self.send(0, hello=pb.Hello(
            min_version=1, max_version=1, features=self.features, client=b"interop 1"))
        await self.until(lambda: self.welcome or self.error)
        if self.error:
            raise Refused(self.error)
        return self

    async def open(self, replica, **options):
        self.last_channel += 1
        channel = Channel(self, self.last_channel, replica, **options)
        self.channels[channel.number] = channel
        return await channel.open()

    def post(self, number, **body):
        """Queues a frame; gives its size."""
        data = pb.Frame(channel=number, **body).SerializeToString(deterministic=True)
        self.outgoing.put_nowait(data)
        return len(data)

    async def send(self, number, **body):
        self.post(number, **body)

    async def until(self, condition):
        async with self.changed:
            await asyncio.wait_for(
                self.changed.wait_for(lambda: self.broken or condition()), TIMEOUT)
        if self.broken and not condition():
            raise self.broken

    async def write(self):
        try:
            while True:
                data = await self.outgoing.get()
                self.capture.append(("client", data))
                await self.socket.send(data)
        except websockets.ConnectionClosed:
            pass

    async def read(self):
        """Takes frames until the socket ends."""
        try:
            while True:
                data = await self.socket.recv()
                self.capture.append(("server", data))
                self.take(data)
                async with self.changed:
                    self.changed.notify_all()
        except asyncio.CancelledError:
            raise
        except Exception as error:   # whatever it is, whoever waits must hear of it
            self.broken = error
            if not isinstance(error, websockets.ConnectionClosed):
                error.args += ("frame of the server: " + self.capture[-1][1].hex(),)
            async with self.changed:
                self.changed.notify_all()

    def take(self, data):
        if not isinstance(data, bytes):
            raise Malformed("a text message")
        frame = pb.Frame.FromString(data)
        if frame.SerializeToString(deterministic=True) != data:
            self.complaints.append("not the shortest form: " + data.hex())
        kind = frame.WhichOneof("body")
        if kind is None:
            return
        message = getattr(frame, kind)
        if kind == "ping":
            self.post(0, pong=pb.Pong(nonce=message.nonce))
        elif kind == "pong":
            self.pongs.append(message.nonce)
        elif kind == "welcome":
            self.welcome = message
        elif kind == "error":
            self.error = message
        elif frame.channel in self.channels:
            self.channels[frame.channel].take(kind, message, len(data))

    async def close(self):
        """Drains what waits, then closes the socket."""
        for channel in self.channels.values():
            if channel.replica.on_edit == channel.edited:
                channel.replica.on_edit = None
        while not self.outgoing.empty() and not self.broken:
            await asyncio.sleep(0.01)
        await self.socket.close()
        self.end()

    def end(self):
        for task in self.tasks:
            task.cancel()


async def end_all():
    """Ends what a test left open."""
    for connection in CONNECTIONS:
        connection.end()
        if connection.socket:
            connection.tasks.append(asyncio.ensure_future(connection.socket.close()))
    tasks = [task for connection in CONNECTIONS for task in connection.tasks]
    await asyncio.gather(*tasks, return_exceptions=True)
    CONNECTIONS.clear()


def heads_of(version):
    return list(zip(version.head_peer, column(version.head_seq, len(version.head_peer))))


async def connect(url, **options):
    return await Connection(url, **options).connect()
