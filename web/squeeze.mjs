// squeeze.mjs -- the linked engine once more, the same code in fewer bytes under gzip.
//
//     node squeeze.mjs IN.wasm OUT.wasm NAMES.json
//
// Functions stand by what they are like, which gzip finds: after the smallest one always that of which
// most has been there within the window of gzip, by the one of a few measures that ends up smallest.
// Everything that names a function by its number is written anew: calls, tables, exports.  How a load
// or store is aligned, a hint that nobody needs, is always the same, and so are the numbers of locals
// that are used alike.  And functions are not exported
// by name but stand at the end of the table, behind a gap, the last one first: src/wasm.ts calls them
// $0, $1 ..., NAMES.json tells which is which, and build.mjs gives the rest of the JavaScript the same
// names.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const TYPE = 1, IMPORT = 2, FUNCTION = 3, TABLE = 4, EXPORT = 7, ELEMENT = 9, CODE = 10;
const FUNCREF = 0x70, I32 = 0x7f, I64 = 0x7e, F32 = 0x7d, F64 = 0x7c;
const END = 0x0b, CALL = 0x10, LOCAL_GET = 0x20, LOCAL_TEE = 0x22, I32_CONST = 0x41, REF_FUNC = 0xd2, LOAD = 0x28, LAST_STORE = 0x3e;

/** Reads numbers and bytes of `data`, one after the other. */
class Reader {
  at = 0;
  constructor(data) {
    this.data = data;
  }
  get more() {
    return this.at < this.data.length;
  }
  byte() {
    return this.data[this.at++];
  }
  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }
  bytes(count) {
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }
  list(one) {
    return Array.from({ length: this.number() }, () => one(this));
  }
}

function number(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}
/** The same for a number from 0 on, where signed ones are expected. */
function signed(value) {
  const bytes = number(value), last = bytes.pop();
  return last & 64 ? [...bytes, last | 128, 0] : [...bytes, last];
}
const sized = (bytes) => [...number(bytes.length), ...bytes];
const listed = (items) => [...number(items.length), ...items.flat()];

/** What follows an opcode: b a byte, n a number (signed ones are as long), t a branch table, v types. */
function operands(op, r) {
  if (op >= 0x02 && op <= 0x04) return "n";
  if (op === 0x0c || op === 0x0d) return "n";
  if (op === 0x0e) return "t";
  if (op === 0x11) return "nn";
  if (op === 0x1c) return "v";
  if (op >= 0x20 && op <= 0x24) return "n";
  if (op >= 0x28 && op <= 0x3e) return "nn";
  if (op === 0x3f || op === 0x40) return "b";
  if (op === 0x41 || op === 0x42) return "n";
  if (op === 0x43) return "bbbb";
  if (op === 0x44) return "bbbbbbbb";
  if (op === 0xfc) {
    const which = r.number();
    if (which < 8) return "";
    if (which === 10) return "bb"; // memory.copy
    if (which === 11) return "b"; // memory.fill
  } else if (op <= 0xc4) {
    return "";
  }
  throw new Error(`squeeze: opcode ${op.toString(16)} is not known here`);
}

function skip(r, form) {
  for (const one of form) {
    if (one === "b") r.byte();
    else if (one === "v") r.list(() => r.byte());
    else if (one === "t") (r.list(() => r.number()), r.number());
    else r.number();
  }
}

/** A function's body with other numbers in its calls, and no alignment. */
function renumbered(body, numberOf) {
  const r = new Reader(body);
  const out = [];
  let copied = 0;
  r.list(() => (r.number(), r.byte())); // locals
  while (r.more) {
    const from = r.at;
    const op = r.byte();
    if (op === CALL || op === REF_FUNC) {
      out.push(...body.subarray(copied, from), op, ...number(numberOf(r.number())));
      copied = r.at;
    } else if (op >= LOAD && op <= LAST_STORE) {
      out.push(...body.subarray(copied, from), op, 0);
      r.byte();
      copied = r.at;
      r.number();
    } else {
      skip(r, operands(op, r));
    }
  }
  out.push(...body.subarray(copied));
  return out;
}

/**
 * The body of a function with so many parameters with its other locals in another order: by type, as
 * they are declared, and the most used ones first.  So those of like functions have like numbers.
 */
function relocated(body, params) {
  const r = new Reader(body);
  const typeOf = r.list(() => new Array(r.number()).fill(r.byte())).flat();
  const start = r.at;
  const uses = []; // [from, end, number]
  const count = new Map();
  while (r.more) {
    const op = r.byte(), from = r.at;
    if (op >= LOCAL_GET && op <= LOCAL_TEE) {
      const local = r.number();
      uses.push([from, r.at, local]);
      count.set(local, (count.get(local) ?? 0) + 1);
    } else if (op === CALL || op === REF_FUNC) {
      r.number();
    } else {
      skip(r, operands(op, r));
    }
  }
  const firstUsed = [...count.keys()].filter((local) => local >= params);
  const kinds = [I32, I64, F32, F64].map((type) =>
    firstUsed.filter((local) => typeOf[local - params] === type).sort((a, b) => count.get(b) - count.get(a)));
  const place = new Map(kinds.flat().map((local, i) => [local, params + i]));
  if (place.size !== firstUsed.length) throw new Error("squeeze: a local of another type");
  const declared = kinds.map((locals, i) => [...number(locals.length), I32 - i]).filter(([many]) => many !== 0);
  const out = listed(declared);
  let copied = start;
  for (const [from, end, local] of uses) {
    out.push(...body.subarray(copied, from), ...number(place.get(local) ?? local));
    copied = end;
  }
  out.push(...body.subarray(copied));
  return Uint8Array.from(out);
}

