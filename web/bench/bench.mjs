// bench.mjs -- this client beside yjs and loro-crdt, in Node.js: recorded sessions, one process each.
//
//     npm ci && node --expose-gc bench.mjs TRACE_DIR [times]
//
// Every number is the best of `times` runs (default 5), of memory the one in the middle; each run is a process of
// its own, the libraries by turns.
//
//   local    the single author's session, a call for each edit
//   merge    the session of two, each of its changes as bytes into a document that is shown at the end
//   load     the whole history as bytes into a new document, and its text
//   memory   what each further document of that history adds to the process's memory (resident and no file's), with
//            the first one open, all of them in one client; and by how much the WebAssembly memory became longer
//   bundle   what a page loads, minified and gzipped
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { parse } from "../test/trace.mjs";
import { changes, libraries as librariesOf, make, works } from "./works.mjs";

const DOCUMENTS = ["automerge-paper", "friendsforever"];
const FURTHER = 8;
const self = fileURLToPath(import.meta.url);

const libraries = librariesOf({
  syncline: () => import("../dist/syncline.js"),
  yjs: () => import("yjs"),
  loro: () => import("loro-crdt"),
});

const load = (dir, name) => parse(gunzipSync(readFileSync(`${dir}/${name}.trace.gz`)).toString("latin1"))[0];

/** Bytes of memory of this process that are no file's. */
function anonymous() {
  globalThis.gc();
  globalThis.gc();
  return Number(readFileSync("/proc/self/smaps_rollup", "utf8").match(/^Anonymous: +(\d+) kB$/m)[1]) * 1024;
}

/** Code that is hot is compiled meanwhile, in memory that is given back. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 300));

/** Bytes of the memories of all engines from now on, used or not: a sum that is asked for. */
function watchEngines() {
  const memories = new Set();
  const watched = { construct(target, args) {
    const instance = new target(...args);
    for (const one of Object.values(instance.exports)) if (one instanceof WebAssembly.Memory) memories.add(one);
    return instance;
  } };
  WebAssembly.Instance = new Proxy(WebAssembly.Instance, watched);
  return () => [...memories].reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
}

/** What each further document of that history adds: the first one has made the machine compile and its heaps grow. */
async function memory(name, folder, document) {
  const engines = watchEngines();
  const lib = await libraries[name]();
  const bytes = readFileSync(`${folder}/${name}-${document}`);
  const held = [];
  const client = lib.client?.();
  if (client !== undefined) lib.create = () => client.open(`${held.length}`); // as a page does: one engine for all
  const open = async () => {
    const doc = await make(lib);
    lib.apply(doc, bytes);
    if (lib.text(doc).length === 0) throw new Error("empty");
    held.push(doc);
  };
  await open();
  await settled();
  const before = [anonymous(), engines()];
  for (let i = 0; i < FURTHER; i++) await open();
  await settled();
  const row = { [`memory ${document}, KiB`]: (anonymous() - before[0]) / 1024 / FURTHER };
  if (before[1] !== 0) row[`... engines' memories ${document}, KiB`] = (engines() - before[1]) / 1024 / FURTHER;
  if (held.some((doc) => lib.text(doc).length === 0)) throw new Error("they were let go");
  await client?.close();
  return row;
}

async function child([name, work, dir, document]) {
  if (work === "memory") {
    process.stdout.write(JSON.stringify(await memory(name, dir, document)));
    return;
  }
  const lib = await libraries[name]();
  if (work === "save")
    process.stdout.write(Buffer.from(lib.all((await changes(lib, load(dir, document))).doc)));
  else
    process.stdout.write(JSON.stringify(await works[work](lib, (trace) => load(dir, trace))));
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
  const rows = new Map(); // what: of each library all values
  const note = (name, row) => {
    for (const [what, value] of Object.entries(row)) {
      if (!rows.has(what)) rows.set(what, Object.fromEntries(names.map((one) => [one, []])));
      rows.get(what)[name].push(value);
    }
  };
  const folder = mkdtempSync(`${tmpdir()}/syncline-bench-`);
  for (const document of DOCUMENTS)
    for (const name of names) writeFileSync(`${folder}/${name}-${document}`, run(name, "save", dir, document));
  for (let i = 0; i < Number(times); i++) {
    for (const work of Object.keys(works))
      for (const name of names) note(name, JSON.parse(run(name, work, dir).toString()));
    for (const document of DOCUMENTS)
      for (const name of names) note(name, JSON.parse(run(name, "memory", folder, document).toString()));
  }
  rmSync(folder, { recursive: true });
  for (const name of names) note(name, { "bundle, gzip bytes": await bundle(name) });
  const show = (what, values) => {
    if (values.length === 0) return "";
    values.sort((a, b) => a - b);
    const value = what.includes("memor") ? values[values.length >> 1] : values[0];
    return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(2);
  };
  console.log(`| | ${names.join(" | ")} |\n|---|${names.map(() => "---").join("|")}|`);
  for (const [what, row] of rows) console.log(`| ${what} | ${names.map((name) => show(what, row[name])).join(" | ")} |`);
}

if (process.argv[2] === "--one") await child(process.argv.slice(3));
else await main(process.argv.slice(2));
