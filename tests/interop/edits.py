"""Random edits over all containers that version 1 applies, from a seeded generator."""

import random

import changes as c

CHARACTERS = ["a", "b", "z", " ", "\n", "ä", "ß", "€", "日", "本", "\u0301", "\u200d", "😀", "👩", "𝔘", "\U0010ffff",
              "\ufeff", "\x01", '"', "\\", "/"]
KEYS = [b"a", b"b", b"title", b"", "schlüssel".encode(), "😀".encode(), b"x/y~z"]
ROOT_TEXTS = [c.ROOT_TEXT, ("root", c.TEXT, b"body")]
LISTS = [("root", c.LIST, b"items"), ("root", c.LIST, "leere Liste".encode())]
COUNTERS = [("root", c.COUNTER, b"hits")]
MAPS = [c.ROOT_MAP, ("root", c.MAP, b"meta")]


def string(rng, longest=6):
    return "".join(rng.choice(CHARACTERS) for _ in range(rng.randrange(1, longest + 1)))


def value(rng):
    return rng.choice([
        lambda: (c.STRING, string(rng).encode("utf-8")),
        lambda: (c.STRING, b""),
        lambda: (c.STRING, b"a\0b"),
        lambda: (c.NULL, None),
        lambda: (c.TRUE, None),
        lambda: (c.FALSE, None),
        lambda: (c.INT, rng.choice([0, 1, -1, 2 ** 63 - 1, -2 ** 63, rng.randrange(-999, 999)])),
        lambda: c.real(rng.choice([0.0, -0.0, 1.5, -2.0, 1e300, 5e-324, 0.1, 1e21, 123456789.0,
                                   float("nan"), float("inf")])),
        lambda: (c.BYTES, bytes(rng.randrange(256) for _ in range(rng.randrange(8)))),
    ])()


class Editor:
    """Edits one replica at random, looking only at that replica."""

    def __init__(self, replica, seed, avoid=()):
        self.replica, self.rng = replica, random.Random(seed)
        self.avoid = avoid           # containers to leave alone
        self.document = replica.document

    def known(self, kind):
        """Containers of a kind that this replica knows of, hidden ones included."""
        found = [container for container in self.document.containers if container[1] == kind]
        found += [("event", kind) + ident for ident, made in self.document.children.items()
                  if made == kind]
        return sorted(set(found) - set(self.avoid), key=repr)

    def pick(self, kind, roots):
        return self.rng.choice(roots + self.known(kind))

    def step(self):
        self.rng.choice([self.type, self.type, self.type, self.erase, self.put, self.put, self.drop,
                         self.list_insert, self.list_insert, self.list_set, self.list_delete,
                         self.count, self.nest, self.make_child, self.transaction])()

    def type(self):
        text = self.pick(c.TEXT, ROOT_TEXTS)
        self.replica.insert(text, self.rng.randint(0, self.document.length(text)),
                            string(self.rng))

    def erase(self):
        text = self.pick(c.TEXT, ROOT_TEXTS)
        length = self.document.length(text)
        if length:
            at = self.rng.randrange(length)
            self.replica.delete(text, at, self.rng.randint(1, min(4, length - at)),
                                self.rng.random() < 0.5)

    def put(self):
        self.replica.set(self.pick(c.MAP, MAPS), self.rng.choice(KEYS), value(self.rng))

    def drop(self):
        self.replica.unset(self.pick(c.MAP, MAPS), self.rng.choice(KEYS))

    def list_insert(self):
        container = self.pick(c.LIST, LISTS)
        values = [value(self.rng) for _ in range(self.rng.randint(1, 3))]
        self.replica.list_insert(
            container, self.rng.randint(0, self.document.length(container)), *values)

    def list_set(self):
        container = self.pick(c.LIST, LISTS)
        length = self.document.length(container)
        if length:
            self.replica.list_set(container, self.rng.randrange(length), value(self.rng))

    def list_delete(self):
        container = self.pick(c.LIST, LISTS)
        length = self.document.length(container)
        if length:
            self.replica.delete(container, self.rng.randrange(length), 1)

    def count(self):
        self.replica.add(self.pick(c.COUNTER, COUNTERS),
                         self.rng.choice([1, -1, 0, 100, 2 ** 62, -2 ** 63]))

    def nest(self):
        """A mergeable child that others may make at the same moment, and an edit inside it."""
        parent, kind = self.pick(c.MAP, MAPS), self.rng.randrange(4)
        if depth(parent) > 4:
            return
        key = self.rng.choice([b"sub", b"deep", b"a"])
        child = self.replica.child(parent, key, kind)
        if kind == c.TEXT:
            self.replica.insert(child, 0, string(self.rng, 3))
        elif kind == c.MAP:
            self.replica.set(child, self.rng.choice(KEYS), value(self.rng))
        elif kind == c.LIST:
            self.replica.list_insert(child, 0, value(self.rng))
        else:
            self.replica.add(child, self.rng.randint(-5, 5))

    def make_child(self):
        """A child by event, in a map or a list."""
        made = (c.CHILD, self.rng.randrange(4))
        if self.rng.random() < 0.5:
            self.replica.set(self.pick(c.MAP, MAPS), self.rng.choice(KEYS), made)
            return
        container = self.pick(c.LIST, LISTS)
        length = self.document.length(container)
        if length and self.rng.random() < 0.3:
            self.replica.list_set(container, self.rng.randrange(length), made)
        else:
            self.replica.list_insert(container, self.rng.randint(0, length), made)

    def transaction(self):
        """Several edits in one frame, across containers."""
        text, kept = self.rng.choice(ROOT_TEXTS), string(self.rng, 3)
        at = self.rng.randint(0, self.document.length(text))
        operations = [(text, c.TEXT_INSERT, at + i, char) for i, char in enumerate(kept)]
        operations += [
            (c.ROOT_MAP, c.MAP_SET, 0, (b"title", value(self.rng))),
            (text, c.DELETE, at, None),
            (COUNTERS[0], c.COUNTER_ADD, 0, 3),
            (c.ROOT_MAP, c.MAP_DELETE, 0, b"b"),
            (text, c.TEXT_INSERT, at, "#"),
            (LISTS[0], c.LIST_INSERT, 0, value(self.rng)),
            (LISTS[0], c.LIST_SET, 0, value(self.rng)),
            (None, c.NOTHING, 0, None)]
        self.replica.edit(*operations)


def depth(container):
    return 1 + depth(container[2]) if container[0] == "merge" else 1
