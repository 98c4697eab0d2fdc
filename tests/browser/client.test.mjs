// client.test.mjs -- what the client promises, in a real browser: convergence with C, nothing lost by
// going offline, by killing the server, by reloading; several tabs; characters of all kinds; undo; and a
// word for everything that can be wrong.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { named } from "../../web/test/names.mjs";
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
      // Numbers, typed one behind the other; how many of them were on the disk according to the page, at any time.
      window.typed = 0;
      window.shownSaved = 0;
      const ends = [];
      window.typing = setInterval(() => {
        const word = `${window.typed++},`;
        ends.push((ends.at(-1) ?? 0) + word.length);
        text.push(word);
      }, 3);
      doc.on("unsaved", ({ count }) => {
        const kept = (ends.at(-1) ?? 0) - count;
        while (ends[window.shownSaved] <= kept) window.shownSaved++;
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
  await until("stored", () => page.evaluate(() => doc.local.state === "stored"));
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

/** A second by the page's own clock, which a busy machine holds up in pieces; and what it began to write by then is written. */
const aSecond = (page) =>
  page.evaluate(async (names) => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 50));
    await Promise.allSettled([...names.reduce((at, name) => at[name], doc)]);
  }, ["_link", "keeping", "flights"].map(named));

/** The page's process dies, whatever it was doing. */
async function crash(page) {
  const gone = new Promise((resolve) => page.once("crash", resolve));
  const session = await page.context().newCDPSession(page);
  session.send("Page.crash").catch(() => undefined);
  await gone;
}

for (const [how, end] of [["closed", (page) => page.close({ runBeforeUnload: false })], ["crashed", crash]]) {
  test(`the keeper's tab is ${how} without a server, and another tab takes over: nothing typed is lost`, async () => {
    const ann = await person();
    const name = `keeper-${how}`;
    const offline = "{ transport: { open(e) { setTimeout(() => e.closed('no network'), 1); }, send() { return true; }, close() {} } }";
    const [keeper, other] = [await typist(ann, name, site, offline), await typist(ann, name, site, offline)];
    const kept = (page) => page.evaluate((names) => names.reduce((at, name) => at[name], doc), ["_link", "keeping", "keeper"].map(named));
    assert.deepEqual([await kept(keeper), await kept(other)], [true, false]);
    await keeper.evaluate(() => text.push("the keeper's, "));
    await until("seen", async () => (await textOf(other)) === "the keeper's, ");
    await other.evaluate(() => text.push("the other's, "));
    await until("seen back", async () => (await textOf(keeper)) === "the keeper's, the other's, ");
    // One letter after the other, until it ends: what is older than a second is on the disk.
    await keeper.evaluate(() => {
      window.n = 0;
      setInterval(() => {
        text.push(`${window.n},`);
        localStorage.setItem("typed", `${window.n++} ${Date.now()}`);
      }, 5);
    });
    await until("some typed", () => keeper.evaluate(() => window.n > 200));
    const sure = await keeper.evaluate(() => window.n - 1); // a second before the end
    await aSecond(keeper);
    await end(keeper);
    await until("taken over", () => kept(other));
    const numbers = () => textOf(other).then((all) => all.split("the other's, ")[1].split(",").filter((n) => n !== "").map(Number));
    await until("all of it", async () => (await numbers()).length > sure);
    await other.evaluate(() => text.insert(0, "after, "));
    const text = await textOf(other);
    assert.ok(text.startsWith("after, the keeper's, the other's, 0,1,2,"), text.slice(0, 60));
    const all = await numbers();
    assert.deepEqual(all, all.map((_, i) => i));
    await until("stored", () => other.evaluate(() => doc.local.state === "stored"));
    await end(other); // everybody is gone: what is in the storage is all
    const last = await typist(ann, name);
    assert.equal(await textOf(last), text);
    await saved(last);
    assert.equal(site.text(name), text);
  });
}

test("a tab crashes in mid-write, again and again: what its storage has is whole, what was typed a second ago is there", async () => {
  const ann = await person();
  let sure = 0;
  for (let round = 0; round < 3; round++) {
    const page = await typist(ann, "torn", site, "{ transport: { open(e) { setTimeout(() => e.closed('no network'), 1); }, send() { return true; }, close() {} } }");
    assert.notEqual(await page.evaluate(() => doc.local.state), "failed");
    const there = (await textOf(page)).split(",").filter((n) => n !== "").map(Number);
    assert.deepEqual(there, there.map((_, i) => i), `round ${round}`);
    assert.ok(there.length >= sure, `${there.length} of ${sure} are there`);
    await page.evaluate(([from, link, keeping, soon, now]) => {
      window.n = from;
      doc[link][keeping][soon] = function () { this[now](); }; // writes without a pause
      setInterval(() => { for (let i = 0; i < 20; i++) text.push(`${window.n++},`); }, 1);
    }, [there.length, ...["_link", "keeping", "storeSoon", "storeNow"].map(named)]);
    await until("some typed", () => page.evaluate((n) => window.n > n + 300, there.length));
    sure = await page.evaluate(() => window.n);
    await aSecond(page);
    await sleep(random(round + 1)(40));
    await crash(page);
    await page.close();
  }
});

