// pages.test.mjs -- every demo does what it says, by mouse, keyboard and touch.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Site, closeBrowser, person, program, shot, until } from "./site.mjs";

let site;
before(async () => {
  site = await Site.start();
});
after(async () => {
  await closeBrowser();
  await site.stop();
});

async function open(context, path) {
  const page = await context.newPage();
  await page.goto(`${site.address}/${path}`);
  return page;
}
const badgeIs = (page, selector, status) =>
  until(`badge ${status}`, async () => (await page.getAttribute(selector, "data-status")) === status);

test("two panes: typing in one appears in the other, and the badge says that they are equal", async () => {
  const ann = await person();
  const page = await open(ann, "two-panes/");
  await page.click("#left .cm-content");
  await page.keyboard.type("Hello from the left");
  await until("the text on the right", async () => (await page.textContent("#right .cm-content")).includes("Hello from the left"));
  await page.click("#right .cm-content");
  await page.keyboard.press("Control+End");
  await page.keyboard.type(", and from the right 😀");
  await until("equal", async () => (await page.textContent("#equal")) === "the same in both");
  await until("saved", async () => (await page.getAttribute("#left [role=status]", "data-unsaved")) === "0" && (await page.getAttribute("#right [role=status]", "data-unsaved")) === "0");
  assert.equal(site.text("two-panes"), "Hello from the left, and from the right 😀");
  const green = () => page.locator("dd.equal").count(); // heads and digest of both panes
  assert.equal(await green(), 4);
  assert.equal(await page.locator("#left .syn-caret").count(), 1, "the other's caret");
  await shot(page, "two-panes");
  await page.check("#left .cut");
  await page.click("#left .cm-content");
  await page.keyboard.press("Control+Home");
  await page.keyboard.type("offline ");
  await badgeIs(page, "#left [role=status]", "offline");
  await until("different", async () => (await page.textContent("#equal")) === "not yet the same");
  assert.equal(await green(), 0);
  await shot(page, "two-panes-offline");
  await page.uncheck("#left .cut");
  await until("equal again", async () => (await page.textContent("#equal")) === "the same in both");
  await until("here too", () => site.text("two-panes").startsWith("offline Hello"));
  assert.deepEqual(ann.faults, []);
});

test("two panes: a slow and lossy network changes nothing but time", async () => {
  const ann = await person();
  const page = await open(ann, "two-panes/?doc=slow");
  await page.locator("#right .delay").fill("200");
  await page.locator("#right .loss").fill("30");
  for (const [pane, word] of [["left", "one "], ["right", "two "], ["left", "three "], ["right", "four "]]) {
    await page.click(`#${pane} .cm-content`);
    await page.keyboard.press("Control+End");
    await page.keyboard.type(word);
  }
  await until("equal", async () => (await page.textContent("#equal")) === "the same in both" &&
    (await page.getAttribute("#right [role=status]", "data-unsaved")) === "0");
  const text = site.text("slow");
  for (const word of ["one", "two", "three", "four"]) for (const letter of word) assert.ok(text.includes(letter));
  assert.equal(text.replaceAll(" ", "").length, "onetwothreefour".length);
  assert.deepEqual(ann.faults, []);
});

const freePort = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

