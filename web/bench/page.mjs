// page.mjs -- the same works in a page, in Chromium or whatever browser is at hand.
//
//     npm ci && node page.mjs TRACE_DIR FOLDER     makes FOLDER: `syncline serve --web FOLDER`, then open it
//
// The page runs each work of each library by turns, and shows the best of five; besides, how long an engine
// takes from its bytes to the first edit.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { parse } from "../test/trace.mjs";

const [dir, folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node page.mjs TRACE_DIR FOLDER");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
const here = new URL(".", import.meta.url).pathname;
for (const name of ["automerge-paper", "friendsforever"]) {
  const [record] = parse(gunzipSync(readFileSync(`${dir}/${name}.trace.gz`)).toString("latin1"));
  writeFileSync(`${folder}/${name}.json`, JSON.stringify({ txns: record.txns }));
}
await build({
  entryPoints: [`${here}page-main.mjs`], outfile: `${folder}/page.js`, bundle: true, format: "esm", target: "es2022",
  minify: true, external: ["/syncline.js"], logLevel: "warning",
});
for (const file of ["syncline.js", "syncline.wasm"]) copyFileSync(`${here}../dist/${file}`, `${folder}/${file}`);
copyFileSync(`${here}node_modules/loro-crdt/web/loro_wasm_bg.wasm`, `${folder}/loro_wasm_bg.wasm`);
copyFileSync(`${here}page.html`, `${folder}/index.html`);
