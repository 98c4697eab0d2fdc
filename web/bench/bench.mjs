// bench.mjs -- this client beside yjs and loro-crdt, in Node.js: recorded sessions, one process each.
//
//     npm ci && node --expose-gc bench.mjs TRACE_DIR [times]
//
// Every number is the best of `times` runs (default 5), each in a process of its own, the libraries by turns.
//
//   local    the single author's session, a call for each edit
//   merge    the session of two, each of its changes as bytes into a document that is shown at the end
//   load     the whole history as bytes into a new document, and its text
//   memory   resident memory that a document of that history adds, its engine included
//   bundle   what a page loads, minified and gzipped
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { parse } from "../test/trace.mjs";

const self = fileURLToPath(import.meta.url);

const libraries = {
  async syncline() {
    const { Doc } = await import("../dist/syncline.js");
    await Doc.create(); // compiled once for a page
    return {
      create: () => Doc.create(),
      insert: (doc, at, text) => doc.t.insert(at, text),
      remove: (doc, at, count) => doc.t.delete(at, count),
      open: (doc) => (doc.t = doc.text()),
      commit: () => undefined,
      version: (doc) => doc.vector(),
      since: (doc, version) => doc.export(version),
      apply: (doc, bytes) => doc.import(bytes),
      all: (doc) => doc.export(),
      text: (doc) => doc.t.toString(),
    };
  },
  async yjs() {
    const Y = await import("yjs");
    return {
      create: () => new Y.Doc(),
      insert: (doc, at, text) => doc.t.insert(at, text),
      remove: (doc, at, count) => doc.t.delete(at, count),
      open: (doc) => (doc.t = doc.getText("t")),
      commit: () => undefined,
      version: (doc) => Y.encodeStateVector(doc),
      since: (doc, version) => Y.encodeStateAsUpdate(doc, version),
      apply: (doc, bytes) => Y.applyUpdate(doc, bytes),
      all: (doc) => Y.encodeStateAsUpdate(doc),
      text: (doc) => doc.t.toString(),
    };
  },
  async loro() {
    const { LoroDoc } = await import("loro-crdt");
    return {
      create: () => new LoroDoc(),
      insert: (doc, at, text) => doc.t.insert(at, text),
      remove: (doc, at, count) => doc.t.delete(at, count),
      open: (doc) => (doc.t = doc.getText("t")),
      commit: (doc) => doc.commit(),
      version: (doc) => doc.version(),
      since: (doc, version) => doc.export({ mode: "update", from: version }),
      apply: (doc, bytes) => doc.import(bytes),
      all: (doc) => doc.export({ mode: "snapshot" }),
      text: (doc) => doc.t.toString(),
    };
  },
};

const load = (dir, name) => parse(gunzipSync(readFileSync(`${dir}/${name}.trace.gz`)).toString("latin1"))[0];

function edit(lib, doc, { pos, removed, text }) {
  if (removed > 0) lib.remove(doc, pos, removed);
  if (text !== "") lib.insert(doc, pos, text);
}

async function make(lib) {
  const doc = await lib.create();
  lib.open(doc);
  return doc;
}

/** Each transaction's changes, and the final document. */
async function changes(lib, record) {
  const made = [];
  const agents = [];
  const fetch = (one, parents) => {
    const lacking = [];
    for (const todo = [...parents]; todo.length !== 0;) {
      const at = todo.pop();
      if (one.has[at] !== 0) continue;
      one.has[at] = 1;
      lacking.push(at);
      todo.push(...record.txns[at].parents);
    }
    for (const at of lacking.sort((a, b) => a - b)) lib.apply(one.doc, made[at]);
  };
  for (const [at, txn] of record.txns.entries()) {
    const one = (agents[txn.agent] ??= { doc: await make(lib), has: new Uint8Array(record.txns.length) });
    fetch(one, txn.parents);
    one.has[at] = 1;
    const before = lib.version(one.doc);
    for (const patch of txn.patches) edit(lib, one.doc, patch);
    lib.commit(one.doc);
    made[at] = lib.since(one.doc, before);
  }
  fetch(agents[0], record.txns.keys());
  return { made, doc: agents[0].doc };
}

async function timed(fn) {
  const start = process.hrtime.bigint();
  const result = await fn();
  return [Number(process.hrtime.bigint() - start) / 1e6, result];
}

async function local(lib, dir, name) {
  const record = load(dir, name);
  const warm = await make(lib);
  for (let i = 0; i < 20000; i++) lib.insert(warm, 0, "x");
  lib.commit(warm);
  const doc = await make(lib);
  const [ms] = await timed(() => {
    for (const txn of record.txns) for (const patch of txn.patches) edit(lib, doc, patch);
    lib.commit(doc);
  });
  return { [`local ${name}, ms`]: ms, doc };
}

