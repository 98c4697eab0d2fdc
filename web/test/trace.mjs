// trace.mjs -- CTRACE 1 (cli/trace.h): records of transactions with parents and patches.
//
// A transaction of agent A is made by A's replica, which first gets what its parents stand on; so
// each agent is a document here, and changes travel between them as bytes.
import { Doc } from "../dist/syncline.js";
import { named } from "./names.mjs";

const unescape = (field) => Buffer.from(field.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), "latin1").toString("utf8");

export function parse(text) {
  const records = [];
  let record;
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    switch (line[0]) {
      case "R":
        record = { name: fields[1], agents: Number(fields[3]), txns: [], expected: [] };
        records.push(record);
        break;
      case "T": {
        const at = record.txns.length;
        const parents = fields[2] === "-" ? [] : fields[2] === "." ? (at === 0 ? [] : [at - 1]) : fields[2].split(",").map(Number);
        const patches = fields.slice(3).map((patch) => {
          const [pos, removed] = patch.split(",", 2);
          return { pos: Number(pos), removed: Number(removed), text: unescape(patch.slice(pos.length + removed.length + 2)) };
        });
        record.txns.push({ agent: Number(fields[1]), parents, patches });
        break;
      }
      case "V": record.expected.push({ what: "V", txn: Number(fields[1]), sha: fields[4] }); break;
      case "W": record.expected.push({ what: "W", txn: Number(fields[1]), text: unescape(fields[2] ?? "") }); break;
      case "F": record.expected.push({ what: "F", sha: fields[3] }); break;
      case "E": record.expected.push({ what: "E", text: unescape(fields[1] ?? "") }); break;
    }
  }
  return records;
}

/** Positions count code points there, UTF-16 units here. */
function units(string, scalars) {
  let at = 0;
  for (; scalars > 0 && at < string.length; scalars--) at += string.codePointAt(at) > 0xffff ? 2 : 1;
  return at;
}

const peerOf = (agent) => agent + 1; // a smaller agent is a smaller peer

function edit(doc, wide, { pos, removed, text }) {
  const t = doc.text();
  if (!wide()) {
    if (removed > 0) t.delete(pos, removed);
    if (text !== "") t.insert(pos, text);
    return;
  }
  const now = t.toString();
  const [from, end] = [units(now, pos), units(now, pos + removed)];
  t.delete(from, end - from);
  t.insert(from, text);
}

/** The record's final document; texts of the versions asked for on the way in `texts`. */
export async function replay(record, asked = new Set()) {
  const core = (await Doc.create())[named("core")];
  const replicas = new Map();
  const replica = (agent) => {
    let one = replicas.get(agent);
    if (one === undefined) {
      const doc = Doc[named("_make")](core, "", 0), at = doc[named("_at")];
      core[named("check")](core[named("x")][named("doc_set_peer")](at, peerOf(agent), 0), at);
      replicas.set(agent, (one = { doc, has: new Uint8Array(record.txns.length) }));
    }
    return one;
  };
  const made = []; // per transaction its changes, for the other replicas
  const texts = new Map();
  const fetch = (one, parents) => {
    const lacking = [];
    for (const todo = [...parents]; todo.length !== 0;) {
      const at = todo.pop();
      if (one.has[at] !== 0) continue;
      one.has[at] = 1;
      lacking.push(at);
      todo.push(...record.txns[at].parents);
    }
    for (const at of lacking.sort((a, b) => a - b)) one.doc.import(made[at]);
  };
  let wide = false;
  for (const [at, txn] of record.txns.entries()) {
    const one = replica(txn.agent);
    fetch(one, txn.parents);
    one.has[at] = 1;
    const before = record.agents > 1 ? one.doc.vector() : undefined;
    for (const patch of txn.patches) {
      wide ||= /[\ud800-\udfff]/.test(patch.text);
      edit(one.doc, () => wide, patch);
    }
    if (before !== undefined) made[at] = one.doc.export(before);
    if (asked.has(at)) texts.set(at, one.doc.text().toString());
  }
  const last = replica(record.txns.at(-1)?.agent ?? 0);
  if (record.agents > 1) fetch(last, record.txns.keys());
  return { doc: last.doc, texts };
}
