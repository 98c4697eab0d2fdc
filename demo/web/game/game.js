// game.js -- a shared board.
//
//     presence           where each player stands; gone when he is
//     map "cells"        "x,y" -> player: the last to enter owns it, the same one for everybody
//     map "players"      player -> { name, colour }
//     map "captured"     player -> counter: counts every capture, also those made at the same moment
import { connect } from "/syncline.js";
import { $, badge, bar, documentName, el, everyFrame, fail, me, server } from "/common.js";

bar("game");
const size = 16;
const who = me();
const client = connect(server());
const doc = await client.open(documentName("game")).catch(fail);
badge(doc, $("#status"));
const cells = doc.map("cells");
const players = doc.map("players");
const captured = doc.map("captured");

/* A player is a tab: a name that nobody else draws. */
const kept = sessionStorage.getItem("syncline-demo-player");
const player = kept ?? Math.random().toString(36).slice(2, 10);
sessionStorage.setItem("syncline-demo-player", player);
const place = { x: Math.floor(Math.random() * size), y: Math.floor(Math.random() * size) };

/* The board comes last: who has the focus on it is heard. */
const board = el("div", { id: "board", class: "board", tabindex: 0, role: "application", "aria-label": "Board: walk with the arrow keys" });
const squares = [];
for (let y = 0; y < size; y++)
  for (let x = 0; x < size; x++) squares.push(board.appendChild(el("div", { class: "cell", click: () => towards(x, y) })));
const squareAt = (x, y) => squares[y * size + x];

/* ---- Moves ---- */

function enter(x, y) {
  place.x = Math.max(0, Math.min(size - 1, x));
  place.y = Math.max(0, Math.min(size - 1, y));
  doc.presence.set({ player, ...who, ...place });
  const cell = `${place.x},${place.y}`;
  if (cells.get(cell) !== player)
    doc.transact(() => {
      if (!players.has(player)) players.set(player, { ...who });
      cells.set(cell, player);
      captured.counter(player).add(1);
    });
  draw();
}

function towards(x, y) {
  const dx = x - place.x;
  const dy = y - place.y;
  if (Math.abs(dx) >= Math.abs(dy)) enter(place.x + Math.sign(dx), place.y);
  else enter(place.x, place.y + Math.sign(dy));
}

const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], a: [-1, 0], d: [1, 0], w: [0, -1], s: [0, 1] };
board.addEventListener("keydown", (event) => {
  const step = steps[event.key];
  if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  enter(place.x + step[0], place.y + step[1]);
});

$("#clear").addEventListener("click", () => {
  doc.transact(() => {
    for (const cell of [...cells.keys()]) cells.delete(cell);
  });
  board.focus();
});

/* ---- The picture ---- */

function colourOf(id) {
  return id === player ? who.colour : (players.get(id)?.get?.("colour") ?? "var(--line)");
}

function drawScore(holds) {
  const rows = [...players.keys()]
    .filter((id) => players.get(id)?.kind === "map") // anybody may write anything into this document
    .map((id) => ({ id, name: players.get(id).get("name"), captured: captured.get(id)?.value ?? 0, holds: holds.get(id) ?? 0 }))
    .sort((a, b) => b.holds - a.holds || b.captured - a.captured)
    .slice(0, 12);
  $("#score").replaceChildren(
    ...rows.map((row) => {
      const dot = el("span", { class: "dot" });
      dot.style.background = colourOf(row.id);
      return el("tr", {}, el("td", {}, dot, row.name + (row.id === player ? " (you)" : "")),
        el("td", { class: "number" }, String(row.captured)), el("td", { class: "number" }, String(row.holds)));
    }));
}

function drawPieces() {
  for (const piece of document.querySelectorAll(".piece")) piece.remove();
  const others = [...doc.presence.others.values()].map((other) => other.state).filter((state) => state?.player !== undefined);
  for (const piece of [...others, { player, ...who, ...place }]) {
    const square = squareAt(piece.x, piece.y);
    const mark = el("div", { class: piece.player === player ? "piece me" : "piece", title: piece.name });
    mark.style.background = piece.colour;
    square?.append(mark);
  }
}

const draw = everyFrame(() => {
  const holds = new Map();
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const owner = cells.get(`${x},${y}`);
      squareAt(x, y).style.background = owner === undefined ? "" : `color-mix(in srgb, ${colourOf(owner)} 55%, var(--card))`;
      if (owner !== undefined) holds.set(owner, (holds.get(owner) ?? 0) + 1);
    }
  drawScore(holds);
  drawPieces();
});

doc.on("change", draw);
doc.presence.on("change", draw);
$("#you").textContent = `You are ${who.name}.`;
doc.presence.set({ player, ...who, ...place });
draw();
$(".board-card").append(board);
$("#clear").disabled = false;
board.focus();
