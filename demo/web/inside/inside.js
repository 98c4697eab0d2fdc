// inside.js -- a document looked at from all sides: what it holds, who is there, what travels, and the
// graph of events that it is made of.  Frames and changes are decoded by syncline.proto itself.
import { WebSocketTransport, connect } from "/syncline.js";
import { $, badge, bar, documentName, el, everyFrame, fail, server } from "/common.js";
import { containerNames, decode, opsOf, readSchema, runsOf } from "./schema.js";

bar("inside");
const name = documentName("two-panes");
$("#document").value = name;

/* ---- Another document ---- */

$("#pick").addEventListener("submit", (event) => {
  event.preventDefault();
  location.search = `?doc=${encodeURIComponent($("#document").value)}`;
});
fetch("/v1/documents")
  .then((answer) => answer.json())
  .then((list) => $("#known").append(...list.slice(0, 200).map((entry) => el("option", { value: entry.name }))))
  .catch(() => undefined); // without the right to list there are no suggestions

/* ---- Frames, taken where they pass ---- */

const schema = readSchema(await (await fetch("/syncline.proto")).text());
const frames = [];

/** A transport that lets everything through and remembers it. */
class Tap {
  constructor(inner) {
    this.inner = inner;
  }
  open(events) {
    this.inner.open({
      ...events,
      opened: () => events.opened(),
      message: (bytes) => {
        seen("down", bytes);
        events.message(bytes);
      },
      writable: () => events.writable(),
      closed: (reason) => events.closed(reason),
    });
  }
  send(bytes) {
    seen("up", bytes);
    return this.inner.send(bytes);
  }
  close(reason) {
    this.inner.close(reason);
  }
}

function seen(way, bytes) {
  frames.push({ way, bytes: bytes.slice(), at: new Date() });
  if (frames.length > 200) frames.shift();
  if (!$("#hold").checked) drawFrames();
}

