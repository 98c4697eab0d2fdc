"""wire.py -- a WebSocket by hand and the protocol's messages as bytes, right or wrong.

Nothing here checks anything: what is wanted is to say every wrong thing exactly.  Messages are
lists of (field number, value): an int is a varint, bytes are length-delimited, F64 eight bytes."""

import os
import socket
import struct


class F64(int):
    """fixed64"""


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def zigzag(n):
    return (n << 1) ^ (n >> 63) if n >= 0 else ((-n) << 1) - 1


def message(*fields):
    out = b""
    for number, value in fields:
        if isinstance(value, F64):
            out += varint(number << 3 | 1) + struct.pack("<Q", value)
        elif isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def packed(values):
    return b"".join(varint(v) for v in values)


def fixed(values):
    return b"".join(struct.pack("<Q", v) for v in values)


CHANGES, ACK, PRESENCE, PACKED, CREDIT, NACK, DIGEST, SNAPSHOT = range(2, 10)
OPEN, OPENED, CLOSE, CLOSED, WANT, NAMES = range(10, 16)
HELLO, WELCOME, AUTH, ACCESS, PING, PONG, ERROR = range(16, 23)

CODES = ("OK MALFORMED LIMIT VERSION UNAUTHENTICATED EXPIRED FORBIDDEN NOT_FOUND DELETED LINEAGE "
         "TRIMMED FORKED GAP PARENTS FOREIGN_PEER DAMAGED STORAGE BUSY RESYNC GOING_AWAY TOO_SLOW "
         "REJECTED").split()


def frame(channel, kind, body):
    return (message((1, channel)) if channel else b"") + message((kind, body))


def hello(version=1, features=0, token=b"", client=b"hostile", more=()):
    fields = [(1, version), (2, version), (3, features)]
    if token:
        fields.append((4, token))
    return frame(0, HELLO, message(*fields, (5, client), *more))


def open_frame(channel, name, peer=0, more=()):
    fields = [(1, name)] if name is not None else []
    if peer:
        fields.append((5, F64(peer)))
    return frame(channel, OPEN, message(*fields, *more))


def insert(channel, seq, pos, text, more=(), length=None):
    """Text into the root text, under the channel's peer."""
    body = []
    if seq:
        body.append((3, packed([seq])))
    body.extend(more)
    length = len(text) if length is None else length
    if length != 1:
        body.append((11, packed([length])))
    if pos:
        body.append((12, packed([zigzag(pos)])))
    body.append((13, text))
    return frame(channel, CHANGES, message(*body))


def fields(data):
    """[(number, value)] of a message."""
    out, at = [], 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            out.append((tag >> 3, number()))
        elif tag & 7 == 1:
            out.append((tag >> 3, data[at:at + 8]))
            at += 8
        else:
            length = number()
            out.append((tag >> 3, data[at:at + length]))
            at += length
    return out


class Closed(Exception):
    """The server ended the connection; .status is WebSocket's, or None."""

    def __init__(self, status=None):
        Exception.__init__(self, "closed %s" % status)
        self.status = status


REQUEST = ("{method} {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
           "Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n")


def request(**what):
    base = dict(method="GET", path="/", key="dGhlIHNhbXBsZSBub25jZQ==", version="13",
                protocol="syncline.v1")
    base.update(what)
    return REQUEST.format(**base).encode("latin1")


class Raw:
    """A TCP connection."""

    def __init__(self, port, receive_buffer=None, timeout=60):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.kept = b""

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.kept += data
        return bool(data)

    def take(self, count):
        while len(self.kept) < count:
            if not self.more():
                raise Closed()
        out, self.kept = self.kept[:count], self.kept[count:]
        return out

    def head(self):
        """The status line's number; 0: closed without a word."""
        while b"\r\n\r\n" not in self.kept:
            if not self.more():
                return 0
        head, self.kept = self.kept.split(b"\r\n\r\n", 1)
        return int(head.split()[1])

    def close(self):
        self.socket.close()


class Socket(Raw):
    """A WebSocket."""

    def __init__(self, port, receive_buffer=None, timeout=60):
        Raw.__init__(self, port, receive_buffer, timeout)
        self.send(request())
        status = self.head()
        assert status == 101, status

    def frame(self, opcode, data, fin=True, declared=None, masked=True):
        length = len(data) if declared is None else declared
        head = bytes([(128 if fin else 0) | opcode])
        bit = 128 if masked else 0
        if length < 126:
            head += bytes([bit | length])
        elif length < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", length)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", length)
        self.send(head + (bytes(4) if masked else b"") + data)

    def give(self, data):
        self.frame(2, data)

    def next(self):
        """The next binary message; Pings are answered."""
        while True:
            first, second = self.take(2)
            length = second & 127
            if length == 126:
                length = struct.unpack(">H", self.take(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self.take(8))[0]
            data = self.take(length)
            if first & 15 == 8:
                raise Closed(struct.unpack(">H", data[:2])[0] if len(data) >= 2 else None)
            if first & 15 == 9:
                self.frame(10, data)
            elif first & 15 == 2:
                if data[:2] == b"\xa2\x01":  # Ping: the Pong has the same body
                    self.give(b"\xaa" + data[1:])
                return data

    def until(self, *kinds):
        """The first frame of one of these kinds: (kind, its fields as a dictionary)."""
        while True:
            for number, value in fields(self.next()):
                if number in kinds:
                    return number, dict(fields(value))

    def hello(self, **what):
        self.give(hello(**what))
        kind, answer = self.until(WELCOME, ERROR)
        assert kind == WELCOME, answer
        return self

    def open(self, channel, name, peer=0, more=()):
        self.give(open_frame(channel, name, peer, more))
        kind, answer = self.until(OPENED, CLOSED)
        assert kind == OPENED, answer
        return answer

    def verdict(self):
        """What the server says to something wrong: "Error MALFORMED", "Nack GAP", "closed 1002"..."""
        names = {ERROR: ("Error", 1), CLOSED: ("Closed", 1), NACK: ("Nack", 3), ACK: ("Ack", None)}
        try:
            kind, answer = self.until(*names)
        except Closed as end:
            return "closed %s" % end.status
        word, field = names[kind]
        return word if field is None else "%s %s" % (word, CODES[answer.get(field, 0)])


def random_peer():
    return struct.unpack("<Q", os.urandom(8))[0] or 1
