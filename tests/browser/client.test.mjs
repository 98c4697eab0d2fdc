// client.test.mjs -- what the client promises, in a real browser: convergence with C, nothing lost by
// going offline, by killing the server, by reloading; several tabs; characters of all kinds; undo; and a
// word for everything that can be wrong.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Site, bench, closeBrowser, person, program, random, sleep, until } from "./site.mjs";

let site;
before(async () => {
  site = await Site.start();
});
after(async () => {
  await closeBrowser();
  await site.stop();
});

/** A page with `doc` open, bound to the text area. */
const typist = (context, name, at = site, options = "{}") =>
  bench(context, at, `
    window.client = syn.connect(undefined, { backoff: { min: 50, max: 300 }, ...${options} });
    window.doc = await client.open(${JSON.stringify(name)});
    window.text = doc.text();
    syn.bindTextarea(text, document.querySelector("#text"));
  `);
const textOf = (page) => page.evaluate(() => text.toString());
const unsaved = (page) => page.evaluate(() => doc.unsaved.count);
const saved = (page) => until("everything saved", async () => (await page.evaluate(() => doc.status)) === "live" && (await unsaved(page)) === 0);
const same = (what, pages) => until(`${what}: equal`, async () => new Set(await Promise.all(pages.map((page) => page.evaluate(() => doc.digest())))).size === 1);

test("two browsers and a C client type at once and end with the same text", async () => {
  const pages = [await typist(await person(), "crowd"), await typist(await person(), "crowd")];
  const r = random(7);
  let typed = 0;
  for (let round = 0; round < 40; round++) {
    for (const page of pages)
      typed += await page.evaluate(([at, remove, what]) => {
        const place = at % (text.length + 1);
        const gone = Math.min(remove, text.length - place);
        text.splice(place, gone, what);
        return 1;
      }, [r(10000), r(4) === 0 ? r(5) : 0, ["a", "bc", "é", "😀", "\n"][r(5)].repeat(1 + r(3))]);
    if (round % 8 === 0) site.cli("insert", "crowd", "", "0", `[C ${round}] `);
  }
  assert.equal(typed, 80);
  for (const page of pages) await saved(page);
  await same("crowd", pages);
  assert.equal(site.text("crowd"), await textOf(pages[0]));
  assert.match(await textOf(pages[0]), /C/); // the C client's edits, though others' may stand inside them
});

test("half a minute offline on both sides, then back", async () => {
  const pages = [await typist(await person(), "apart"), await typist(await person(), "apart")];
  await pages[0].locator("#text").pressSequentially("common. ");
  await same("before", pages);
  for (const page of pages) await page.evaluate(() => client.goOffline());
  for (let i = 0; i < 30; i++) {
    await pages[0].evaluate((n) => text.insert(0, `l${n} `), i);
    await pages[1].evaluate((n) => text.push(`r${n} `), i);
    await sleep(1000);
  }
  for (const page of pages) assert.ok((await unsaved(page)) > 60);
  for (const page of pages) await page.evaluate(() => client.goOnline());
  for (const page of pages) await saved(page);
  await same("after", pages);
  const text = site.text("apart");
  for (let i = 0; i < 30; i++) assert.ok(text.includes(`l${i} `) && text.includes(`r${i} `), `${i} is missing in ${text}`);
});

test("the server is killed with -9 in mid-typing, twenty times: what was shown as saved is there, and in the end everything", async () => {
  const own = await Site.start();
  try {
    const page = await typist(await person(), "killed", own);
    await page.evaluate(() => {
      // Numbers, typed one behind the other; what was on the disk according to the page at any time.
      window.typed = 0;
      window.shownSaved = 0;
      window.typing = setInterval(() => text.push(`${window.typed++},`), 3);
      doc.on("unsaved", ({ count }) => {
        if (count === 0) window.shownSaved = window.typed;
      });
    });
    for (let round = 0; round < 20; round++) {
      const known = await page.evaluate(() => window.shownSaved);
      await until("something new saved", () => page.evaluate((n) => window.shownSaved > n, known));
      await sleep(random(round + 1)(60));
      const promised = await page.evaluate(() => window.shownSaved);
      await own.kill();
      const kept = execFileSync(program, ["text", join(own.folder, "site.db"), "killed"], { encoding: "utf8" });
      const numbers = new Set(kept.split(","));
      for (let n = 0; n < promised; n++) assert.ok(numbers.has(String(n)), `${n} of ${promised} was shown as saved and is gone`);
      await own.up();
    }
    await page.evaluate(() => clearInterval(window.typing));
    await saved(page);
    const count = await page.evaluate(() => window.typed);
    assert.equal(own.text("killed"), Array.from({ length: count }, (_, n) => `${n},`).join(""));
  } finally {
    await own.stop();
  }
});