const works = {
  async local(lib, dir) {
    const row = await local(lib, dir, "automerge-paper");
    delete row.doc;
    return row;
  },
  async merge(lib, dir) {
    const { made, doc: source } = await changes(lib, load(dir, "friendsforever"));
    const doc = await make(lib);
    const [ms, text] = await timed(() => {
      for (const bytes of made) lib.apply(doc, bytes);
      return lib.text(doc);
    });
    if (text !== lib.text(source)) throw new Error("they differ");
    const all = lib.all(source);
    const [loadMs] = await timed(async () => {
      const again = await make(lib);
      lib.apply(again, all);
      if (lib.text(again) !== text) throw new Error("they differ");
    });
    return { "merge friendsforever, ms": ms, "load friendsforever, ms": loadMs, "size friendsforever, bytes": all.length };
  },
  async load(lib, dir) {
    const { doc } = await local(lib, dir, "automerge-paper");
    const all = lib.all(doc);
    const text = lib.text(doc);
    const [ms] = await timed(async () => {
      const again = await make(lib);
      lib.apply(again, all);
      if (lib.text(again) !== text) throw new Error("they differ");
    });
    return { "load automerge-paper, ms": ms, "size automerge-paper, bytes": all.length };
  },
};

/** In a process that never made the document: only loaded it. */
async function memory(lib, file) {
  const bytes = readFileSync(file);
  globalThis.gc();
  const before = process.memoryUsage().rss;
  const doc = await make(lib);
  lib.apply(doc, bytes);
  globalThis.gc();
  globalThis.gc();
  const after = process.memoryUsage().rss;
  if (lib.text(doc).length === 0) throw new Error("empty");
  return { "memory automerge-paper, KiB": Math.round((after - before) / 1024) };
}

async function child([name, work, dir]) {
  const lib = await libraries[name]();
  if (work === "save") {
    const { doc } = await local(lib, dir, "automerge-paper");
    process.stdout.write(Buffer.from(lib.all(doc)));
    return;
  }
  const row = work === "memory" ? await memory(lib, dir) : await works[work](lib, dir);
  process.stdout.write(JSON.stringify(row));
}

async function bundle(name) {
  const { build } = await import("esbuild");
  if (name === "syncline")
    return ["syncline.js", "syncline.wasm"].map((file) => readFileSync(new URL(`../dist/${file}`, import.meta.url)))
      .reduce((sum, bytes) => sum + gzipSync(bytes, { level: 9 }).length, 0);
  const dir = new URL(".", import.meta.url).pathname;
  const entry = name === "yjs" ? `export * from "yjs"` : `export * from "loro-crdt"`;
  const out = await build({ stdin: { contents: entry, resolveDir: dir }, bundle: true, minify: true, format: "esm",
    platform: "browser", write: false, logLevel: "silent", external: ["*.wasm"],
    conditions: ["browser", "import"], mainFields: ["browser", "module", "main"] });
  let size = gzipSync(out.outputFiles[0].contents, { level: 9 }).length;
  if (name === "loro") {
    const wasm = readFileSync(new URL("node_modules/loro-crdt/web/loro_wasm_bg.wasm", import.meta.url));
    if (size < 200000) size += gzipSync(wasm, { level: 9 }).length;
  }
  return size;
}

function run(...args) {
  return execFileSync(process.execPath, ["--expose-gc", self, "--one", ...args], { maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "inherit"] });
}

async function main([dir, times = "5"]) {
  const names = Object.keys(libraries);
  const best = new Map();
  const note = (name, row) => {
    for (const [what, value] of Object.entries(row)) {
      const at = best.get(what) ?? {};
      at[name] = Math.min(at[name] ?? Infinity, value);
      best.set(what, at);
    }
  };
  const folder = mkdtempSync(`${tmpdir()}/syncline-bench-`);
  for (const name of names) writeFileSync(`${folder}/${name}`, run(name, "save", dir));
  for (let i = 0; i < Number(times); i++)
    for (const work of [...Object.keys(works), "memory"])
      for (const name of names)
        note(name, JSON.parse(run(name, work, work === "memory" ? `${folder}/${name}` : dir).toString()));
  for (const name of names) note(name, { "bundle, gzip bytes": await bundle(name) });
  console.log(`| | ${names.join(" | ")} |\n|---|${names.map(() => "---").join("|")}|`);
  for (const [what, row] of best)
    console.log(`| ${what} | ${names.map((name) => row[name] >= 100 ? Math.round(row[name]).toLocaleString("en") : row[name].toPrecision(2)).join(" | ")} |`);
}

if (process.argv[2] === "--one") await child(process.argv.slice(3));
else await main(process.argv.slice(2));