test("two panes: the button kills the server with -9, and nothing that was typed is missing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "syncline-launcher-"));
  const pages = join(folder, "pages");
  const listen = `127.0.0.1:${await freePort()}`;
  cpSync(process.env.PAGES, pages, { recursive: true });
  const launcher = spawn("python3", [new URL("../../demo/launcher.py", import.meta.url).pathname, "--listen", listen, "--pages", pages, "--",
    program, "serve", "--listen", listen, "--data", join(folder, "site.db"), "--web", pages]);
  try {
    await until("the offer", () => existsSync(join(pages, "launcher.json")));
    await until("the server", async () => (await fetch(`http://${listen}/healthz`)).ok);
    const ann = await person();
    const page = await ann.newPage();
    await page.goto(`http://${listen}/two-panes/`);
    await page.waitForSelector("#kill:visible");
    let typed = "";
    for (let round = 1; round <= 3; round++) {
      await page.click("#left .cm-content");
      await page.keyboard.press("Control+End");
      await page.keyboard.type(`before ${round}, `);
      await page.click("#kill");
      await page.click("#left .cm-content");
      await page.keyboard.press("Control+End");
      await page.keyboard.type(`after ${round}; `);
      typed += `before ${round}, after ${round}; `;
      await until(`killed ${round} times`, async () => (await page.textContent("#server-facts")).includes(`killed ${round} time`));
    }
    await until("equal and saved", async () => (await page.textContent("#equal")) === "the same in both" &&
      (await page.getAttribute("#left [role=status]", "data-unsaved")) === "0");
    const shown = await page.locator("#right .cm-line").first().textContent();
    assert.equal(shown.replace("Left", ""), typed); // the name at the other's caret is no text, wherever that is by now
    await shot(page, "two-panes-killed");
    const offer = JSON.parse(readFileSync(join(pages, "launcher.json"), "utf8"));
    const ask = async (headers) => (await fetch(`${offer.url}/kill`, { method: "POST", headers })).status;
    assert.equal(await ask({ origin: `http://${listen}`, "x-launcher": "guessed" }), 403);
    assert.equal(await ask({ origin: "https://evil.example", "x-launcher": offer.token }), 403);
    assert.deepEqual(ann.faults, []);
  } finally {
    const gone = new Promise((resolve) => launcher.once("exit", resolve));
    launcher.kill("SIGTERM");
    await gone;
    rmSync(folder, { recursive: true, force: true });
  }
});

test("chat: messages, who types, and sending what was written offline", async () => {
  const ann = await person();
  const bob = await person({ viewport: { width: 390, height: 800 }, colorScheme: "dark" });
  const [a, b] = [await open(ann, "chat/"), await open(bob, "chat/")];
  await a.fill("#message", "Is anybody here?");
  await a.press("#message", "Enter");
  await b.waitForSelector("text=Is anybody here?");
  await b.locator("#message").pressSequentially("I a");
  await until("typing", async () => (await a.textContent("#typing")).includes("is typing"));
  await b.check("#offline");
  await b.fill("#message", "I am, in a tunnel");
  await b.press("#message", "Enter");
  await until("waiting", async () => (await b.locator("li.waiting").count()) === 1);
  assert.equal(await a.locator("text=tunnel").count(), 0);
  await b.uncheck("#offline");
  await a.waitForSelector("text=I am, in a tunnel");
  await until("not waiting", async () => (await b.locator("li.waiting").count()) === 0);
  await shot(a, "chat");
  await shot(b, "chat-phone-dark");
  await a.reload();
  await a.waitForSelector("text=I am, in a tunnel");
  assert.deepEqual([...ann.faults, ...bob.faults], []);
});

test("chat: what was written offline is pale, also when the page is loaded anew, until it is saved", async () => {
  const ann = await person();
  let line = false;
  await ann.routeWebSocket(/.*/, (socket) => (line ? socket.connectToServer() : void socket.close()));
  const page = await open(ann, "chat/?doc=pale");
  await page.fill("#message", "first");
  await page.press("#message", "Enter");
  const pale = async () => (await page.locator("#messages li.waiting").allTextContents()).map((text) => /first|second/.exec(text)[0]).join();
  await until("pale", async () => (await pale()) === "first");
  await until("offline", async () => (await page.getAttribute("#status", "data-status")) === "offline");
  await until("stored", () => page.evaluate(async () => {
    const answer = (request) => new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = reject;
    });
    const [{ name }] = await indexedDB.databases();
    const db = await answer(indexedDB.open(name));
    const pieces = await answer(db.transaction("log").objectStore("log").count());
    db.close();
    return pieces !== 0;
  }));
  await page.reload();
  await page.waitForSelector("text=first");
  assert.equal(await pale(), "first");
  await page.fill("#message", "second");
  await page.press("#message", "Enter");
  await until("both", async () => (await pale()) === "first,second");
  line = true;
  await badgeIs(page, "#status", "live");
  await until("none", async () => (await pale()) === "" && (await page.locator("#messages li").count()) === 2);
  assert.match(site.cli("get", "pale"), /first.*second/s);
  await page.reload();
  await page.waitForSelector("text=second");
  assert.equal(await pale(), "");
  assert.deepEqual(ann.faults, []);
});

