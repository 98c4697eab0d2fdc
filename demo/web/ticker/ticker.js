// ticker.js -- charts two maps of numbers.  A map event tells what shows now, key by key; however many
// ticks came in one frame of the network, each key is there once.
import { connect } from "/syncline.js";
import { $, badge, bar, documentName, el, everyFrame, fail, server } from "/common.js";

bar("ticker");
const client = connect(server(), { store: false });
const doc = await client.open(documentName("ticker")).catch(fail);
badge(doc, $("#status"));

const points = 120; // that a chart shows
const kinds = {
  prices: { map: doc.map("prices"), show: (n) => (n / 100).toFixed(2) },
  weather: { map: doc.map("weather"), show: (n) => `${(n / 10).toFixed(1)} °C` },
};
const charts = new Map(); // "prices/Anchor" -> chart
const counts = { updates: 0, draws: 0, merged: 0 };

const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

function newChart(kind, key) {
  const value = el("div", { class: "value" });
  const change = el("div", { class: "change" });
  const picture = svg("svg", { class: "chart", viewBox: "0 0 100 64", preserveAspectRatio: "none", role: "img", "aria-label": `${key}, the last ${points} updates` });
  const path = svg("path", {});
  picture.append(svg("line", { x1: 0, x2: 100, y1: 63, y2: 63 }), path);
  $(`#${kind}`).append(el("section", { class: "card" }, el("div", { class: "row spread" }, el("h2", {}, key), change), value, picture));
  return { kind, value, change, path, history: [] };
}

function chartOf(kind, key) {
  const name = `${kind}/${key}`;
  if (!charts.has(name)) charts.set(name, newChart(kind, key));
  return charts.get(name);
}

function drawChart(chart) {
  const { history } = chart;
  const now = history[history.length - 1];
  const first = history[0];
  const least = Math.min(...history);
  const span = Math.max(...history) - least || 1;
  const show = kinds[chart.kind].show;
  chart.value.textContent = show(now);
  chart.change.textContent = `${now >= first ? "+" : "-"}${show(Math.abs(now - first))}`;
  chart.change.className = `change ${now > first ? "up" : now < first ? "down" : ""}`;
  const step = 100 / (points - 1);
  const at = (n, i) => `${((points - history.length + i) * step).toFixed(2)},${(60 - ((n - least) / span) * 56).toFixed(1)}`;
  chart.path.setAttribute("d", `M${history.map(at).join("L")}`);
}

/* ---- New values, as often as this tab wants to look ---- */

const waiting = new Map(); // chart -> newest value
let every = 0;
let timer = 0;
let caughtUp = false; // until then values come from the document's past, and are no ticks

function look() {
  for (const [chart, value] of waiting) {
    if (!caughtUp) chart.history.length = 0;
    chart.history.push(value);
    if (chart.history.length > points) chart.history.shift();
    drawChart(chart);
  }
  if (doc.status === "live") caughtUp = true;
  if (waiting.size > 0) counts.draws++;
  waiting.clear();
  for (const [name, count] of Object.entries(counts)) $(`#${name}`).textContent = count.toLocaleString();
  $("#nothing").hidden = charts.size > 0;
}
const lookSoon = everyFrame(look);

function take(kind, key, value) {
  if (typeof value !== "number") return;
  const chart = chartOf(kind, key);
  if (waiting.has(chart)) counts.merged++;
  waiting.set(chart, value);
}

for (const [kind, { map }] of Object.entries(kinds)) {
  for (const key of map.keys()) take(kind, key, map.get(key));
  map.observe((event) => {
    if (kind === "prices") counts.updates++;
    for (const [key, value] of event.changes) take(kind, key, value);
    if (every === 0) lookSoon();
  });
}
look();

$("#every").addEventListener("input", () => {
  every = Number($("#every").value);
  $("#every-text").textContent = every === 0 ? "frame" : `${(every / 1000).toFixed(1)} s`;
  clearInterval(timer);
  if (every > 0) timer = setInterval(look, every);
});