function sectionsOf(file) {
  const r = new Reader(file);
  const sections = [];
  r.bytes(8);
  while (r.more) sections.push([r.byte(), r.bytes(r.number())]);
  return sections;
}

/**
 * In which order the bodies share most with those shortly before them: `run` bytes at a time, at most
 * `window` back; short bodies gain little, as if they had `small` of their own.
 */
function likeByLike(bodies, [run, window, small]) {
  const runs = bodies.map((body) => Array.from({ length: Math.max(body.length - run + 1, 0) }, (_, i) => {
    let hash = 0;
    for (let k = 0; k < run; k++) hash = Math.imul(hash, 0x9e3779b1) + body[i + k];
    return (hash ^ hash >>> 15) & (1 << 22) - 1;
  }));
  const last = new Int32Array(1 << 22).fill(-window);
  const left = new Set(bodies.keys());
  const order = [];
  let at = 0;
  let next = bodies.reduce((least, body, i) => (body.length < bodies[least].length ? i : least), 0);
  while (left.size > 0) {
    left.delete(next);
    order.push(next);
    for (const one of runs[next]) last[one] = at++;
    let best = -1;
    for (const i of left) {
      let known = 0;
      for (const one of runs[i]) known += at - last[one] < window;
      known /= runs[i].length + small;
      if (known > best) [best, next] = [known, i];
    }
  }
  return order;
}
const MEASURES = [
  [3, 30000, 8], [3, 30000, 4], [3, 30000, 2], [3, 45000, 4], [3, 60000, 8], [3, 90000, 2],
  [4, 30000, 4], [4, 45000, 2], [5, 12000, 8], [5, 30000, 2], [5, 45000, 4], [6, 16000, 2],
];

const [from, to, namesFile] = process.argv.slice(2);
const file = readFileSync(from);
const sections = sectionsOf(file);
const section = (id) => new Reader(sections.find((one) => one[0] === id)[1]);

const imported = section(IMPORT).number(); // all of them functions, as size.test.mjs asks
const functions = section(FUNCTION);
const types = functions.list(() => functions.number());
const code = section(CODE);
const params = section(TYPE).list((r) => {
  r.byte(); // a function
  const given = r.list(() => r.byte()).length;
  r.list(() => r.byte());
  return given;
});
const bodies = code.list(() => code.bytes(code.number())).map((body, i) => relocated(body, params[types[i]]));

/** The whole file with its functions in that order, and what the exported ones are called in it. */
function squeezed(order) {
  const place = new Map(order.map((old, i) => [old + imported, i + imported]));
  const numberOf = (old) => place.get(old) ?? old;

  const utf8 = new TextDecoder();
  const exported = section(EXPORT).list((r) => ({ name: utf8.decode(r.bytes(r.number())), kind: r.byte(), index: r.number() }))
    .filter((one) => one.kind === 0).map(({ name, index }) => ({ name, index: numberOf(index) })).sort((a, b) => b.index - a.index);
  const names = Object.fromEntries(exported.map(({ name }, i) => [name, `$${i.toString(36)}`]));

  /** The one table, long enough for a gap and what is exported; `first` is the place of that. */
  const tables = section(TABLE);
  if (tables.number() !== 1 || tables.byte() !== FUNCREF) throw new Error("squeeze: not one table of functions");
  tables.byte();
  const first = tables.number() + 1;
  const slots = number(first + exported.length);
  const table = [1, FUNCREF, 1, ...slots, ...slots];

  const named = (name, kind, index) => [...sized(new TextEncoder().encode(name)), kind, index];
  const exports = listed([named("memory", 2, 0), named("table", 1, 0)]);

  /** Tables from a place on, of functions' numbers: all that the linker writes; and what is exported. */
  function elements(r) {
    const linked = r.list(() => {
      if (r.number() !== 0) throw new Error("squeeze: a table of another form");
      const start = r.at;
      if (r.byte() !== I32_CONST) throw new Error("squeeze: a table's place is no constant");
      r.number();
      r.byte();
      const where = r.data.subarray(start, r.at);
      return [0, ...where, ...listed(r.list(() => number(numberOf(r.number()))))];
    });
    const own = [...exported].reverse().map(({ index }) => number(index));
    return listed([...linked, [0, I32_CONST, ...signed(first), END, ...listed(own)]]);
  }

  const written = {
    [FUNCTION]: () => listed(order.map((i) => number(types[i]))),
    [TABLE]: () => table,
    [EXPORT]: () => exports,
    [ELEMENT]: elements,
    [CODE]: () => listed(order.map((i) => sized(renumbered(bodies[i], numberOf)))),
  };
  const out = [...file.subarray(0, 8)];
  for (const [id, data] of sections) {
    if (id === 0) continue; // names and the like
    const bytes = written[id]?.(new Reader(data)) ?? data;
    out.push(id, ...number(bytes.length));
    for (const byte of bytes) out.push(byte);
  }
  return { bytes: Uint8Array.from(out), names };
}

const all = MEASURES.map((measure) => squeezed(likeByLike(bodies, measure)));
const sizes = all.map(({ bytes }) => gzipSync(bytes, { level: 9 }).length);
const { bytes, names } = all[sizes.indexOf(Math.min(...sizes))];
writeFileSync(to, bytes);
writeFileSync(namesFile, JSON.stringify(names));