test("chat, game: what anybody wrote into their documents does not stop them", async () => {
  const ann = await person();
  const a = await open(ann, "chat/?doc=odd");
  await a.evaluate(async () => {
    const { connect } = await import("/syncline.js");
    const client = connect(undefined, { store: false });
    const odd = await client.open("odd");
    odd.list("messages").push(12, { text: "no time" }, { text: "no day", at: "never" }, { text: "fine", at: 1, name: [1] }, null);
    odd.map("players").set("x", 1);
    odd.map("captured").set("x", "much");
    odd.map("cells").set("1,1", "x");
    await odd.saved();
    await client.close();
  });
  await until("the one message", async () => (await a.locator("#messages li").count()) === 1);
  await a.fill("#message", "goes on");
  await a.press("#message", "Enter");
  await until("another", async () => (await a.locator("#messages li").count()) === 2);
  const b = await open(ann, "game/?doc=odd");
  await b.focus("#board");
  await b.keyboard.press("ArrowLeft");
  await b.keyboard.press("ArrowRight");
  await until("one player", async () => (await b.locator("#score tr").count()) === 1);
  assert.deepEqual(ann.faults, []);
});

test("a page without WebAssembly says so, and nothing else", async () => {
  const ann = await person();
  await ann.addInitScript(() => delete globalThis.WebAssembly);
  for (const path of ["two-panes", "chat", "ticker", "game", "inside"]) {
    const page = await open(ann, `${path}/`);
    await page.waitForSelector("text=This page cannot work here: this browser has no WebAssembly");
    await page.close();
  }
  assert.deepEqual(ann.faults, []);
});

test("a page that cannot fetch the engine says what is missing", async () => {
  const ann = await person();
  await ann.route("**/syncline.wasm", (route) => route.abort());
  for (const path of ["two-panes", "chat", "ticker", "game", "inside"]) {
    const page = await open(ann, `${path}/`);
    await page.waitForSelector("text=/This page cannot work here: .*syncline.wasm: /");
    await page.close();
  }
  assert.deepEqual(ann.faults, []);
});

