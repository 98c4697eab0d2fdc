// works.mjs -- three libraries behind one set of calls, and what is measured of each: the same in Node.js
// (bench.mjs) and in a page (page.mjs).

/** `modules` says how each is imported here. */
export const libraries = (modules) => ({
  async syncline() {
    const { Client, Doc } = await modules.syncline();
    await Doc.create(); // compiled once for a page
    return {
      create: () => Doc.create(),
      client: () => new Client(null, { store: false }),
      insert: ({ text }, at, what) => text.insert(at, what),
      remove: ({ text }, at, count) => text.delete(at, count),
      open: (doc) => doc.text(),
      commit: () => undefined,
      version: ({ doc }) => doc.vector(),
      since: ({ doc }, version) => doc.export(version),
      apply: ({ doc }, bytes) => doc.import(bytes),
      all: ({ doc }) => doc.export(),
      text: ({ text }) => text.toString(),
    };
  },
  async yjs() {
    const Y = await modules.yjs();
    return {
      create: () => new Y.Doc(),
      insert: ({ text }, at, what) => text.insert(at, what),
      remove: ({ text }, at, count) => text.delete(at, count),
      open: (doc) => doc.getText("t"),
      commit: () => undefined,
      version: ({ doc }) => Y.encodeStateVector(doc),
      since: ({ doc }, version) => Y.encodeStateAsUpdate(doc, version),
      apply: ({ doc }, bytes) => Y.applyUpdate(doc, bytes),
      all: ({ doc }) => Y.encodeStateAsUpdate(doc),
      text: ({ text }) => text.toString(),
    };
  },
  async loro() {
    const { LoroDoc } = await modules.loro();
    return {
      create: () => new LoroDoc(),
      insert: ({ text }, at, what) => text.insert(at, what),
      remove: ({ text }, at, count) => text.delete(at, count),
      open: (doc) => doc.getText("t"),
      commit: ({ doc }) => doc.commit(),
      version: ({ doc }) => doc.version(),
      since: ({ doc }, version) => doc.export({ mode: "update", from: version }),
      apply: ({ doc }, bytes) => doc.import(bytes),
      all: ({ doc }) => doc.export({ mode: "snapshot" }),
      text: ({ text }) => text.toString(),
    };
  },
});

function edit(lib, doc, { pos, removed, text }) {
  if (removed > 0) lib.remove(doc, pos, removed);
  if (text !== "") lib.insert(doc, pos, text);
}

export async function make(lib) {
  const doc = await lib.create();
  return { doc, text: lib.open(doc) };
}

/** Each transaction's changes, and the final document. */
export async function changes(lib, record) {
  const made = [];
  const agents = [];
  const fetch = (one, parents) => {
    const lacking = [];
    for (const todo = [...parents]; todo.length !== 0;) {
      const at = todo.pop();
      if (one.has[at] !== 0) continue;
      one.has[at] = 1;
      lacking.push(at);
      todo.push(...record.txns[at].parents);
    }
    for (const at of lacking.sort((a, b) => a - b)) lib.apply(one.doc, made[at]);
  };
  for (const [at, txn] of record.txns.entries()) {
    const one = (agents[txn.agent] ??= { doc: await make(lib), has: new Uint8Array(record.txns.length) });
    fetch(one, txn.parents);
    one.has[at] = 1;
    const before = lib.version(one.doc);
    for (const patch of txn.patches) edit(lib, one.doc, patch);
    lib.commit(one.doc);
    made[at] = lib.since(one.doc, before);
  }
  fetch(agents[0], record.txns.keys());
  return { made, doc: agents[0].doc };
}

async function timed(fn) {
  const start = performance.now();
  const result = await fn();
  return [performance.now() - start, result];
}

export async function local(lib, record, name) {
  const warm = await make(lib);
  for (let i = 0; i < 20000; i++) lib.insert(warm, 0, "x");
  lib.commit(warm);
  const doc = await make(lib);
  const [ms] = await timed(() => {
    for (const txn of record.txns) for (const patch of txn.patches) edit(lib, doc, patch);
    lib.commit(doc);
  });
  return { [`local ${name}, ms`]: ms, doc };
}

/** Each takes a library and a function that gives a record by its name. */
export const works = {
  async local(lib, record) {
    const row = await local(lib, record("automerge-paper"), "automerge-paper");
    delete row.doc;
    return row;
  },
  async merge(lib, record) {
    const { made, doc: source } = await changes(lib, record("friendsforever"));
    const doc = await make(lib);
    const [ms, text] = await timed(() => {
      for (const bytes of made) lib.apply(doc, bytes);
      return lib.text(doc);
    });
    if (text !== lib.text(source)) throw new Error("they differ");
    const all = lib.all(source);
    const [loadMs] = await timed(async () => {
      const again = await make(lib);
      lib.apply(again, all);
      if (lib.text(again) !== text) throw new Error("they differ");
    });
    return { "merge friendsforever, ms": ms, "load friendsforever, ms": loadMs, "size friendsforever, bytes": all.length };
  },
  async load(lib, record) {
    const { doc } = await local(lib, record("automerge-paper"), "automerge-paper");
    const all = lib.all(doc);
    const text = lib.text(doc);
    const [ms] = await timed(async () => {
      const again = await make(lib);
      lib.apply(again, all);
      if (lib.text(again) !== text) throw new Error("they differ");
    });
    return { "load automerge-paper, ms": ms, "size automerge-paper, bytes": all.length };
  },
};
