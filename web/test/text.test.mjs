// Text at the JavaScript edge: UTF-16 positions, surrogates, deltas; against plain strings.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Doc, deltaOf } from "../dist/syncline.js";

const seeds = Number(process.env.SYN_SEEDS ?? 1) * 40;

function random(seed) {
  let state = seed * 2654435761 + 1;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 3266489917) | 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
}

const pieces = ["a", "bc", "é", "ü", "中文", "😀", "👩‍👩‍👧", "e\u0301", "שלום", "\ud83d", "\ude00", "\n", "x".repeat(70) + "😀"];
const whole = (text) => text.toWellFormed?.() ?? Buffer.from(text, "utf8").toString("utf8");
const pairAt = (text, at) => at > 0 && /^[\ud800-\udbff]$/.test(text[at - 1]) && /^[\udc00-\udfff]$/.test(text[at] ?? "");

test("random edits are those of a string, whatever is cut where", async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const next = random(seed);
    const doc = await Doc.create();
    const text = doc.text("t");
    let model = "";
    for (let i = 0; i < 60; i++) {
      const at = next(model.length + 2);
      if (next(3) !== 0) {
        const piece = pieces[next(pieces.length)];
        const to = Math.min(pairAt(model, at) ? at - 1 : at, model.length);
        text.insert(at, piece);
        model = model.slice(0, to) + whole(piece) + model.slice(to);
      } else {
        const count = next(6);
        const from = pairAt(model, at) && count > 0 ? at - 1 : at;
        const end = Math.min(pairAt(model, at + count) ? at + count + 1 : at + count, model.length);
        text.delete(at, count);
        if (count > 0 && end > from) model = model.slice(0, from) + model.slice(end);
      }
      assert.equal(text.length, model.length, `seed ${seed}, step ${i}`);
    }
    assert.equal(text.toString(), model, `seed ${seed}`);
    const [from, end] = [next(model.length + 1), next(model.length + 1)].sort((a, b) => a - b);
    if (!pairAt(model, from) && !pairAt(model, end)) assert.equal(text.slice(from, end), model.slice(from, end));
  }
});

function apply(text, splices) {
  for (const { index, removed, inserted } of splices) text = text.slice(0, index) + inserted + text.slice(index + removed);
  return text;
}

function applyDelta(text, delta) {
  let at = 0;
  let out = "";
  for (const op of delta) {
    if ("retain" in op) out += text.slice(at, (at += op.retain));
    else if ("delete" in op) at += op.delete;
    else out += op.insert;
  }
  return out + text.slice(at);
}

test("who observes has the text, by splices and by delta, whoever edits", async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const next = random(seed + 1000);
    const docs = [await Doc.create(), await Doc.create(), await Doc.create()];
    const seen = docs.map(() => ["", ""]);
    docs.forEach((doc, i) => {
      const text = doc.text("t");
      if (seed % 2 === 0) text.push(["", "😀", "a😀b"][i]); // watched from the middle on
      seen[i] = [text.toString(), text.toString()];
      text.observe((event) => {
        seen[i][0] = apply(seen[i][0], event.splices);
        seen[i][1] = applyDelta(seen[i][1], event.delta);
        assert.equal(event.target, text);
      });
    });
    for (let i = 0; i < 60; i++) {
      const k = next(3);
      const text = docs[k].text("t");
      if (next(4) === 0) {
        const from = docs[next(3)];
        docs[k].import(from.export(docs[k].vector()));
      } else if (next(3) === 0) {
        docs[k].transact(() => {
          text.insert(next(text.length + 1), pieces[next(pieces.length)]);
          text.delete(next(text.length + 1), next(4));
          text.insert(next(text.length + 1), "😀");
        });
      } else if (next(3) !== 0) text.insert(next(text.length + 1), pieces[next(pieces.length)]);
      else text.delete(next(text.length + 1), next(5));
      assert.equal(seen[k][0], text.toString(), `seed ${seed}, step ${i}`);
      assert.equal(seen[k][1], text.toString(), `seed ${seed}, step ${i}, delta`);
    }
    for (let round = 0; round < 2; round++)
      for (const to of docs) for (const from of docs) to.import(from.export(to.vector()));
    const digests = new Set(docs.map((doc) => doc.digest()));
    assert.equal(digests.size, 1, `seed ${seed}`);
  }
});

test("who watches at times hears of those times only, and rightly", async () => {
  const doc = await Doc.create();
  const text = doc.text();
  text.push("unwatched ");
  for (let round = 0; round < 3; round++) {
    let shown = text.toString();
    const off = text.observe((e) => { for (const s of e.splices) shown = shown.slice(0, s.index) + s.inserted + shown.slice(s.index + s.removed); });
    text.insert(4, `${round} 😀`);
    doc.transact(() => text.delete(0, 2));
    assert.equal(shown, text.toString());
    off();
    text.push("unheard");
    assert.notEqual(shown, text.toString());
  }
  const heard = [];
  doc.transact(() => { // who comes in the middle of a transaction hears from the next one on
    text.push("?");
    text.observe((e) => heard.push(e.delta));
    text.push("!");
  });
  text.insert(0, "heard");
  assert.deepEqual(heard, [[{ insert: "heard" }]]);
});

test("an observer that edits is heard by all in the order of the edits", async () => {
  const doc = await Doc.create();
  const text = doc.text();
  let shown = "";
  text.observe(() => text.length < 4 && text.insert(0, "z"));
  text.observe((event) => (shown = apply(shown, event.splices)));
  text.push("a");
  assert.equal(text.toString(), "zzza");
  assert.equal(shown, "zzza");
});

test("large strings, and back", async () => {
  const doc = await Doc.create();
  const big = "Grüße 😀 ".repeat(150000); // above any scratch area, memory grows
  doc.text().push(big);
  assert.equal(doc.text().toString(), big);
  doc.map().set("big", big.slice(0, 100000));
  assert.equal(doc.map().get("big"), big.slice(0, 100000));
});

test("a transaction that throws leaves nothing", async () => {
  const doc = await Doc.create();
  const text = doc.text();
  text.push("kept");
  let heard = 0;
  text.observe(() => heard++);
  assert.throws(() => doc.transact(() => { text.push(" gone"); throw new Error("no"); }), /no/);
  assert.equal(text.toString(), "kept");
  assert.equal(heard, 0);
  text.push("!");
  assert.equal(heard, 1);
});

test("deltaOf", () => {
  assert.deepEqual(deltaOf([{ index: 2, removed: 1, inserted: "xy" }, { index: 3, removed: 1, inserted: "" }]),
    [{ retain: 2 }, { insert: "x" }, { delete: 1 }]);
});
