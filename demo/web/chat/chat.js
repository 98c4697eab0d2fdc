// chat.js -- a chat is a list of small maps: { name, colour, text, at }.  Who is here and who types is
// presence, which nobody stores.
import { connect } from "/syncline.js";
import { $, badge, bar, documentName, el, fail, me, rename, server } from "/common.js";

bar("chat");
const who = me();
const client = connect(server());
const doc = await client.open(documentName("chat")).catch(fail);
const messages = doc.list("messages");
badge(doc, $("#status"));

/* ---- Messages ---- */

let drawn = [];

/** A message as it should be: anybody may write into this document, and not only messages. */
const isMessage = (one) => one?.kind === "map" && one.has("text") && Math.abs(Number(one.get("at"))) < 8.64e15;

function line(message) {
  const at = new Date(Number(message.get("at")));
  const name = el("span", { class: "who" }, String(message.get("name")));
  name.style.setProperty("--who", message.get("colour"));
  return el("li", {}, name, String(message.get("text")), el("time", { datetime: at.toISOString() }, at.toLocaleTimeString([], { timeStyle: "short" })));
}

/** The last 500; a line is made once and kept with its message. */
function draw() {
  const list = $("#messages");
  const atEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 40;
  const kept = new Map(drawn.map((entry) => [entry.message, entry.line]));
  const from = Math.max(0, messages.length - 500);
  drawn = [];
  for (let i = from; i < messages.length; i++) {
    const message = messages.get(i);
    if (!isMessage(message)) continue;
    drawn.push({ message, line: kept.get(message) ?? line(message) });
  }
  list.replaceChildren(...drawn.map((entry) => entry.line));
  markWaiting();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** Own messages stay pale until they are on the server's disk, also when the page was loaded anew meanwhile. */
const waitingKey = `syncline-demo-waiting ${doc.name}`;
const waiting = new Set(JSON.parse(sessionStorage.getItem(waitingKey) ?? "[]"));
const nameOf = (message) => `${message.get("at")} ${message.get("name")}`;

function keepWaiting() {
  sessionStorage.setItem(waitingKey, JSON.stringify([...waiting]));
}

function markWaiting() {
  if (doc.unsaved.count === 0 && waiting.size > 0) {
    waiting.clear();
    keepWaiting();
  }
  for (const { message, line } of drawn) line.classList.toggle("waiting", waiting.size > 0 && waiting.has(nameOf(message)));
}

messages.observe(draw);
doc.on("unsaved", markWaiting);
draw();

$("#form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("#message").value.trim();
  if (text === "") return;
  messages.push({ name: who.name, colour: who.colour, text, at: Date.now() });
  waiting.add(nameOf(messages.get(messages.length - 1)));
  keepWaiting();
  draw();
  $("#messages").scrollTop = $("#messages").scrollHeight;
  $("#message").value = "";
  say(false);
});

/* ---- People ---- */

let typing = false;
let quiet;

function say(now) {
  clearTimeout(quiet);
  if (now) quiet = setTimeout(() => say(false), 3000);
  if (now === typing) return;
  typing = now;
  doc.presence.update({ typing });
}

function drawPeople(others) {
  const people = [...others.values()].map((other) => other.state).filter((state) => state?.name !== undefined);
  $("#people").replaceChildren(
    ...[{ ...who, self: true }, ...people].map((person) => {
      const item = el("li", {}, person.name + (person.self ? " (you)" : ""));
      item.style.setProperty("--who", person.colour);
      return item;
    }));
  const typists = people.filter((person) => person.typing).map((person) => person.name);
  $("#typing").textContent = typists.length === 0 ? "" : `${typists.join(", ")} ${typists.length === 1 ? "is" : "are"} typing ...`;
}

doc.presence.on("change", drawPeople);
doc.presence.set({ ...who, typing });
drawPeople(doc.presence.others);
$("#message").addEventListener("input", () => say($("#message").value !== ""));
$("#name").value = who.name;
$("#name").addEventListener("change", () => {
  who.name = $("#name").value.trim() || who.name;
  $("#name").value = who.name;
  rename(who);
  doc.presence.update(who);
  drawPeople(doc.presence.others);
});
const wish = () => ($("#offline").checked ? client.goOffline() : client.goOnline());
$("#offline").addEventListener("change", wish);
if ($("#offline").checked) wish(); // a browser that loads a page anew leaves its boxes checked
for (const waits of ["#message", "#send"]) $(waits).disabled = false; // nothing is taken before somebody listens
$("#message").focus();
