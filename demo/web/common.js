// common.js -- what all pages share: the bar on top, who I am, the server, and a badge that tells how a
// document stands.

const pages = [
  ["two-panes", "Two panes"],
  ["chat", "Chat"],
  ["ticker", "Ticker"],
  ["game", "Game"],
  ["echo", "Echo"],
  ["inside", "Look inside"],
];

/** An element: el("p", { class: "lead" }, "text", other, ...). Functions become listeners. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export const $ = (selector) => document.querySelector(selector);

/** The bar; `here` is this page's folder. */
export function bar(here) {
  const links = pages.map(([folder, title]) =>
    el("a", { href: `/${folder}/`, "aria-current": folder === here ? "page" : undefined }, title));
  document.body.prepend(
    el("header", { class: "bar" }, el("a", { class: "brand", href: "/" }, "Syncline"), el("nav", { "aria-label": "Demos" }, ...links)));
}

/** Where this page's server speaks WebSocket. */
export const server = () => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`;

/** The document that the address asks for (?doc=...), or the page's own. */
export const documentName = (usual) => new URLSearchParams(location.search).get("doc") ?? usual;

const colours = ["#c2410c", "#0f766e", "#7c3aed", "#be123c", "#1d4ed8", "#4d7c0f", "#a21caf", "#b45309"];
const firsts = ["Calm", "Quick", "Brave", "Merry", "Quiet", "Bright", "Lucky", "Gentle"];
const seconds = ["Heron", "Otter", "Lynx", "Finch", "Badger", "Marten", "Puffin", "Hare"];
const one = (list) => list[Math.floor(Math.random() * list.length)];

/** A name and a colour, drawn once for each tab. */
export function me() {
  const kept = sessionStorage.getItem("syncline-demo-me");
  if (kept !== null) return JSON.parse(kept);
  const drawn = { name: `${one(firsts)} ${one(seconds)}`, colour: one(colours) };
  rename(drawn);
  return drawn;
}
export function rename(who) {
  sessionStorage.setItem("syncline-demo-me", JSON.stringify(who));
}

const words = { connecting: "connecting", live: "live", offline: "offline", denied: "refused" };

/** Shows status and unsaved edits of a document in an element, from now on. */
export function badge(doc, into) {
  const show = () => {
    const { count, since } = doc.unsaved;
    const waits = count === 0 ? "" : `, ${count} unsaved`;
    into.className = `badge ${doc.status}`;
    into.textContent = words[doc.status] + (doc.status === "denied" ? ` (${doc.reason})` : "") + waits;
    into.title = doc.reason || (count === 0 ? "everything is on the server's disk" : `since ${since?.toLocaleTimeString()}`);
    into.dataset.status = doc.status;
    into.dataset.unsaved = count;
  };
  into.setAttribute("role", "status");
  doc.on("status", show);
  doc.on("unsaved", show);
  show();
}

/** What a page that cannot work says instead; who awaits it goes no further. */
export function fail(error) {
  console.warn(error);
  document.body.append(el("p", { class: "notice", role: "alert" }, `This page cannot work here: ${error.message ?? error}`));
  return new Promise(() => {});
}

/** At most once a frame, however often it is asked for. */
export function everyFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