test("a page that is reloaded while offline keeps its text, and sends it later", async () => {
  const ann = await person();
  let page = await typist(ann, "reloaded");
  await page.locator("#text").pressSequentially("online, ");
  await saved(page);
  await page.evaluate(() => client.goOffline());
  await page.locator("#text").pressSequentially("and offline.");
  await sleep(1000); // what was typed a second ago is kept, however the page ends
  await page.close({ runBeforeUnload: false });
  page = await typist(ann, "reloaded", site, "{ transport: { open(e) { setTimeout(() => e.closed('no network'), 1); }, send() { return true; }, close() {} } }");
  assert.equal(await textOf(page), "online, and offline.");
  assert.equal(await unsaved(page), 12);
  await page.close();
  page = await typist(ann, "reloaded");
  await saved(page);
  assert.equal(site.text("reloaded"), "online, and offline.");
});

test("two tabs share a document, with the server and without one", async () => {
  const ann = await person();
  const own = await Site.start();
  try {
    const tabs = [await typist(ann, "tabs", own), await typist(ann, "tabs", own)];
    await tabs[0].locator("#text").pressSequentially("first ");
    await until("seen", async () => (await textOf(tabs[1])) === "first ");
    await own.kill();
    await tabs[1].evaluate(() => text.push("second "));
    await until("seen without a server", async () => (await textOf(tabs[0])) === "first second ");
    await tabs[0].evaluate(() => text.push("third"));
    await until("seen back", async () => (await textOf(tabs[1])) === "first second third");
    await tabs[0].close(); // perhaps the one that led
    await tabs[1].evaluate(() => text.push("."));
    await own.up();
    await saved(tabs[1]);
    assert.equal(own.text("tabs"), "first second third.");
  } finally {
    await own.stop();
  }
});

test("a megabyte is pasted", async () => {
  const page = await typist(await person(), "large");
  const other = await typist(await person(), "large");
  const large = Array.from({ length: 20000 }, (_, n) => `line ${n}: the quick brown fox jumps over the lazy dog`).join("\n");
  assert.ok(large.length > 1000000);
  await page.evaluate((what) => {
    const area = document.querySelector("#text");
    area.focus();
    area.value = what;
    area.dispatchEvent(new InputEvent("input", { bubbles: true, inputType: "insertFromPaste" }));
  }, large);
  await saved(page);
  await until("seen", async () => (await textOf(other)) === large);
  assert.ok(site.text("large") === large);
});

test("emoji, combining marks and text from right to left keep their cursors", async () => {
  const pages = [await typist(await person(), "scripts"), await typist(await person(), "scripts")];
  const scripts = ["👩‍👩‍👧‍👦", "e\u0301\u0323", "שלום עולם", "مرحبا", "नमस्ते", "𝒳𝓎𝓏", "한국어", "🇵🇹"];
  await pages[0].evaluate((all) => text.push(all.join("|")), scripts);
  await same("scripts", pages);
  const whole = scripts.join("|");
  assert.equal(await textOf(pages[1]), whole);
  // A caret in each place; the other side types at the start and at the end, and both stay where they were.
  for (const script of scripts) {
    const place = whole.indexOf(script) + script.length;
    const before = await textOf(pages[1]);
    const at = before.indexOf(script) + script.length;
    await pages[1].evaluate((n) => {
      const area = document.querySelector("#text");
      area.focus();
      area.setSelectionRange(n, n);
      window.mark = text.anchor(n);
    }, at);
    await pages[0].evaluate(() => {
      text.insert(0, "😀ש");
      text.push("🙂");
    });
    await until("arrived", async () => (await textOf(pages[1])).length > before.length);
    await same("typed around", pages);
    const now = await textOf(pages[1]);
    const [caret, mark] = await pages[1].evaluate(() => [document.querySelector("#text").selectionStart, text.resolve(window.mark)]);
    assert.equal(now.slice(0, caret).endsWith(script), true, `the caret behind ${script} (${place})`);
    assert.equal(mark, caret, `the anchor behind ${script}`);
  }
  // Half a pair is never cut, whoever asks for it.
  await pages[0].evaluate(() => {
    const at = text.toString().indexOf("𝒳");
    text.delete(at + 1, 1);
    text.insert(1, "x");
  });
  await same("pairs", pages);
  const now = await textOf(pages[0]);
  assert.ok(now.isWellFormed?.() ?? true);
  assert.ok(!now.includes("𝒳") && now.includes("𝓎") && now.startsWith("x😀"));
  assert.equal(site.text("scripts"), now);
});

test("a lone surrogate becomes U+FFFD", async () => {
  const page = await typist(await person(), "lone");
  await page.evaluate(() => text.insert(0, "a\ud800b"));
  await saved(page);
  assert.equal(await textOf(page), "a\ufffdb");
});