test("a server that asks for a token: the page says so in words that fit a phone, and keeps what is written", async () => {
  const folder = mkdtempSync(join(tmpdir(), "syncline-keys-"));
  const [key, keys] = [join(folder, "key.json"), join(folder, "keys.json")];
  writeFileSync(key, execFileSync(program, ["token", "key"]), { mode: 0o600 });
  writeFileSync(keys, execFileSync(program, ["token", "public", key]));
  const guarded = await Site.start("--keys", keys);
  try {
    const ann = await person({ viewport: { width: 360, height: 740 } });
    const page = await ann.newPage();
    await page.goto(`${guarded.address}/chat/`);
    await page.fill("#message", "still here");
    await page.press("#message", "Enter");
    await badgeIs(page, "#status", "denied");
    assert.match(await page.textContent("#status"), /^refused \(.*token/i);
    await page.waitForSelector("li.waiting >> text=still here");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${wide} px wider than the phone`);
    await shot(page, "chat-refused-phone");
    assert.deepEqual(ann.faults, []);
  } finally {
    await guarded.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test("ticker: a C program writes, the page draws, a slow tab merges", async () => {
  const ticker = spawn(process.env.TICKER, [site.url, "ticker", "20"]);
  try {
    const ann = await person();
    const page = await open(ann, "ticker/");
    await until("charts", async () => (await page.locator("svg.chart").count()) === 7);
    const count = async () => Number((await page.textContent("#updates")).replaceAll(",", ""));
    await until("updates", async () => (await count()) > 10);
    await page.locator("#every").fill("1000");
    const merged = async () => Number((await page.textContent("#merged")).replaceAll(",", ""));
    const before = await merged();
    await until("merged", async () => (await merged()) > before + 10);
    await shot(page, "ticker");
    assert.deepEqual(ann.faults, []);
  } finally {
    ticker.kill();
  }
});

test("game: two players, one board, one score", async () => {
  const ann = await person();
  const bob = await person({ viewport: { width: 390, height: 800 }, hasTouch: true });
  const [a, b] = [await open(ann, "game/"), await open(bob, "game/")];
  await a.focus("#board");
  for (const key of ["ArrowLeft", "ArrowLeft", "ArrowUp", "d", "s"]) await a.keyboard.press(key);
  await b.locator(".cell").nth(0).tap();
  await b.locator(".cell").nth(255).tap();
  const rows = async (page) => (await page.locator("#score tr").allTextContents()).map((row) => row.replace(" (you)", "")).sort();
  await until("two players", async () => (await rows(a)).length === 2 && (await rows(b)).length === 2);
  await until("one score", async () => JSON.stringify(await rows(a)) === JSON.stringify(await rows(b)));
  await until("both pieces", async () => (await a.locator(".piece").count()) === 2);
  await shot(a, "game");
  await shot(b, "game-phone");
  await a.click("#clear");
  await until("an empty board", async () => Object.keys(JSON.parse(site.cli("get", "game")).cells ?? {}).length === 0);
  assert.deepEqual([...ann.faults, ...bob.faults], []);
});

test("echo: text comes back", async () => {
  const ann = await person();
  const page = await open(ann, "echo/");
  await page.fill("#message", "Wörld");
  await page.press("#message", "Enter");
  await page.waitForSelector("text=< Hello, Wörld!");
  await shot(page, "echo");
  assert.deepEqual(ann.faults, []);
});

test("look inside: state, frames, graph and presence of a document", async () => {
  site.cli("set", "looked-at", "/title", '"Plan"');
  site.cli("insert", "looked-at", "body", "0", "Hello");
  const ann = await person({ colorScheme: "dark" });
  const page = await open(ann, "inside/?doc=looked-at");
  await page.waitForSelector('text=/"Hello"/');
  site.cli("insert", "looked-at", "body", "5", ", world");
  await page.waitForSelector('text=/"Hello, world"/');
  await until("a decoded frame", async () => (await page.locator("#frames li").count()) > 3);
  await page.locator("#frames summary", { hasText: "changes" }).first().click();
  await page.waitForSelector("text=12 op_pos: 5");
  await until("the graph", async () => (await page.locator("#graph rect.run").count()) >= 2);
  await until("the table", async () => (await page.locator("#bytes tr").count()) === 2);
  const other = await open(ann, "two-panes/?doc=looked-at");
  await until("presence", async () => (await page.textContent("#presence")).includes("Left"));
  await other.close();
  await shot(page, "inside");
  assert.deepEqual(ann.faults, []);
});

test("the first page: it links to all, and its three lines work when pasted", async () => {
  const ann = await person();
  const page = await open(ann, "");
  assert.equal(await page.locator("a.card").count(), 6);
  await shot(page, "index");
  const snippet = await page.textContent("pre");
  assert.match(snippet, /bindTextarea/);
  const pasted = await open(ann, "echo/");
  await pasted.setContent(`<!doctype html>${snippet}`);
  await pasted.fill("#text", "pasted and typed"); // at once: before the document is open, too
  await until("on the server", () => site.text("notes") === "pasted and typed");
  assert.deepEqual(ann.faults, []);
});

test("every page works by keyboard and fits a phone", async () => {
  const phone = await person({ viewport: { width: 360, height: 740 } });
  for (const path of ["", "two-panes/", "chat/", "ticker/", "game/", "echo/", "inside/"]) {
    const page = await open(phone, path);
    await page.waitForSelector(".bar nav a");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${path} is ${wide} px wider than the phone`);
    await page.keyboard.press("Tab");
    assert.notEqual(await page.evaluate(() => document.activeElement.tagName), "BODY", path);
    await page.close();
  }
});
