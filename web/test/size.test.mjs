// What a page loads, under gzip; and the engine asks for nothing but random numbers and a way to tell.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const load = (name) => readFileSync(new URL(`../dist/${name}`, import.meta.url));
const gzipped = (name) => gzipSync(load(name), { level: 9 }).length;

test("client and engine", (t) => {
  const [js, wasm] = [gzipped("syncline.js"), gzipped("syncline.wasm")];
  t.diagnostic(`syncline.js ${js}, syncline.wasm ${wasm}, together ${js + wasm} bytes`);
  assert.ok(js + wasm <= 80 * 1024);
});

test("imports", () => {
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(load("syncline.wasm")));
  assert.deepEqual(imports.map((one) => `${one.module}.${one.name}`).sort(), ["syncline.event", "syncline.random"]);
});

test("the variant with the engine inside works by itself", async () => {
  const { Doc } = await import("../dist/syncline.embedded.js");
  const doc = await Doc.create();
  doc.text().push("x");
  assert.equal(doc.text().toString(), "x");
});
