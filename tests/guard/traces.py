#!/usr/bin/env python3
"""tests/guard/traces.py DIR -- writes the histories that the guard counts on: the same ones always.

  typing   one author: words typed at a cursor that now and then moves, and is taken back
  two      two authors at once, each in a paragraph of their own, each knowing the other's
           edits only up to some time ago; so the text is certain whatever order a merge chooses
  many     two hundred authors, each one visit: an edit made beside those of nine others
"""
import gzip
import hashlib
import os
import sys

WORDS = "the of and a to in is you that it he was for on are as with his they at be this".split()


class Dice:
    """Its own generator (xorshift), so that no version of Python changes a history."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        x = self.state
        x ^= (x << 13) & (2**64 - 1)
        x ^= x >> 7
        x ^= (x << 17) & (2**64 - 1)
        self.state = x
        return (x >> 11) % n


def escaped(text):
    return "".join(c if 0x21 <= ord(c) <= 0x7E and c != "%" else f"%{ord(c):02X}" for c in text)


class Author:
    """One stretch of text, and a cursor in it."""

    def __init__(self, dice, text=""):
        self.dice, self.text, self.at, self.todo = dice, text, 0, ""

    def edit(self):
        """One keystroke: (position, deleted, inserted)."""
        if not self.todo:
            self.todo = WORDS[self.dice.below(len(WORDS))] + " "
            if self.dice.below(10) == 0:
                self.at = self.dice.below(len(self.text) + 1)
        if self.at > 0 and self.dice.below(6) == 0:
            self.at -= 1
            self.text = self.text[: self.at] + self.text[self.at + 1 :]
            return self.at, 1, ""
        typed, self.todo = self.todo[0], self.todo[1:]
        self.text = self.text[: self.at] + typed + self.text[self.at :]
        self.at += 1
        return self.at - 1, 0, typed


def write(path, kind, agents, lines, text):
    name = os.path.basename(path).split(".")[0]
    digest = hashlib.sha256(text.encode()).hexdigest()
    body = [f"#CTRACE 1\nR {name} {kind} {agents} {len(lines)}"]
    body += [f"T {agent} {parents} {pos},{gone},{escaped(new)}"
             for agent, parents, (pos, gone, new) in lines]
    body.append(f"F {len(text)} {len(text)} {digest}\n.\n")
    with gzip.GzipFile(path, "wb", 6, mtime=0) as out:
        out.write("\n".join(body).encode())


def typing(path, edits):
    author = Author(Dice(1))
    lines = [(0, "." if i else "-", author.edit()) for i in range(edits)]
    write(path, "S", 1, lines, author.text)


def two(path, edits):
    dice = Dice(2)
    left, right = Author(dice), Author(dice)
    lines = [(0, "-", (0, 0, "\n"))]
    last = [0, 0]  # txn of each author
    known = [0, 0]  # per author: the last txn of the other that its replica has
    seen = 0  # length of the left paragraph as the right author knows it
    had = [0]  # per txn: what its author had of the other
    while len(lines) < edits:
        who = dice.below(2)
        other = 1 - who
        parents = [last[who]]
        if dice.below(4) == 0 and last[other] > known[who]:
            parents = sorted([last[who], last[other]])
            if had[last[other]] >= last[who]:
                parents = [last[other]]
            known[who] = last[other]
            if who == 1:
                seen = len(left.text)
        for _ in range(1 + dice.below(12)):
            pos, gone, new = (left, right)[who].edit()
            lines.append((who, ",".join(map(str, parents)), (pos + who * (seen + 1), gone, new)))
            had.append(known[who])
            last[who] = len(lines) - 1
            parents = [last[who]]
    ends = sorted(last)
    if had[ends[1]] >= ends[0]:
        ends = ends[1:]
    lines.append((0, ",".join(map(str, ends)), (0, 0, "")))
    write(path, "C", 2, lines, left.text + "\n" + right.text)


def many(path, visits):
    """Visits come in tens that know nothing of each other; each deletes and types in its own line."""
    dice = Dice(3)
    texts = ["seed" for _ in range(10)]
    lines = [(0, "-", (0, 0, "\n".join(texts)))]
    ends = [0]
    for visit in range(visits):
        if visit % 10 == 0:
            base, parents, ends = list(texts), ",".join(map(str, ends)), []
        row = visit % 10
        before = sum(len(t) + 1 for t in base[:row])
        author = Author(dice, texts[row])
        for key in range(12):
            pos, gone, new = author.edit()
            lines.append((1 + visit, parents if key == 0 else ".", (before + pos, gone, new)))
        ends.append(len(lines) - 1)
        texts[row] = author.text
    lines.append((0, ",".join(map(str, ends)), (0, 0, "")))
    write(path, "C", visits + 1, lines, "\n".join(texts))


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    typing(os.path.join(folder, "typing.trace.gz"), 20000)
    two(os.path.join(folder, "two.trace.gz"), 10000)
    many(os.path.join(folder, "many.trace.gz"), 400)


if __name__ == "__main__":
    main()