const printable = new TextDecoder("utf-8", { fatal: true });
function words(field, value) {
  if (Array.isArray(value)) return `\n${lines(value, 1)}`;
  if (value instanceof Uint8Array) {
    const shown = value.subarray(0, 400);
    const more = value.length > 400 ? ` ... ${value.length} bytes` : "";
    try {
      return JSON.stringify(printable.decode(shown)) + more;
    } catch {
      return [...shown.subarray(0, 40)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ") + (value.length > 40 ? ` ... ${value.length} bytes` : "");
    }
  }
  return typeof value === "object" && value !== null ? value.word : String(value);
}

function lines(fields, depth = 0) {
  const indent = "  ".repeat(depth);
  return fields
    .map((field) => {
      const shown = field.values.slice(0, 60).map((value) => words(field, value));
      const more = field.values.length > 60 ? ` ... ${field.values.length} entries` : "";
      const nested = shown[0]?.startsWith("\n");
      const text = nested ? shown.join("").replaceAll("\n", `\n${indent}`) : ` ${shown.join(" ")}${more}`;
      return `${indent}${field.number} ${field.name}:${text}`;
    })
    .join("\n");
}

const kindOf = (bytes) => {
  const fields = decode(schema, "Frame", bytes);
  return { fields, kind: fields.find((field) => field.name !== "channel")?.name ?? "?" };
};

function frameLine(frame) {
  const { kind } = kindOf(frame.bytes);
  const body = el("pre");
  return el("li", { class: frame.way },
    el("details", { toggle: (event) => event.target.open && (body.textContent = lines(decode(schema, "Frame", frame.bytes))) },
      el("summary", {}, el("span", { class: "way" }, frame.way === "up" ? "↑" : "↓"), kind,
        el("span", { class: "size" }, `${frame.bytes.length} B  ${frame.at.toLocaleTimeString()}`)),
      body));
}

const drawnFrames = new WeakMap();
const drawFrames = everyFrame(() => {
  const list = frames.toReversed().map((frame) => {
    if (!drawnFrames.has(frame)) drawnFrames.set(frame, frameLine(frame));
    return drawnFrames.get(frame);
  });
  $("#frames").replaceChildren(...list);
});

/* ---- The document ---- */

const client = connect(server(), { store: false, transport: new Tap(new WebSocketTransport(server())) });
const doc = await client.open(name).catch(fail);
badge(doc, $("#status"));

const opened = new Set(); // paths of the tree that are unfolded

function branch(key, value, path) {
  const label = el("span", { class: "key" }, key);
  const isContainer = typeof value === "object" && value !== null && "kind" in value;
  if (!isContainer || value.kind === "text" || value.kind === "counter") {
    const type = isContainer ? `${value.kind} ` : "";
    const text = isContainer ? (value.kind === "text" ? JSON.stringify(value.toString().slice(0, 2000)) : String(value.value)) : JSON.stringify(value, (_, v) => (typeof v === "bigint" ? String(v) : v));
    return el("div", { class: "leaf" }, label, ": ", el("span", { class: "type" }, type), text);
  }
  const entries = value.kind === "map" ? [...value.keys()].map((k) => [k, value.get(k)]) : value.toArray().map((v, i) => [String(i), v]);
  const details = el("details", {
    open: opened.has(path),
    toggle: (event) => event.target.open ? opened.add(path) : opened.delete(path),
  }, el("summary", {}, label, ": ", el("span", { class: "type" }, `${value.kind}, ${entries.length}`)));
  if (entries.length > 500) details.append(el("div", { class: "leaf type" }, `the first 500 of ${entries.length}`));
  details.append(...entries.slice(0, 500).map(([k, v]) => branch(k, v, `${path}/${k}`)));
  return details;
}

function drawState() {
  $("#state").replaceChildren(...doc.roots().map(({ name: root, target }) => branch(JSON.stringify(root), target, `/${target.kind}/${root}`)));
  const heads = doc.heads();
  $("#facts").textContent = `${doc.events.toLocaleString()} events, ${heads.length} ${heads.length === 1 ? "head" : "heads"}`;
}

function drawPresence() {
  const rows = [...doc.presence.others.values()].map((other) =>
    el("div", { class: "leaf" }, el("span", { class: "key" }, `session ${other.session}`), ` ${other.user}: ${JSON.stringify(other.state)}`));
  $("#presence").replaceChildren(...(rows.length > 0 ? rows : [el("p", { class: "soft" }, "nobody else said anything")]));
}

/* ---- The graph: a lane for each author, a bar for each run, a line to each parent ---- */

const shape = { lane: 22, bar: 10, left: 150, runs: 250 };
const picture = (tag, attributes, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

function drawGraph(fields) {
  const all = runsOf(fields);
  const runs = all.slice(-shape.runs);
  const lanes = [...new Set(runs.map((run) => run.name))];
  let x = shape.left;
  for (const run of runs) {
    run.x = x;
    run.width = 6 + Math.min(60, 5 * Math.log2(1 + run.len));
    run.y = 14 + lanes.indexOf(run.name) * shape.lane;
    x += run.width + 8;
  }
  const place = (parent) => runs.find((run) => run.peer === parent.peer && run.seq <= parent.seq && parent.seq < run.seq + run.len);
  const svg = picture("svg", { width: x + 20, height: lanes.length * shape.lane + 24, role: "img", "aria-label": `${all.length} runs of ${lanes.length} authors` });
  lanes.forEach((lane, i) => {
    const y = 14 + i * shape.lane;
    svg.append(picture("line", { class: "lane", x1: shape.left, x2: x, y1: y, y2: y }), picture("text", { x: 4, y: y + 4 }, lane));
  });
  for (const run of runs)
    for (const parent of run.parents.map(place)) {
      if (parent === undefined || parent === run) continue;
      const from = parent.x + parent.width;
      svg.append(picture("path", { class: "parent", d: `M${from},${parent.y} C${from + 14},${parent.y} ${run.x - 14},${run.y} ${run.x},${run.y}` }));
    }
  const heads = new Set(doc.heads().map((head) => `${head.peer}:${head.seq}`));
  for (const run of runs) {
    const head = heads.has(`${run.name}:${run.seq + run.len - 1}`);
    const bar = picture("rect", { class: head ? "run head" : "run", x: run.x, y: run.y - shape.bar / 2, width: run.width, height: shape.bar, rx: 4 });
    bar.append(picture("title", {}, `${run.name} events ${run.seq} to ${run.seq + run.len - 1}`));
    svg.append(bar);
  }
  $("#graph").replaceChildren(svg);
  $("#graph").scrollLeft = x;
  $("#graph-note").textContent = all.length > runs.length ? `the last ${runs.length} of ${all.length} runs` : `${all.length} ${all.length === 1 ? "run" : "runs"}, green: heads`;
}

function drawBytes(fields) {
  const names = containerNames(fields);
  const sums = new Map();
  for (const op of opsOf(fields)) {
    const sum = sums.get(op.container) ?? { runs: 0, events: 0, bytes: 0 };
    sums.set(op.container, { runs: sum.runs + 1, events: sum.events + op.events, bytes: sum.bytes + op.bytes });
  }
  $("#bytes").replaceChildren(...[...sums].sort((a, b) => b[1].events - a[1].events).slice(0, 50).map(([container, sum]) =>
    el("tr", {}, el("td", { class: "mono" }, names[container] ?? `container ${container}`),
      ...[sum.runs, sum.events, sum.bytes].map((n) => el("td", { class: "number" }, n.toLocaleString())))));
}

const mostEvents = 300000; // a picture of more would take seconds each time
let historyAt = -1;
function drawHistory() {
  if (doc.events === historyAt || doc.events === 0) return;
  historyAt = doc.events;
  if (doc.events > mostEvents) {
    $("#graph-note").textContent = `${doc.events.toLocaleString()} events: too many to draw`;
    return;
  }
  try {
    const fields = decode(schema, "Changes", doc.export());
    drawGraph(fields);
    drawBytes(fields);
  } catch (error) {
    $("#graph-note").textContent = error.message; // history that is not here yet
  }
}

const draw = everyFrame(() => {
  drawState();
  drawHistory();
});
doc.on("change", draw);
doc.on("status", draw);
doc.presence.on("change", drawPresence);
draw();
drawPresence();
