// schema.js -- reads syncline.proto itself, and decodes any message by it: what is shown is the contract's
// own words, not a second copy of them.

/** { messages: Map(name -> Map(number -> field)), enums: Map(name -> Map(number -> name)) } */
export function readSchema(source) {
  const text = source.replace(/\/\/[^\n]*/g, "");
  const messages = new Map();
  const enums = new Map();
  for (const [, kind, name, body] of text.matchAll(/\b(message|enum)\s+(\w+)\s*\{((?:[^{}]|\{[^{}]*\})*)\}/g)) {
    if (kind === "enum") {
      enums.set(name, new Map([...body.matchAll(/(\w+)\s*=\s*(\d+)/g)].map(([, word, number]) => [Number(number), word])));
      continue;
    }
    const fields = new Map();
    for (const [, repeated, type, field, number] of body.matchAll(/(repeated\s+)?(\w+)\s+(\w+)\s*=\s*(\d+)/g))
      fields.set(Number(number), { name: field, type, repeated: repeated !== undefined });
    messages.set(name, fields);
  }
  return { messages, enums };
}

/* ---- Wire ---- */

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }
  get done() {
    return this.at >= this.bytes.length;
  }
  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 64n; shift += 7n) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new Error("cut off");
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new Error("a number of more than ten bytes");
  }
  take(count) {
    if (this.at + count > this.bytes.length) throw new Error("cut off");
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }
  fixed64() {
    const value = this.view.getBigUint64(this.at, true);
    this.at += 8;
    return value;
  }
  double() {
    const value = this.view.getFloat64(this.at, true);
    this.at += 8;
    return value;
  }
}

const number = (big) => (big <= BigInt(Number.MAX_SAFE_INTEGER) && big >= -BigInt(Number.MAX_SAFE_INTEGER) ? Number(big) : big);
const zigzag = (big) => (big & 1n ? -(big >> 1n) - 1n : big >> 1n);

const readers = {
  uint32: (r) => number(r.varint()),
  uint64: (r) => number(r.varint()),
  int32: (r) => Number(BigInt.asIntN(32, r.varint())),
  int64: (r) => number(BigInt.asIntN(64, r.varint())),
  sint32: (r) => number(zigzag(r.varint())),
  sint64: (r) => number(zigzag(r.varint())),
  bool: (r) => r.varint() !== 0n,
  fixed64: (r) => r.fixed64().toString(16).padStart(16, "0"),
  double: (r) => r.double(),
};

/** [{ name, number, type, values, size }] in the order of the message; children are such arrays. */
export function decode(schema, type, bytes) {
  const fields = schema.messages.get(type);
  const r = new Reader(bytes);
  const found = [];
  while (!r.done) {
    const from = r.at;
    const tag = Number(r.varint());
    const field = fields.get(tag >> 3) ?? { name: `field ${tag >> 3}`, type: "unknown", repeated: true };
    const values = valuesOf(schema, field, tag & 7, r);
    const last = found[found.length - 1];
    if (field.repeated && last?.number === tag >> 3) {
      last.values.push(...values);
      last.size += r.at - from;
    } else found.push({ name: field.name, number: tag >> 3, type: field.type, repeated: field.repeated, values, size: r.at - from });
  }
  return found;
}

function valuesOf(schema, field, wire, r) {
  const scalar = readers[field.type] ?? (schema.enums.has(field.type) ? readers.uint32 : undefined);
  if (wire !== 2) {
    if (scalar !== undefined) return [named(schema, field, scalar(r))];
    return [wire === 0 ? number(r.varint()) : wire === 1 ? r.fixed64() : r.take(4)];
  }
  const bytes = r.take(Number(r.varint()));
  if (schema.messages.has(field.type)) return [decode(schema, field.type, bytes)];
  if (scalar === undefined) return [bytes];
  const packed = new Reader(bytes);
  const values = [];
  while (!packed.done) values.push(named(schema, field, scalar(packed)));
  return values;
}

