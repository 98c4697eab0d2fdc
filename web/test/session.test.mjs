// A client against `syncline serve` (SYN_BINARY, or a build below build/): saved, offline, killed,
// refused; and against servers that are none.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Doc, WebSocketTransport, connect } from "../dist/syncline.js";
import { MemoryStorage } from "./memory-storage.mjs";
import { named } from "./names.mjs";
import { Server, binary, until } from "./server.mjs";

/** What stores a document. */
const inside = (doc) => doc[named("_link")][named("keeping")];

const fast = { store: false, backoff: { min: 20, max: 100 } };

async function withServer(fn, ...args) {
  const server = await new Server(...args).start();
  const clients = [];
  const client = (options = {}) => {
    const one = connect(server.url, { ...fast, ...options });
    clients.push(one);
    return one;
  };
  try {
    await fn(server, client);
  } finally {
    for (const one of clients) await one.close();
    await server.stop();
  }
}

test("two clients, one document: edits, presence, digests", () => withServer(async (_server, client) => {
  const a = await client().open("notes");
  const b = await client().open("notes");
  a.text().push("Hello 😀");
  assert.equal(a.unsaved.count, 7);
  assert.ok(a.unsaved.since instanceof Date);
  await a.saved();
  assert.deepEqual({ ...a.unsaved }, { count: 0, bytes: 0, since: undefined });
  await until("hello", () => b.text().toString() === "Hello 😀");
  b.text().insert(8, "!");
  b.map().set("title", { x: [1, 2] });
  await until("!", () => a.text().toString() === "Hello 😀!");
  await until("equal", () => a.digest() === b.digest());
  a.presence.set({ name: "Ada", n: 1 });
  a.presence.update({ n: 2 });
  await until("presence", () => [...b.presence.others.values()].some((one) => one.state.n === 2));
  await a.close();
  await until("gone", () => b.presence.others.size === 0);
}));

test("one document opened twice is one object", () => withServer(async (_server, client) => {
  const c = client();
  const [a, b] = await Promise.all([c.open("x"), c.open("x")]);
  assert.equal(a, b);
  await assert.rejects(c.open(""), { code: "ELIMIT" });
  await assert.rejects(c.open("n".repeat(256)), { code: "ELIMIT" });
}));

test("the server is killed while typing, twenty times: what was shown as saved is there, and so is the rest", () =>
  withServer(async (server, client) => {
    const a = await client().open("k");
    const b = await client().open("k");
    let typed = "";
    let saved = 0; // characters that were shown as saved
    a.on("unsaved", (unsaved) => { if (unsaved.count === 0) saved = typed.length; });
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 15; i++) {
        const word = `${round}.${i} `;
        a.text().push(word);
        typed += word;
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
      await server.kill();
      const promised = saved;
      for (const word of ["off ", "line "]) {
        a.text().push(word);
        typed += word;
      }
      assert.ok(a.unsaved.count > 0);
      await server.start();
      const c = client();
      const fresh = await c.open("k");
      await fresh.synced();
      assert.equal(fresh.text().toString().slice(0, promised), typed.slice(0, promised), `round ${round}`);
      await c.close();
    }
    await a.saved();
    await until("the other has all of it", () => b.text().toString() === typed);
    assert.equal(a.digest(), b.digest());
  }));

test("offline on both sides, then back", () => withServer(async (_server, client) => {
  const [c, d] = [client(), client()];
  const [a, b] = [await c.open("o"), await d.open("o")];
  a.text().push("base");
  await a.saved();
  await until("base", () => b.text().toString() === "base");
  c.goOffline();
  d.goOffline();
  await until("offline", () => a.status === "offline" && b.status === "offline");
  assert.equal(a.reason, "offline by wish");
  a.text().push(" from a");
  b.text().insert(0, "from b ");
  a.text().delete(0, 2);
  assert.notEqual(a.text().toString(), b.text().toString());
  c.goOnline();
  d.goOnline();
  await Promise.all([a.saved(), b.saved()]);
  await until("equal", () => a.digest() === b.digest());
  assert.equal(a.text().toString(), "from b se from a");
}));