test("refused work with several tabs open: each is told, the document is the server's in all, the branch is kept once", async () => {
  const folder = site.folder;
  writeFileSync(join(folder, "tabs.json"), execFileSync(program, ["token", "key"], { encoding: "utf8" }), { mode: 0o600 });
  writeFileSync(join(folder, "tabs-public.json"), execFileSync(program, ["token", "public", join(folder, "tabs.json")]));
  const token = (user, ...rest) => execFileSync(program, ["token", "make", join(folder, "tabs.json"), "--user", user, ...rest], { encoding: "utf8" }).trim();
  const guarded = await Site.start("--keys", join(folder, "tabs-public.json"));
  try {
    const writer = await typist(await person(), "shared", guarded, JSON.stringify({ token: token("ann", "--create", "shared") }));
    await writer.evaluate(() => text.push("hers"));
    await saved(writer);
    const bob = await person();
    const options = JSON.stringify({ token: token("bob", "--read", "shared") });
    const tabs = [await typist(bob, "shared", guarded, options), await typist(bob, "shared", guarded, options), await typist(bob, "shared", guarded, options)];
    for (const tab of tabs) await until("read", async () => (await textOf(tab)) === "hers");
    for (const tab of tabs) await tab.evaluate(() => client.goOffline());
    for (const tab of tabs) await until("offline", () => tab.evaluate(() => doc.status === "offline"));
    await tabs[0].evaluate(() => text.push(" and his"));
    for (const tab of tabs) await until("shared", async () => (await textOf(tab)) === "hers and his");
    for (const tab of tabs) await tab.evaluate(() => client.goOnline());
    for (const tab of tabs) {
      await until("taken back", async () => (await textOf(tab)) === "hers");
      await until("live", () => tab.evaluate(() => doc.status === "live" && doc.unsaved.count === 0));
      assert.equal(await tab.locator("#text").inputValue(), "hers");
    }
    const branches = (tab) => tab.evaluate(() => doc.rejected.map((branch) => branch.code).join());
    for (const tab of tabs) await until("one branch", async () => (await branches(tab)) === "FORBIDDEN");
    await writer.evaluate(() => text.push("!"));
    for (const tab of tabs) await until("goes on", async () => (await textOf(tab)) === "hers!");
    await tabs[0].evaluate(() => doc.import(doc.rejected[0].changes)); // once more: the same work, kept once
    for (const tab of tabs) await until("refused again", async () => (await textOf(tab)) === "hers!" && (await unsaved(tab)) === 0);
    for (const tab of tabs) assert.equal(await branches(tab), "FORBIDDEN");
    for (const tab of tabs) await tab.close();
    const again = await typist(bob, "shared", guarded, options);
    assert.equal(await branches(again), "FORBIDDEN");
    assert.equal(await textOf(again), "hers!");
    const beside = await typist(bob, "shared", guarded, options);
    assert.equal(await branches(beside), "FORBIDDEN");
    await again.evaluate(() => doc.dropRejected(doc.rejected[0].name));
    await until("dropped in the other tab", async () => (await branches(beside)) === "");
  } finally {
    await guarded.stop();
  }
});