function named(schema, field, value) {
  const words = schema.enums.get(field.type);
  return words === undefined ? value : { number: value, word: words.get(value) ?? String(value) };
}

/* ---- Changes as rows ---- */

const column = (fields, name) => fields.find((field) => field.name === name)?.values;
const at = (values, i, usual = 0) => {
  const value = values === undefined ? usual : values[i];
  return typeof value === "object" && value !== null && "number" in value ? value.number : value;
};

/** Runs of a Changes message with their parents as "run index" links, oldest first. */
export function runsOf(fields) {
  const peers = column(fields, "peers") ?? [];
  const lens = column(fields, "run_len");
  const [peer, seq, deps] = ["run_peer", "run_seq", "run_deps"].map((name) => column(fields, name));
  const [depPeer, depSeq] = ["dep_peer", "dep_seq"].map((name) => column(fields, name));
  const count = Math.max(...[lens, peer, seq, deps].map((values) => values?.length ?? 0), 1);
  const total = opsOf(fields).reduce((sum, op) => sum + op.events, 0);
  const next = new Map(); // peer index -> first seq after its last run
  const lastNamed = new Map();
  const runs = [];
  let dep = 0;
  for (let i = 0; i < count; i++) {
    const who = at(peer, i);
    const len = lens === undefined ? total : lens[i];
    const first = at(seq, i) + (next.get(who) ?? 0);
    const parents = [];
    const explicit = at(deps, i);
    for (let k = 0; k < explicit; k++, dep++) {
      const of = at(depPeer, dep);
      const number = at(depSeq, dep) + (lastNamed.get(of) ?? 0);
      lastNamed.set(of, number);
      parents.push({ peer: of, seq: number });
    }
    if (explicit === 0 && first > 0) parents.push({ peer: who, seq: first - 1 });
    next.set(who, first + len);
    lastNamed.set(who, first + len - 1);
    runs.push({ peer: who, name: peers[who] ?? "", seq: first, len, parents });
  }
  return runs;
}

/** Operation runs: { container, kind, events, bytes }. */
export function opsOf(fields) {
  const [container, kind, len] = ["op_container", "op_kind", "op_len"].map((name) => column(fields, name));
  const text = column(fields, "text")?.[0] ?? new Uint8Array();
  const count = Math.max(...[container, kind, len, column(fields, "op_pos")].map((values) => values?.length ?? 0), 1);
  const ops = [];
  let offset = 0;
  for (let i = 0; i < count; i++) {
    const op = { container: at(container, i), kind: at(kind, i), events: at(len, i, 1), bytes: 0 };
    if (op.kind === 3) op.events = 2; // a mark is two events, whatever it spans
    if (op.kind === 8) op.events = 1;
    if (op.kind === 0) {
      const from = offset;
      for (let left = op.events; left > 0; left--) {
        offset++;
        while (offset < text.length && (text[offset] & 0xc0) === 0x80) offset++;
      }
      op.bytes = offset - from;
    }
    ops.push(op);
  }
  return ops;
}

/** Names of the containers of a Changes message, by index. */
export function containerNames(fields) {
  const table = column(fields, "containers");
  if (table === undefined) return ["text \"\""];
  const names = [];
  const decoder = new TextDecoder();
  for (const entry of table) {
    const get = (name) => entry.find((field) => field.name === name)?.values[0];
    const kind = (get("kind")?.word ?? "TEXT").toLowerCase().replace("kind_", "").replace("container_", "");
    if (get("parent")) names.push(`${names[get("parent") - 1]} / ${decoder.decode(get("key") ?? new Uint8Array())} (${kind})`);
    else if (get("peer")) names.push(`${kind} made by event ${get("seq") ?? 0}`);
    else names.push(`${kind} "${decoder.decode(get("name") ?? new Uint8Array())}"`);
  }
  return names;
}