test("a large document comes packed, and a megabyte is pasted", () => withServer(async (_server, client) => {
  const c = client();
  const a = await c.open("big");
  const paste = "All work and no play makes Jack a dull boy. ".repeat(24000);
  a.text().push(paste);
  for (let i = 0; i < 3000; i++) a.text().insert((i * 7919) % a.text().length, String(i % 10));
  await a.saved();
  const b = await client().open("big");
  let messages = 0;
  b.text().observe(() => messages++);
  await b.synced();
  assert.ok(a.text().toString() === b.text().toString());
  assert.equal(a.digest(), b.digest());
  assert.ok(messages < 200, "in pieces, not by characters");
}));

test("what is kept in the browser is there when the page comes back, and what was not sent is sent", () =>
  withServer(async (server, client) => {
    const storage = new MemoryStorage();
    const kept = { storage, store: "kept", tabs: false };
    const first = client(kept);
    const a = await first.open("p");
    a.text().push("saved, ");
    await a.saved();
    await server.kill();
    a.text().push("not saved");
    await until("stored", () => a.local.state === "stored");
    await first.close(); // ... with the server away
    const offline = client(kept);
    const again = await offline.open("p");
    assert.equal(again.text().toString(), "saved, not saved");
    assert.equal(again.unsaved.count, 9);
    again.text().push("!");
    await until("stored", () => again.local.state === "stored");
    await server.start();
    await again.saved();
    const b = await client().open("p");
    await b.synced();
    assert.equal(b.text().toString(), "saved, not saved!");
    await until("no notes are left", () => storage.documents.get("p").own.length === 0);
    assert.equal(b.digest(), again.digest());
  }));

test("a storage that is full says so, loses nothing, and is tried again", () => withServer(async (_server, client) => {
  const storage = new MemoryStorage();
  const write = storage.write.bind(storage);
  let full = true;
  storage.write = (name, writing) => full ? Promise.reject(new Error("the disk is full")) : write(name, writing);
  const a = await client({ storage, store: "full", tabs: false }).open("f");
  a.text().push("typed");
  await until("failed", () => a.local.state === "failed");
  assert.match(a.local.reason, /full/);
  await a.saved(); // the server has it all the same
  a.text().push(" more");
  full = false;
  await until("stored", () => a.local.state === "stored");
  const b = await connect(null, { storage, store: "full", tabs: false }).open("f");
  assert.equal(b.text().toString(), "typed more");
}));

test("pieces are joined", async () => {
  const storage = new MemoryStorage();
  const client = connect(null, { storage, store: "j", tabs: false });
  const a = await client.open("j");
  for (let i = 0; i < 30; i++) {
    a.text().push(`${i} `);
    inside(a)[named("storeNow")]();
  }
  await until("stored", () => a.local.state === "stored");
  assert.equal(storage.documents.get("j").pieces.length, 30);
  const text = a.text().toString();
  await client.close();
  const again = await connect(null, { storage, store: "j", tabs: false }).open("j");
  assert.equal(again.text().toString(), text);
  await until("joined", () => storage.documents.get("j").pieces.length === 1);
});

test("a damaged piece is said, the rest opens", async () => {
  const storage = new MemoryStorage();
  await storage.write("d", { piece: new Uint8Array([1, 2, 3, 255]) });
  const a = await connect(null, { storage, store: "d", tabs: false }).open("d");
  assert.equal(a.local.state, "failed");
  a.text().push("works");
  assert.equal(a.status, "offline");
  assert.equal(a.reason, "no server");
});

