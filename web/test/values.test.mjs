// Maps, lists, counters: what goes in comes out, here and elsewhere.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Counter, Doc, List, MapRef, SynclineError } from "../dist/syncline.js";

async function two() {
  const a = await Doc.create();
  const b = await Doc.create();
  return { a, b, sync: () => { b.import(a.export(b.vector())); a.import(b.export(a.vector())); } };
}

test("values of every kind", async () => {
  const { a, b, sync } = await two();
  const values = {
    text: "Grüße 😀", empty: "", zero: 0, minus: -1, big: 2n ** 62n, small: -(2n ** 63n), real: 1.5, minusZero: -0,
    huge: 1e300, nan: NaN, inf: -Infinity, yes: true, no: false, nothing: null, bytes: new Uint8Array([0, 255, 1]),
    safe: Number.MAX_SAFE_INTEGER, "": "empty key",
  };
  for (const [key, value] of Object.entries(values)) a.map("m").set(key, value);
  a.list("l").push(...Object.values(values));
  sync();
  for (const doc of [a, b]) {
    for (const [key, value] of Object.entries(values)) assert.deepEqual(doc.map("m").get(key), value, key);
    assert.deepEqual(doc.list("l").toArray(), Object.values(values));
    assert.deepEqual([...doc.map("m").keys()].sort(), Object.keys(values).sort());
    assert.equal(doc.map("m").size, Object.keys(values).length);
  }
  assert.throws(() => a.map().set("x", 2n ** 63n), SynclineError);
  assert.throws(() => a.map().set("k".repeat(2000), 1), (error) => error.code === "ELIMIT");
  assert.equal(a.map().has("x"), false);
});

test("objects become containers, and toJSON shows them", async () => {
  const { a, b, sync } = await two();
  const value = { title: "A", tags: ["x", ["y"], { z: 1 }], meta: { deep: { deeper: null } } };
  a.map().set("todo", value);
  a.map().counter("count").add(41);
  a.text("note").push("hi");
  sync();
  b.map().counter("count").add(1);
  b.map().get("todo").get("tags").delete(0);
  sync();
  value.tags.shift();
  for (const doc of [a, b]) assert.deepEqual(doc.toJSON(), { todo: value, count: 42, note: "hi" });
  assert.ok(a.map().get("todo") instanceof MapRef);
  assert.ok(a.map().get("todo").get("tags") instanceof List);
  assert.equal(a.map().get("todo"), a.map().get("todo"));
  assert.ok(a.map().get("count") instanceof Counter);
});

test("mergeable children: both made it, there is one", async () => {
  const { a, b, sync } = await two();
  a.map().text("body").push("from a");
  b.map().text("body").push("from b");
  sync();
  assert.equal(a.map().text("body").toString(), b.map().text("body").toString());
  assert.match(a.map().text("body").toString(), /from a/);
  assert.match(a.map().text("body").toString(), /from b/);
});

test("concurrent writes are shown", async () => {
  const { a, b, sync } = await two();
  a.map().set("k", "a");
  b.map().set("k", "b");
  sync();
  assert.equal(a.map().get("k"), b.map().get("k"));
  assert.deepEqual(a.map().conflicts("k").sort(), ["a", "b"]);
});

test("events of maps, lists and counters", async () => {
  const { a, b, sync } = await two();
  const heard = [];
  b.map("m").observe((e) => heard.push(["map", e.local, ...[...e.changes].map(([k, v]) => `${k}=${v}`)]));
  b.list("l").observe((e) => heard.push(["list", e.local, ...e.splices.map((s) => `${s.index}-${s.removed}+${s.inserted}`)]));
  b.counter("c").observe((e) => heard.push(["counter", e.local, e.delta]));
  a.map("m").set("k", 1);
  a.list("l").push(1, 2, 3);
  a.list("l").delete(1);
  a.list("l").set(0, "one");
  a.counter("c").add(2n);
  a.counter("c").add(3);
  sync();
  b.map("m").delete("k");
  assert.deepEqual(heard, [
    ["map", false, "k=1"],
    ["list", false, "0-0+1,2,3", "1-1+", "0-1+one"],
    ["counter", false, 5],
    ["map", true, "k=undefined"],
  ]);
});

test("doc.on('change') hears of containers that others make", async () => {
  const { a, b, sync } = await two();
  let text = "";
  b.on("change", (e) => {
    if (e.target.kind === "text") for (const s of e.splices) text = text.slice(0, s.index) + s.inserted + text.slice(s.index + s.removed);
  });
  a.map().set("o", { list: [] });
  a.map().text("t").push("😀 hello");
  sync();
  a.map().text("t").delete(2, 1);
  sync();
  assert.equal(text, "😀hello");
  assert.equal(b.map().text("t").toString(), "😀hello");
});
