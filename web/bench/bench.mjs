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
import { libraries as librariesOf, local, make, works } from "./works.mjs";

const self = fileURLToPath(import.meta.url);

const libraries = librariesOf({
  syncline: () => import("../dist/syncline.js"),
  yjs: () => import("yjs"),
  loro: () => import("loro-crdt"),
});

const load = (dir, name) => parse(gunzipSync(readFileSync(`${dir}/${name}.trace.gz`)).toString("latin1"))[0];

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
    const { doc } = await local(lib, load(dir, "automerge-paper"), "automerge-paper");
    process.stdout.write(Buffer.from(lib.all(doc)));
    return;
  }
  const row = work === "memory" ? await memory(lib, dir) : await works[work](lib, (trace) => load(dir, trace));
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