/** A server that knows its users; `token` signs for them. */
async function withUsers(fn) {
  const dir = mkdtempSync(join(tmpdir(), "syncline-keys-"));
  const run = (...args) => execFileSync(binary, ["token", ...args], { encoding: "utf8" });
  writeFileSync(join(dir, "key.json"), run("key"), { mode: 0o600 });
  writeFileSync(join(dir, "keys.json"), run("public", join(dir, "key.json")));
  const token = (user, ...rights) => run("make", join(dir, "key.json"), "--user", user, ...rights).trim();
  try {
    await withServer((server, client) => fn(client, token, server), "--keys", join(dir, "keys.json"));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test("who may only read: what was typed is taken out and kept as a branch", () =>
  withUsers(async (client, token) => {
    const storage = new MemoryStorage();
    const writer = await client({ token: token("ann", "--create", "notes") }).open("notes");
    writer.text().push("hers");
    await writer.saved();
    const reader = await client({ token: token("bob", "--read", "notes"), storage, store: "r", tabs: false }).open("notes");
    await until("read", () => reader.text().toString() === "hers");
    let shown = "hers";
    reader.text().observe((e) => { for (const s of e.splices) shown = shown.slice(0, s.index) + s.inserted + shown.slice(s.index + s.removed); });
    const branches = [];
    reader.on("rejected", (branch) => branches.push(branch));
    reader.text().push(" and his");
    assert.equal(shown, "hers and his");
    await until("rejected", () => branches.length === 1);
    assert.equal(reader.text().toString(), "hers");
    assert.equal(shown, "hers", "observers saw it go");
    assert.equal(branches[0].code, "FORBIDDEN");
    assert.equal(reader.rejected.length, 1);
    assert.equal(reader.unsaved.count, 0);
    const copy = await Doc.create(); // it can be looked at beside the document
    copy.import(writer.export());
    copy.import(branches[0].changes);
    assert.equal(copy.text().toString(), "hers and his");
    await until("kept", () => storage.documents.get("notes").branches.length === 1);
    writer.text().insert(0, "still ");
    await until("goes on reading", () => /^still/.test(reader.text().toString()));
    reader.dropRejected(branches[0].name);
    await until("dropped", () => storage.documents.get("notes").branches.length === 0);
  }));

test("changes of others are imported: they are sent before what is typed upon them, also by the next page", () =>
  withServer(async (_server, client) => {
    const friend = await Doc.create();
    const a = await client().open("i");
    a.text().push(".");
    await a.saved();
    friend.import(a.export());
    friend.text().insert(0, "from a file");
    a.import(friend.export());
    assert.equal(a.unsaved.count, 11);
    a.text().insert(0, "typed upon it, ");
    await a.saved();
    const b = await client().open("i");
    await b.synced();
    assert.equal(b.text().toString(), "typed upon it, from a file.");
    // Offline, in a tab that is not the keeper; both tabs end, the next page has it all and sends it.
    const storage = new MemoryStorage();
    const kept = { storage, store: "i", tabs: false };
    const c = client(kept);
    const d = await c.open("i");
    await d.synced();
    await until("stored", () => d.local.state === "stored");
    inside(d)[named("keeper")] = false;
    c.goOffline();
    friend.import(b.export());
    friend.text().insert(0, "another, ");
    d.import(friend.export());
    d.text().insert(0, "more: ");
    await until("stored", () => d.local.state === "stored");
    const next = await client(kept).open("i");
    assert.equal(next.text().toString(), "more: another, typed upon it, from a file.");
    await next.saved();
    await until("all", () => b.digest() === next.digest());
  }));

test("changes of others that this user may not send: rejected with what stands on them, the rest goes on", () =>
  withUsers(async (client, token) => {
    const bobs = client({ token: token("bob", "--create", "d") });
    const bob = await bobs.open("d");
    bob.text().push("bob");
    await bob.saved();
    const ann = await client({ token: token("ann", "--create", "d") }).open("d");
    await until("read", () => ann.text().toString() === "bob");
    bobs.goOffline();
    await until("offline", () => bob.status === "offline");
    bob.text().push(" later");
    const branches = [];
    ann.on("rejected", (branch) => branches.push(branch));
    ann.text().insert(0, "ann, ");
    ann.import(bob.export());
    ann.text().push("!");
    await until("rejected", () => branches.length === 1);
    assert.equal(branches[0].code, "FOREIGN_PEER");
    assert.equal(ann.text().toString(), "ann, bob");
    ann.text().push(".");
    await ann.saved();
    assert.equal(ann.status, "live");
    bobs.goOnline();
    await bob.saved();
    ann.import(branches[0].changes); // now they are there, and what stood on them can go
    await ann.saved();
    await until("equal", () => ann.digest() === bob.digest());
    assert.match(bob.text().toString(), /^ann, bob/);
    assert.match(bob.text().toString(), /!/);
    assert.equal(branches.length, 1);
  }));

test("an engine that fails is a state, and nothing else falls", async () => {
  const client = connect(null, { ...fast });
  const a = await client.open("e");
  a.text().push("typed");
  client.call(() => { throw new WebAssembly.RuntimeError("unreachable"); });
  assert.equal(a.status, "denied");
  assert.match(a.reason, /engine failed/);
  await client.close();
});

test("a state that is too large for presence is refused, and the session goes on", () => withServer(async (_server, client) => {
  const a = await client().open("p");
  assert.throws(() => a.presence.set({ big: "x".repeat(5000) }), { code: "ELIMIT" });
  a.text().push("fine");
  await a.saved();
}));

test("selections stand where they were made, in UTF-16, while everybody types", () => withServer(async (server, client) => {
  const [c, d] = [client(), client()];
  const [a, b] = [await c.open("s"), await d.open("s")];
  const where = (doc, text) => [...doc.presence.others.values()]
    .flatMap((one) => one.selections).filter((one) => one.target === text).map((one) => [one.anchor, one.head]);
  const text = b.text("body");
  a.text("body").push("😀 one two");
  a.map("m").list("items").push(1, 2, 3);
  const body = a.text("body");
  a.presence.select({ target: body, anchor: 10, head: 7 }, { target: body, anchor: 2, head: 2 });
  await until("seen", () => where(b, text).length === 2);
  assert.deepEqual(where(b, text), [[10, 7], [2, 2]]);
  text.insert(0, "😀😀");
  assert.deepEqual(where(b, text), [[14, 11], [6, 6]]);
  b.presence.set({ name: "b" });
  a.presence.set({ name: "a" }); // the selection stays
  await until("named", () => [...b.presence.others.values()].some((one) => one.state?.name === "a"));
  assert.deepEqual(where(b, text), [[14, 11], [6, 6]]);
  await Promise.all([a.saved(), b.saved()]);
  await server.kill(); // and the next server is told again
  await until("alone", () => b.presence.others.size === 0);
  await server.start();
  await until("seen again", () => where(b, text).length === 2);
  assert.deepEqual(where(b, text), [[14, 11], [6, 6]]);
  const items = (doc) => doc.map("m").list("items"); // a list in a map
  a.presence.select({ target: items(a), anchor: 2, head: 2 });
  await until("in the list", () => where(b, items(b)).length === 1);
  items(b).insert(0, 0);
  assert.deepEqual(where(b, items(b)), [[3, 3]]);
  assert.throws(() => a.presence.select({ target: items(a), anchor: 0, head: 0 }, { target: body, anchor: 0, head: 0 }), { code: "EMISUSE" });
  a.presence.select();
  await until("gone", () => where(b, items(b)).length === 0);
  assert.throws(() => a.presence.select(...Array(65).fill({ target: a.text("body"), anchor: 0, head: 0 })), { code: "ELIMIT" });
}));

test("two documents opened at once", () => withServer(async (_server, client) => {
  const c = client();
  const [a, b] = await Promise.all([c.open("one"), c.open("two")]);
  a.text().push("1");
  b.text().push("2");
  await Promise.all([a.saved(), b.saved()]);
  await a.close();
  b.text().push("2");
  await b.saved();
  assert.throws(() => a.text().push("x"), { code: "ECLOSED" });
}));

test("a tab that has no connection: its edits reach the server through another tab", () => withServer(async (server, client) => {
  const storage = new MemoryStorage();
  const shared = { storage, store: `tabs-${server.url}`, tabs: true };
  const a = await client({ ...shared, transport: { open: (e) => setTimeout(() => e.closed("no line"), 5), send: () => true, close: () => undefined } }).open("t");
  const b = await client(shared).open("t");
  const c = await client().open("t");
  a.text().push("from a");
  await until("b has it", () => b.text().toString() === "from a");
  b.text().push(", b");
  await until("a has b's", () => a.text().toString() === "from a, b");
  await b.saved();
  await until("c has all", () => c.text().toString() === "from a, b");
  a.text().push("!");
  b.text().push("?");
  await b.saved();
  await until("all", () => c.digest() === b.digest() && a.digest() === b.digest());
}));

test("a document is deleted while some have it open, and some are away: denied, with its reason; what was typed stays", () =>
  withUsers(async (signed, token, server) => {
    const storage = new MemoryStorage();
    const ann = token("ann", "--create", "*", "--admin");
    const client = (options) => signed({ token: ann, ...options });
    const kept = { storage, store: "gone", tabs: false };
    const [c, d] = [client(), client(kept)];
    const [a, b] = [await c.open("gone"), await d.open("gone")];
    a.text().push("typed");
    await a.saved();
    await until("read", () => b.text().toString() === "typed");
    d.goOffline();
    await until("offline", () => b.status === "offline");
    b.text().push(" offline");
    const headers = { authorization: `Bearer ${ann}` };
    const answer = await fetch(`http://${server.listen}/v1/documents/gone`, { method: "DELETE", headers });
    assert.equal(answer.status, 200);
    await until("denied", () => a.status === "denied");
    assert.match(a.reason, /DELETED/);
    a.text().push(" on");
    d.goOnline();
    await until("denied", () => b.status === "denied");
    assert.match(b.reason, /DELETED/);
    await assert.rejects(b.saved(), { code: "EDENIED" });
    assert.equal(b.unsaved.count, 8);
    assert.deepEqual([a.text().toString(), b.text().toString()], ["typed on", "typed offline"]);
    await until("stored", () => b.local.state === "stored");
    await d.close();
    const again = await client(kept).open("gone"); // the next page: still there, still refused
    assert.equal(again.text().toString(), "typed offline");
    await until("denied", () => again.status === "denied");
    const other = await client().open("another"); // and this is how it gets away
    other.import(again.export());
    await other.saved();
    assert.equal(other.text().toString(), "typed offline");
  }));

test("a token that expires while connected: denied with its reason, until there is another", () =>
  withUsers(async (client, token) => {
    const c = client({ token: token("ann", "--create", "*", "--for", "1s") });
    const a = await c.open("t");
    a.text().push("before");
    await a.saved().catch(() => undefined); // on a slow machine it may have ended by now
    await until("denied", () => a.status === "denied");
    assert.match(a.reason, /EXPIRED/);
    a.text().push(", between");
    assert.ok(a.unsaved.count >= 9);
    c.setToken(token("ann", "--create", "*"));
    await a.saved();
    const b = await client({ token: token("bob", "--read", "*") }).open("t");
    await b.synced();
    assert.equal(b.text().toString(), "before, between");
    assert.equal(a.rejected.length, 0);
  }));

/* ---- Servers that are none ---- */

const varint = (n) => n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)];
const field = (number, bytes) => [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
const frame = (kind, body) => new Uint8Array(field(kind, body));
const number = (n, v) => [...varint(n * 8), ...varint(v)];

/** A transport with the test at its other end. */
function scripted(script) {
  return {
    open(events) {
      this.events = events;
      queueMicrotask(() => events.opened());
    },
    send(bytes) {
      setTimeout(() => script(bytes, this.events), 0);
      return true;
    },
    close(reason) {
      const { events } = this;
      setTimeout(() => events.closed(reason), 0);
    },
  };
}

test("a server of another version: denied, with its reason; what was typed stays", async () => {
  const transport = scripted((_bytes, events) =>
    events.message(frame(22, [...number(1, 3), ...number(2, 1), ...field(4, [...Buffer.from("too old")])])));
  const client = connect("ws://nowhere", { ...fast, transport });
  const a = await client.open("v");
  a.text().push("typed");
  await until("denied", () => a.status === "denied");
  assert.match(a.reason, /VERSION: too old/);
  assert.equal(client.status, "denied");
  a.text().push(" on");
  assert.equal(a.text().toString(), "typed on");
  await assert.rejects(a.saved(), { code: "EDENIED" });
  await client.close();
});

test("an expired token: denied until there is another", async () => {
  let tokens = 0;
  const transport = scripted((bytes, events) => {
    if (Buffer.from(bytes).includes("fresh")) tokens++;
    else events.message(frame(22, [...number(1, 5), ...field(4, [...Buffer.from("sign in again")])]));
  });
  const client = connect("ws://nowhere", { ...fast, transport, token: "stale" });
  const a = await client.open("t");
  await until("denied", () => a.status === "denied");
  assert.match(a.reason, /EXPIRED/);
  client.setToken("fresh");
  await until("tried again", () => tokens === 1);
  await client.close();
});

test("a new token while the refused connection is still being closed: it is tried", async () => {
  let tokens = 0;
  const transport = scripted((bytes, events) => {
    if (Buffer.from(bytes).includes("fresh")) tokens++;
    else events.message(frame(22, [...number(1, 5), ...field(4, [...Buffer.from("sign in again")])]));
  });
  let closed;
  transport.close = (reason) => (closed = () => transport.events.closed(reason));
  const client = connect("ws://nowhere", { ...fast, transport, token: "stale" });
  const a = await client.open("t");
  await until("denied", () => a.status === "denied");
  client.setToken("fresh");
  assert.notEqual(a.status, "denied");
  closed();
  await until("tried again", () => tokens === 1);
  transport.close = transport.events.closed;
  await client.close();
});

test("a new token while the old one's refusal is under way: it is tried, and nobody hears of the refusal", async () => {
  const [heard, refusals] = [[], []];
  const transport = scripted((bytes, events) => {
    const token = /stale|fresh/.exec(Buffer.from(bytes).toString("latin1"))?.[0];
    heard.push(token);
    if (token === "stale") refusals.push(() => events.message(frame(22, [...number(1, 5), ...field(4, [...Buffer.from("sign in again")])])));
  });
  const client = connect("ws://nowhere", { ...fast, transport, token: "stale" });
  const a = await client.open("t");
  const statuses = [];
  a.on("status", ({ status }) => statuses.push(status));
  await until("asked", () => refusals.length === 1);
  client.setToken("fresh");
  refusals[0]();
  await until("tried again", () => heard.includes("fresh"));
  assert.ok(!statuses.includes("denied"), statuses.join());
  await client.close();
});

test("a new token between hello and welcome: it is given to the server that welcomed the old one", async () => {
  const heard = [];
  let welcome;
  const transport = scripted((bytes, events) => {
    heard.push(/stale|fresh/.exec(Buffer.from(bytes).toString("latin1"))?.[0]);
    welcome ??= () => events.message(frame(17, number(1, 1)));
  });
  const client = connect("ws://nowhere", { ...fast, transport, token: "stale" });
  await client.open("t");
  await until("asked", () => welcome !== undefined);
  client.setToken("fresh");
  assert.deepEqual(heard, ["stale"]);
  welcome();
  await until("given", () => heard.includes("fresh"));
  await client.close();
});

test("a new token with more rights opens what the old one could not; it does not end being offline by wish", () =>
  withUsers(async (client, token) => {
    const c = client({ token: token("ann", "--create", "notes") });
    const secret = await c.open("secret");
    secret.text().push("typed");
    await until("denied", () => secret.status === "denied");
    assert.match(secret.reason, /FORBIDDEN/);
    c.setToken(token("ann", "--create", "*"));
    await secret.saved();
    assert.equal(secret.rejected.length, 0);
    c.goOffline();
    await until("offline", () => secret.status === "offline");
    c.setToken(token("ann", "--create", "*", "--for", "1h"));
    await until("told", () => secret.reason === "offline by wish");
    assert.equal(c.online, false);
    assert.equal(secret.status, "offline");
  }));

test("noise: the connection ends, and is tried again", async () => {
  let times = 0;
  const transport = scripted((_bytes, events) => {
    times++;
    events.message(new Uint8Array([255, 255, 255, 255, 1, 2, 3]));
  });
  const client = connect("ws://nowhere", { ...fast, transport });
  const a = await client.open("n");
  a.text().push("x");
  await until("three tries", () => times >= 3);
  assert.notEqual(a.status, "live");
  assert.notEqual(a.reason, "");
  await client.close();
});

test("no server there: offline, with its reason", async () => {
  const socket = createServer((one) => one.destroy()).listen(0, "127.0.0.1");
  await once(socket, "listening");
  const client = connect(`ws://127.0.0.1:${socket.address().port}`, fast);
  const a = await client.open("n");
  await until("offline", () => a.status === "offline");
  assert.notEqual(a.reason, "");
  await client.close();
  socket.close();
});

test("a line that is slow and drops: all arrives", () => withServer(async (server, client) => {
  let drops = 0;
  class Bad {
    constructor(url) { this.inner = new WebSocketTransport(url); }
    open(events) {
      let sent = Promise.resolve();
      this.events = events;
      this.inner.open({ ...events,
        opened: () => events.opened(), writable: () => events.writable(), closed: (r) => events.closed(r),
        message: (bytes) => (sent = sent.then(() => new Promise((r) => setTimeout(r, 5))).then(() => events.message(bytes))) });
    }
    send(bytes) {
      if (++drops % 25 === 0) this.inner.close("dropped");
      return this.inner.send(bytes);
    }
    close(reason) { this.inner.close(reason); }
  }
  const a = await client({ transport: (url) => new Bad(url) }).open("s");
  const b = await client().open("s");
  for (let i = 0; i < 200; i++) {
    a.text().push(`${i} `);
    if (i % 7 === 0) b.text().insert(0, "b");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all([a.saved(), b.saved()]);
  await until("equal", () => a.digest() === b.digest());
  assert.ok(drops > 25);
  void server;
}));
