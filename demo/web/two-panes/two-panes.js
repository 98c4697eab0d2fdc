// two-panes.js -- two clients in one page.  Each has its own engine, its own local copy and its own network;
// they meet at the server alone.
import { WebSocketTransport, bindTextarea, connect } from "/syncline.js";
import { $, badge, bar, documentName, el, fail, server } from "/common.js";
import { SlowTransport } from "./slow.js";

bar("two-panes");
const name = documentName("two-panes");
const panes = [
  { id: "left", user: { name: "Left", color: "#1d4ed8" } },
  { id: "right", user: { name: "Right", color: "#be123c" } },
];

/** CodeMirror, or a plain text area where it was not built. */
async function edit(pane) {
  try {
    const { EditorView, basicSetup, codemirror } = await import("/codemirror.bundle.js");
    pane.view = new EditorView({
      doc: pane.text.toString(),
      extensions: [basicSetup, EditorView.lineWrapping, EditorView.contentAttributes.of({ "aria-label": `Text, ${pane.user.name.toLowerCase()}` }), codemirror(pane.text, { user: pane.user })],
      parent: pane.find(".editor"),
    });
  } catch (error) {
    console.warn("without CodeMirror:", error);
    const area = el("textarea", { "aria-label": `Text, ${pane.user.name.toLowerCase()}` });
    pane.find(".editor").append(area);
    bindTextarea(pane.text, area);
  }
}

async function open(pane) {
  const root = $(`#${pane.id}`);
  root.append($("#pane").content.cloneNode(true));
  pane.find = (selector) => root.querySelector(selector);
  pane.find("h2").textContent = pane.user.name;
  pane.network = new SlowTransport(new WebSocketTransport(server()));
  pane.client = connect(server(), { transport: pane.network, store: `${location.host}-${pane.id}`, backoff: { min: 100, max: 1000 } });
  pane.doc = await pane.client.open(name);
  pane.text = pane.doc.text();
  badge(pane.doc, pane.find(".status"));
  await edit(pane);
  controls(pane);
  for (const event of ["change", "status", "unsaved", "local"]) pane.doc.on(event, showSoon);
}

function controls(pane) {
  const { network, client, find } = pane;
  find(".cut").addEventListener("change", (event) => (event.target.checked ? client.goOffline() : client.goOnline()));
  find(".delay").addEventListener("input", (event) => {
    network.delay = Number(event.target.value);
    find(".delay-text").textContent = `${network.delay} ms`;
  });
  find(".loss").addEventListener("input", (event) => {
    network.loss = Number(event.target.value) / 100;
    find(".loss-text").textContent = `${event.target.value} %`;
  });
}

/* ---- Facts ---- */

let waiting = false;
/** A digest looks at the whole document: a few times a second will do. */
function showSoon() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    show();
  }, 150);
}

function show() {
  for (const { doc, find } of panes) {
    const { count, since } = doc.unsaved;
    find(".unsaved").textContent = count === 0 ? "nothing" : `${count.toLocaleString()} since ${since?.toLocaleTimeString() ?? "now"}`;
    find(".heads").textContent = doc.heads().map((head) => `${head.peer.slice(0, 6)}:${head.seq}`).join("  ") || "none";
    find(".digest").textContent = doc.digest();
    const local = doc.local;
    find(".local").textContent = { memory: `no (${local.reason})`, stored: "yes", storing: "in a moment", failed: `no: ${local.reason}` }[local.state];
  }
  const [left, right] = panes.map(({ find }) => find(".digest").textContent + find(".heads").textContent);
  for (const { find } of panes)
    for (const what of [".heads", ".digest"]) find(what).classList.toggle("equal", left === right);
  $("#equal").className = `badge ${left === right ? "equal" : "different"}`;
  $("#equal").textContent = left === right ? "the same in both" : "not yet the same";
}

/* ---- The server, when somebody offers to kill it ---- */

async function launcher() {
  const offer = await fetch("/launcher.json").then((answer) => (answer.ok ? answer.json() : undefined)).catch(() => undefined);
  if (offer === undefined) return;
  const ask = (method, path) => fetch(offer.url + path, { method, headers: { "x-launcher": offer.token } }).then((answer) => answer.json());
  const facts = (state) => ($("#server-facts").textContent = `process ${state.pid}, killed ${state.kills} ${state.kills === 1 ? "time" : "times"}`);
  facts(await ask("GET", "/state"));
  $("#launcher").hidden = false;
  $("#kill").addEventListener("click", async () => {
    $("#kill").disabled = true;
    facts(await ask("POST", "/kill").catch(() => ({ pid: "?", kills: "?" })));
    $("#kill").disabled = false;
  });
}

try {
  await Promise.all(panes.map(open));
  show();
  await launcher();
} catch (error) {
  fail(error);
}
