// page-main.mjs -- what the page of page.mjs runs.
import { libraries as librariesOf, works } from "./works.mjs";

const rounds = Number(new URLSearchParams(location.search).get("rounds") ?? 5);
const records = {};
for (const name of ["automerge-paper", "friendsforever"]) records[name] = await (await fetch(`/${name}.json`)).json();

const modules = {
  syncline: () => import("/syncline.js"),
  yjs: () => import("yjs"),
  async loro() {
    const loro = await import("loro-crdt/web");
    await loro.default("/loro_wasm_bg.wasm");
    return loro;
  },
};
const libraries = librariesOf(modules);
const names = Object.keys(libraries);
const best = new Map();

function note(name, row) {
  for (const [what, value] of Object.entries(row)) {
    const at = best.get(what) ?? {};
    at[name] = Math.min(at[name] ?? Infinity, value);
    best.set(what, at);
  }
  const show = (value) => (value === undefined ? "" : value >= 100 ? Math.round(value).toLocaleString() : value.toPrecision(2));
  document.querySelector("tbody").replaceChildren(...[...best].map(([what, at]) => {
    const line = document.createElement("tr");
    for (const text of [what, ...names.map((name) => show(at[name]))]) line.insertCell().textContent = text;
    return line;
  }));
}

/** Its bytes are in the browser's cache or memory already: compiling, making an instance, the first edit. */
async function startUp() {
  const bytes = await (await fetch("/syncline.wasm")).arrayBuffer();
  const { Doc } = await modules.syncline();
  const start = performance.now();
  const doc = await Doc.create({ wasm: await WebAssembly.compile(bytes) });
  doc.text().insert(0, "x");
  return { "start-up, ms": performance.now() - start };
}

const ready = {};
for (const name of names) ready[name] = await libraries[name]();
for (let round = 1; round <= rounds; round++) {
  document.querySelector("#state").textContent = `round ${round} of ${rounds}`;
  note("syncline", await startUp());
  for (const work of Object.keys(works))
    for (const name of names) {
      note(name, await works[work](ready[name], (record) => records[record]));
      await new Promise((resolve) => setTimeout(resolve, 20)); // the page stays alive
    }
}
document.querySelector("#state").textContent = "done";
window.result = Object.fromEntries(best);
