// Cursors and undo at the JavaScript edge.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Doc } from "../dist/syncline.js";

async function two() {
  const [a, b] = [await Doc.create(), await Doc.create()];
  return { a, b, sync: () => { b.import(a.export(b.vector())); a.import(b.export(a.vector())); } };
}

test("a cursor keeps its place, here and as JSON elsewhere", async () => {
  const { a, b, sync } = await two();
  a.text().push("Hello 😀 world");
  sync();
  const here = a.text().anchor(9);
  const there = b.text().anchorFrom(JSON.parse(JSON.stringify(here)));
  assert.equal(b.text().resolve(there), 9);
  b.text().insert(0, "😀😀 ");
  a.text().delete(0, 6);
  sync();
  for (const [doc, anchor] of [[a, here], [b, there]]) {
    assert.equal(doc.text().resolve(anchor), 8);
    assert.equal(doc.text().slice(doc.text().resolve(anchor)), "world");
  }
  a.text().delete(0, a.text().length);
  assert.equal(a.text().resolve(here), 0);
  assert.equal(b.text().anchorFrom({}), undefined);
  assert.equal(b.text().anchorFrom([0, "zz", 1, 2]), undefined);
  const unknown = b.text().anchorFrom([0, "00000000000000ff", 7, 1]);
  assert.equal(b.text().resolve(unknown), undefined, "what it stands on is not here");
});

test("undo takes back one's own edits, and nothing of others", async () => {
  const { a, b, sync } = await two();
  a.text().push("base ");
  const undo = a.undoManager({ interval: 0 });
  a.text().push("mine 😀");
  sync();
  b.text().insert(5, "theirs ");
  sync();
  assert.equal(a.text().toString(), "base theirs mine 😀");
  let shown = a.text().toString();
  a.text().observe((e) => { for (const s of e.splices) shown = shown.slice(0, s.index) + s.inserted + shown.slice(s.index + s.removed); });
  assert.ok(undo.canUndo && !undo.canRedo);
  assert.ok(undo.undo());
  assert.equal(a.text().toString(), "base theirs ");
  assert.equal(shown, "base theirs ");
  assert.equal(undo.undo(), false);
  assert.ok(undo.canRedo);
  assert.ok(undo.redo());
  assert.equal(a.text().toString(), "base theirs mine 😀");
  assert.equal(shown, a.text().toString());
  sync();
  assert.equal(a.digest(), b.digest());
});

test("undo of maps, lists and counters; origins; boundaries", async () => {
  const doc = await Doc.create();
  const origin = {};
  const undo = doc.undoManager({ origins: [origin] });
  const mine = (fn) => doc.transact(fn, { origin });
  mine(() => { doc.map().set("k", 1); doc.list().push("x", "y"); doc.counter("c").add(3); });
  undo.boundary();
  mine(() => doc.map().set("k", 2));
  doc.map().set("other", true); // not this one's
  undo.undo();
  assert.equal(doc.map().get("k"), 1);
  undo.undo();
  assert.equal(doc.map().get("k"), undefined);
  assert.equal(doc.map().get("other"), true);
  assert.deepEqual(doc.list().toArray(), []);
  assert.equal(doc.counter("c").value, 0);
  undo.redo();
  undo.redo();
  assert.equal(doc.map().get("k"), 2);
  assert.deepEqual(doc.list().toArray(), ["x", "y"]);
  undo.clear();
  assert.ok(!undo.canUndo && !undo.canRedo);
});

test("the selection comes back", async () => {
  const doc = await Doc.create();
  const text = doc.text();
  text.push("one two three");
  const undo = doc.undoManager({ interval: 0 });
  let selection;
  undo.on("selection", (s) => (selection = s));
  undo.select(text, 4, 7);
  text.splice(4, 3, "2");
  undo.undo();
  assert.equal(text.toString(), "one two three");
  assert.deepEqual([selection.anchor, selection.head], [4, 7]);
});

test("a transaction that throws, while undo watches", async () => {
  const doc = await Doc.create();
  const undo = doc.undoManager();
  doc.text().push("a");
  assert.throws(() => doc.transact(() => { doc.text().push("b"); throw new Error("no"); }));
  assert.equal(doc.text().toString(), "a");
  undo.undo();
  assert.equal(doc.text().toString(), "");
});