test("undo takes back one's own work among that of others", async () => {
  const pages = [await typist(await person(), "undone"), await typist(await person(), "undone")];
  await pages[1].evaluate(() => text.push("theirs. "));
  await same("at first", pages);
  await pages[0].evaluate(() => {
    window.undo = doc.undoManager({ interval: 0 });
    text.insert(0, "mine ");
    undo.boundary();
    doc.map("m").set("k", 1);
    undo.boundary();
    text.delete(5, 3); // "the" of theirs
    undo.boundary();
    doc.counter("c").add(5);
  });
  await pages[1].evaluate(() => text.push("more of theirs"));
  await same("before", pages);
  assert.equal(await textOf(pages[0]), "mine irs. more of theirs");
  const undo = () => pages[0].evaluate(() => window.undo.undo());
  assert.equal(await undo(), true);
  assert.equal(await pages[0].evaluate(() => doc.counter("c").value), 0);
  await undo();
  assert.equal(await textOf(pages[0]), "mine theirs. more of theirs");
  await undo();
  assert.equal(await pages[0].evaluate(() => doc.map("m").get("k")), undefined);
  await undo();
  assert.equal(await textOf(pages[0]), "theirs. more of theirs");
  assert.equal(await undo(), false);
  for (let i = 0; i < 4; i++) assert.equal(await pages[0].evaluate(() => window.undo.redo()), true);
  assert.equal(await textOf(pages[0]), "mine irs. more of theirs");
  assert.equal(await pages[0].evaluate(() => doc.counter("c").value), 5);
  await same("in the end", pages);
});

/* ---- What can be wrong ---- */

test("no WebAssembly: opening says so", async () => {
  const context = await person();
  await context.addInitScript(() => delete globalThis.WebAssembly);
  const page = await bench(context, site);
  const said = await page.evaluate(() => syn.connect().open("x").then(() => "opened", (error) => error.message));
  assert.match(said, /WebAssembly/);
});

test("IndexedDB blocked: it works, and says that nothing is kept", async () => {
  const context = await person();
  await context.addInitScript(() => {
    IDBFactory.prototype.open = () => {
      throw new DOMException("blocked", "SecurityError");
    };
  });
  const page = await typist(context, "unkept");
  await page.locator("#text").pressSequentially("typed");
  await saved(page);
  assert.equal(site.text("unkept"), "typed");
  const local = await page.evaluate(() => doc.local);
  assert.equal(local.state, "memory");
  assert.match(local.reason, /blocked|SecurityError/);
});

test("IndexedDB full: typing goes on, and the state says that it is not stored", async () => {
  const context = await person();
  const page = await typist(context, "full");
  await page.locator("#text").pressSequentially("a");
  await saved(page);
  await until("stored", () => page.evaluate(() => doc.local.state === "stored"));
  await page.evaluate(() => {
    window.put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = () => {
      throw new DOMException("the disk is full", "QuotaExceededError");
    };
    IDBObjectStore.prototype.add = IDBObjectStore.prototype.put;
  });
  await page.locator("#text").pressSequentially("bc");
  await until("failed", () => page.evaluate(() => doc.local.state === "failed"));
  await saved(page);
  assert.equal(site.text("full"), "abc");
});

test("signing in: denied documents, wrong and missing tokens each have their reason", async () => {
  const folder = site.folder;
  const key = execFileSync(program, ["token", "key"], { encoding: "utf8" });
  writeFileSync(join(folder, "key.json"), key, { mode: 0o600 });
  writeFileSync(join(folder, "keys.json"), execFileSync(program, ["token", "public", join(folder, "key.json")]));
  const token = (...rest) => execFileSync(program, ["token", "make", join(folder, "key.json"), "--user", "ann", ...rest], { encoding: "utf8" }).trim();
  const guarded = await Site.start("--keys", join(folder, "keys.json"));
  try {
    const none = await typist(await person(), "notes", guarded);
    await until("denied", () => none.evaluate(() => doc.status === "denied"));
    assert.match(await none.evaluate(() => doc.reason), /token/);
    await none.locator("#text").pressSequentially("kept");
    assert.equal(await textOf(none), "kept");
    await none.evaluate((good) => client.setToken(good), token("--create", "notes"));
    await saved(none); // typed before signing in, and not lost
    const reads = await typist(await person(), "notes", guarded, JSON.stringify({ token: token("--read", "notes") }));
    await until("read", async () => (await textOf(reads)) === "kept");
    const foreign = await typist(await person(), "secret", guarded, JSON.stringify({ token: token("--create", "notes") }));
    await until("denied", () => foreign.evaluate(() => doc.status === "denied"));
    assert.match(await foreign.evaluate(() => doc.reason), /FORBIDDEN|right/i);
  } finally {
    await guarded.stop();
  }
});

test("a page asleep for a day, and a clock that jumps, connect again", async () => {
  const page = await typist(await person(), "asleep");
  await page.locator("#text").pressSequentially("before ");
  await saved(page);
  await page.evaluate(() => {
    const [now, date] = [performance.now.bind(performance), Date.now];
    performance.now = () => now() + 86400000;
    Date.now = () => date() - 3 * 86400000;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.locator("#text").pressSequentially("after");
  await saved(page);
  assert.equal(site.text("asleep"), "before after");
});

test("no server at all: offline, with a reason, and edits are kept", async () => {
  const page = await bench(await person(), site, `
    window.client = syn.connect("ws://127.0.0.1:9", { store: false });
    window.doc = await client.open("nowhere");
  `);
  await until("offline", () => page.evaluate(() => doc.status === "offline"));
  assert.notEqual(await page.evaluate(() => doc.reason), "");
  await page.evaluate(() => doc.text().insert(0, "kept"));
  assert.equal(await page.evaluate(() => doc.text().toString()), "kept");
});