test("what is typed while the document is still being opened is not lost; what a script or the browser wrote there is not taken", async () => {
  const ann = await person();
  const page = await bench(ann, site, `
    window.area = document.querySelector("#text");
    window.opened = syn.connect().open("early");
  `);
  await page.locator("#text").pressSequentially("typed early");
  await page.keyboard.press("Home");
  await page.evaluate(async () => {
    window.doc = await opened;
    window.text = doc.text();
    window.unbind = syn.bindTextarea(text, area);
  });
  await page.keyboard.type("I "); // the caret is where it was
  await until("on the server", () => site.text("early") === "I typed early");
  await page.evaluate(() => {
    unbind();
    text.insert(0, "now "); // the area shows another text by now
    syn.bindTextarea(text, area);
    document.body.append(window.other = document.createElement("textarea"));
    other.value = "loading ...";
    syn.bindTextarea(text, other);
  });
  for (const which of ["area", "other"]) assert.equal(await page.evaluate((name) => window[name].value, which), "now I typed early");
  await saved(page);
  assert.equal(site.text("early"), "now I typed early");
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

test("a C client and a browser see each other's selection where it was made", async () => {
  const page = await typist(await person(), "selected");
  await page.evaluate(() => text.push("😀😀 one two"));
  await saved(page);
  const peer = spawn(process.env.CURSOR_PEER, [site.url, "selected", "3", "6"], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    let said = "";
    peer.stdout.on("data", (bytes) => (said += bytes));
    const seen = () => page.evaluate(() => [...doc.presence.others.values()]
      .flatMap((one) => one.selections.map(({ target, anchor, head }) => `${anchor} ${head} ${target.slice(anchor, head)}`)).join());
    await until("the C client's", async () => (await seen()) === "5 8 one");
    await page.evaluate(() => doc.presence.select({ target: text, anchor: 12, head: 9 })); // backwards
    await until("the browser's", () => said.endsWith("10 7 two\n"));
    await page.evaluate(() => text.insert(0, "𝒳 "));
    assert.equal(await seen(), "8 11 one");
    await until("moved along", () => said.endsWith("12 9 two\n"));
    site.cli("insert", "selected", "", "0", "👋🏽");
    await until("moved along here", async () => (await seen()) === "12 15 one");
    await until("... and there", () => said.endsWith("14 11 two\n"));
  } finally {
    peer.stdin.end();
    await new Promise((resolve) => peer.once("exit", resolve));
  }
  await until("gone", () => page.evaluate(() => doc.presence.others.size === 0));
});

test("a text area tells its caret, CodeMirror shows it where it stands", async () => {
  const area = await bench(await person(), site, `
    window.doc = await syn.connect().open("carets");
    window.text = doc.text();
    doc.presence.set({ name: "Ann", color: "#cc0000" });
    syn.bindTextarea(text, document.querySelector("#text"), { cursor: true });
  `);
  const editor = await bench(await person(), site, `
    const cm = await import("/codemirror.bundle.js");
    window.doc = await syn.connect().open("carets");
    window.text = doc.text();
    window.view = new cm.EditorView({ doc: text.toString(), parent: document.body,
      extensions: [cm.basicSetup, cm.codemirror(text, { user: { name: "Bob", color: "#0000cc" } })] });
  `);
  await area.locator("#text").pressSequentially("😀 from the area");
  await until("here", () => editor.evaluate(() => view.state.doc.toString() === "😀 from the area"));
  await area.evaluate(() => document.querySelector("#text").setSelectionRange(3, 7));
  const marked = () => editor.evaluate(() => document.querySelector(".syn-selection")?.textContent);
  await until("selected", async () => (await marked()) === "from");
  await editor.locator(".cm-content").click();
  await editor.keyboard.press("Control+Home");
  await editor.keyboard.type("𝒳!");
  await until("typed", async () => (await textOf(area)) === "𝒳!😀 from the area");
  assert.equal(await marked(), "from");
  assert.equal(await editor.evaluate(() => document.querySelector(".syn-caret-name").textContent), "Ann");
  const bob = () => area.evaluate(() => [...doc.presence.others.values()].map((one) => [one.state.name, ...one.selections.map((at) => at.head)]).join());
  await until("Bob's caret", async () => (await bob()) === "Bob,3");
  await area.evaluate(() => text.insert(0, "😀"));
  assert.equal(await bob(), "Bob,5");
  // basicSetup brings a history of its own: one Mod-z takes back Bob's typing once, and nothing of Ann's.
  await until("the same", () => editor.evaluate(() => view.state.doc.toString() === "😀𝒳!😀 from the area"));
  await editor.keyboard.press("Control+z");
  await until("taken back", async () => (await textOf(area)) === "😀😀 from the area");
  await editor.keyboard.press("Control+z");
  await editor.keyboard.type("-");
  await until("nothing of hers", async () => (await textOf(area)).replace("-", "") === "😀😀 from the area");
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

test("IndexedDB that may not even be named: it works, and says that nothing is kept", async () => {
  const context = await person();
  await context.addInitScript(() => {
    Object.defineProperty(globalThis, "indexedDB", { get() { throw new DOMException("blocked", "SecurityError"); } });
  });
  const page = await typist(context, "unnamed");
  await page.locator("#text").pressSequentially("typed");
  await saved(page);
  assert.equal(site.text("unnamed"), "typed");
  assert.deepEqual(await page.evaluate(() => ({ ...doc.local })), { state: "memory", reason: "nothing is kept in this browser: blocked" });
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
  assert.equal(await page.evaluate(() => doc.reason), "the server cannot be reached");
  await page.evaluate(() => doc.text().insert(0, "kept"));
  assert.equal(await page.evaluate(() => doc.text().toString()), "kept");
});

test("a server that goes away: the reason is another than that of one that was never there", async () => {
  const own = await Site.start();
  try {
    const page = await typist(await person(), "left", own);
    await saved(page);
    await page.evaluate(() => {
      window.reasons = [];
      doc.on("status", () => doc.status === "offline" && reasons.push(doc.reason));
    });
    await own.kill();
    await until("offline", () => page.evaluate(() => reasons.length > 0));
    assert.equal(await page.evaluate(() => reasons[0]), "the connection was lost");
  } finally {
    await own.stop();
  }
});
