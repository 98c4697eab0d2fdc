// containers.ts -- Text, MapRef, List, Counter: handles on containers of a document.
//
// A handle is a number and the document; it holds nothing, so two handles of one container are one
// object, and reading is always of now.  Positions count UTF-16 units in text, items in lists.

import type { Doc } from "./doc.js";
import type { Splice, Unsubscribe, DeltaOp } from "./events.js";
import { SynclineError } from "./wasm.js";

export const enum Kind { Text = 0, Map = 1, List = 2, Counter = 3 }

/** What maps and lists hold beside containers. Integers beyond 2^53 are bigints. */
export type Plain = string | number | bigint | boolean | null | Uint8Array;
export type Container = Text | MapRef | List | Counter;
export type Value = Plain | Container;
/** What may be set: objects become maps, arrays lists. */
export type Settable = Plain | { readonly [key: string]: Settable } | readonly Settable[];
export type Json = string | number | boolean | null | { [key: string]: Json } | Json[];

export interface ChangeInfo {
  /** Made in this client; else by others. */
  local: boolean;
  /** What `doc.transact` was given. */
  origin: unknown;
}
export interface TextEvent extends ChangeInfo {
  target: Text;
  /** One after the other: each on what the one before it left. */
  splices: Splice[];
  /** The same as one delta over the text before. */
  readonly delta: DeltaOp[];
}
export interface MapEvent extends ChangeInfo {
  target: MapRef;
  /** Per key what shows now; undefined: nothing any more. */
  changes: Map<string, Value | undefined>;
}
export interface ListSplice {
  index: number;
  removed: number;
  inserted: Value[];
}
export interface ListEvent extends ChangeInfo {
  target: List;
  splices: ListSplice[];
}
export interface CounterEvent extends ChangeInfo {
  target: Counter;
  delta: number | bigint;
}

/** A cursor that survives everybody's edits; see Text.anchor. */
export class Anchor {
  /** @internal */
  constructor(readonly words: Uint32Array, private readonly doc: Doc) {}

  /** The same in every replica and for ever; `text.anchorFrom` reads it. */
  toJSON(): Json {
    return this.doc._anchorParts(this.words);
  }
}

abstract class Base<Event> {
  private listeners = new Set<(event: Event) => void>();
  constructor(readonly doc: Doc, /** @internal */ readonly obj: number) {}

  observe(listener: (event: Event) => void): Unsubscribe {
    if (this.listeners.size === 0) this.doc._watched(this as unknown as Container, true);
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.doc._watched(this as unknown as Container, false);
    };
  }

  /** @internal */
  _listeners(): ((event: Event) => void)[] {
    return [...this.listeners];
  }
}

export class Text extends Base<TextEvent> {
  readonly kind = "text";

  /** In UTF-16 units, like a string's. */
  get length(): number {
    return this.doc._x.text_length!(this.doc._at, this.obj);
  }

  /** Before `index`; beyond the end: at the end; inside a surrogate pair: before it. */
  insert(index: number, text: string): void {
    if (text === "") return;
    this.doc._edit(text.length, () => {
      const { core, _x: x } = this.doc;
      const at = core.put(text);
      const err = x.text_insert!(this.doc._at, this.obj, unsigned(index), at, core.len);
      core.check(err, this.doc._at);
      core.done();
    });
  }

  push(text: string): void {
    this.insert(this.length, text);
  }

  /** `count` units from `index`; half a surrogate pair takes the other half along. */
  delete(index: number, count: number): void {
    if (count <= 0) return;
    this.doc._edit(0, () => {
      const from = unsigned(index);
      const err = this.doc._x.text_delete!(this.doc._at, this.obj, from, unsigned(from + count));
      this.doc.core.check(err, this.doc._at);
    });
  }

  splice(index: number, removed: number, inserted: string): void {
    this.doc.transact(() => {
      this.delete(index, removed);
      this.insert(index, inserted);
    });
  }

  /** Makes the text another with one splice: what is equal at both ends stays. */
  set(text: string): void {
    const old = this.toString();
    const splice = difference(old, text);
    if (splice !== undefined) this.splice(splice.index, splice.removed, splice.inserted);
  }

  slice(from = 0, end = this.length): string {
    const { core, _x: x, _at } = this.doc;
    const cap = (end - from) * 3;
    if (cap <= 0) return "";
    const at = x.web_alloc!(cap);
    if (at === 0) throw new SynclineError("ENOMEM", "out of memory");
    const len = x.text_read!(_at, this.obj, unsigned(from), unsigned(end), at, cap);
    const text = core.text(at, Math.min(len, cap));
    x.web_free!(at);
    return text;
  }

  override toString(): string {
    return this.slice();
  }

  toJSON(): string {
    return this.toString();
  }

  /** A cursor at `index` that stays where it stands while anybody edits. side "after": it keeps
   *  behind the character on its left; "before": before the one on its right. */
  anchor(index: number, side: "after" | "before" = "after"): Anchor {
    return this.doc._anchor(this.obj, unsigned(index), side);
  }

  /** The cursor that another replica's `toJSON` of one means here; undefined: it is none. */
  anchorFrom(json: Json): Anchor | undefined {
    return this.doc._anchorFrom(this.obj, json);
  }

  /** Where the cursor stands now; undefined: what it stands on is not here (yet). */
  resolve(anchor: Anchor): number | undefined {
    return this.doc._resolve(this.obj, anchor);
  }
}

export class MapRef extends Base<MapEvent> {
  readonly kind = "map";

  get size(): number {
    return this.doc._x.map_len!(this.doc._at, this.obj);
  }

  get(key: string): Value | undefined {
    const { core, _x: x, _at } = this.doc;
    const at = core.put(key);
    const err = x.map_get!(_at, this.obj, at, core.len);
    core.done();
    if (err !== 0) return undefined;
    return this.doc._valueOut(0);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** Objects and arrays become new maps and lists. */
  set(key: string, value: Settable): void {
    this.doc._set(value, (kind, a, b) => {
      const { core, _x: x, _at } = this.doc;
      const at = core.put(key);
      return x.map_set!(_at, this.obj, at, core.len, kind, a, b);
    });
  }

  delete(key: string): void {
    if (!this.has(key)) return;
    this.doc._edit(key.length, () => {
      const { core, _x: x, _at } = this.doc;
      const at = core.put(key);
      core.check(x.map_delete!(_at, this.obj, at, core.len), _at);
      core.done();
    });
  }

  /** The container under the key that every client shares, made if the key shows something else. */
  text(key: string): Text {
    return this.child(key, Kind.Text) as Text;
  }
  map(key: string): MapRef {
    return this.child(key, Kind.Map) as MapRef;
  }
  list(key: string): List {
    return this.child(key, Kind.List) as List;
  }
  counter(key: string): Counter {
    return this.child(key, Kind.Counter) as Counter;
  }

  private child(key: string, kind: Kind): Container {
    const { core, _x: x, _at } = this.doc;
    const now = this.get(key);
    if (now instanceof Base && now.kind === kindNames[kind]) return now as Container;
    let obj = 0;
    this.doc._edit(key.length, () => {
      const at = core.put(key);
      obj = x.map_child!(_at, this.obj, at, core.len, kind);
      core.check(core.out(0), _at);
      core.done();
    });
    return this.doc._container(obj, kind);
  }

  /** What concurrent writers set; the first is what shows. */
  conflicts(key: string): (Value | undefined)[] {
    const { core, _x: x, _at } = this.doc;
    const found: (Value | undefined)[] = [];
    for (;;) {
      const at = core.put(key);
      const err = x.map_conflict!(_at, this.obj, at, core.len, found.length);
      core.done();
      if (err !== 0) return found;
      found.push(core.out(7) !== 0 ? undefined : this.doc._valueOut(0));
    }
  }

  *entries(): IterableIterator<[string, Value]> {
    for (let i = 0; this.doc._x.map_at!(this.doc._at, this.obj, i) !== 0; i++)
      yield [this.doc.core.outText(4), this.doc._valueOut(0)];
  }
  *keys(): IterableIterator<string> {
    for (const [key] of this.entries()) yield key;
  }
  *values(): IterableIterator<Value> {
    for (const [, value] of this.entries()) yield value;
  }
  [Symbol.iterator](): IterableIterator<[string, Value]> {
    return this.entries();
  }

  toJSON(): { [key: string]: Json } {
    const json: { [key: string]: Json } = {};
    for (const [key, value] of this.entries()) define(json, key, toJson(value));
    return json;
  }
}

export class List extends Base<ListEvent> {
  readonly kind = "list";

  get length(): number {
    return this.doc._x.list_len!(this.doc._at, this.obj);
  }

  get(index: number): Value | undefined {
    if (index < 0) index += this.length;
    if (index < 0 || this.doc._x.list_get!(this.doc._at, this.obj, index) !== 0) return undefined;
    return this.doc._valueOut(0);
  }

  insert(index: number, ...values: Settable[]): void {
    const first = Math.min(unsigned(index), this.length);
    this.doc.transact(() => {
      values.forEach((value, i) =>
        this.doc._set(value, (kind, a, b) =>
          this.doc._x.list_insert!(this.doc._at, this.obj, first + i, kind, a, b)));
    });
  }

  push(...values: Settable[]): void {
    this.insert(this.length, ...values);
  }

  set(index: number, value: Settable): void {
    this.doc._set(value, (kind, a, b) =>
      this.doc._x.list_set!(this.doc._at, this.obj, index, kind, a, b));
  }

  delete(index: number, count = 1): void {
    if (count <= 0) return;
    this.doc._edit(0, () => {
      this.doc.core.check(this.doc._x.list_delete!(this.doc._at, this.obj, index, count), this.doc._at);
    });
  }

  *[Symbol.iterator](): IterableIterator<Value> {
    for (let i = 0; i < this.length; i++) yield this.get(i)!;
  }
  toArray(): Value[] {
    return [...this];
  }
  toJSON(): Json[] {
    return this.toArray().map(toJson);
  }
}

export class Counter extends Base<CounterEvent> {
  readonly kind = "counter";

  get value(): number | bigint {
    this.doc._x.counter_get!(this.doc._at, this.obj);
    return narrow(this.doc.core.outBig(0, true));
  }

  add(delta: number | bigint): void {
    const bits = BigInt.asUintN(64, BigInt(delta));
    this.doc._edit(0, () => {
      const err = this.doc._x.counter_add!(
        this.doc._at, this.obj, Number(bits & 0xffffffffn) | 0, Number(bits >> 32n) | 0);
      this.doc.core.check(err, this.doc._at);
    });
  }

  toJSON(): Json {
    const value = this.value;
    return typeof value === "bigint" ? value.toString() : value;
  }
}

export const kindNames = ["text", "map", "list", "counter"] as const;

export function makeContainer(doc: Doc, obj: number, kind: number): Container {
  switch (kind) {
    case Kind.Text: return new Text(doc, obj);
    case Kind.Map: return new MapRef(doc, obj);
    case Kind.List: return new List(doc, obj);
    default: return new Counter(doc, obj);
  }
}

export function toJson(value: Value): Json {
  if (value instanceof Uint8Array) return btoa(String.fromCharCode(...value));
  if (typeof value === "bigint") return value.toString();
  if (value !== null && typeof value === "object") return value.toJSON();
  return value;
}

/** "__proto__" is a key like any other. */
export function define(json: { [key: string]: Json }, key: string, value: Json): void {
  Object.defineProperty(json, key, { value, enumerable: true, configurable: true, writable: true });
}

export function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function unsigned(index: number): number {
  return index > 0 ? Math.min(Math.floor(index), 0x7fffffff) : 0;
}

/** The one splice that makes `next` of `old`; undefined: they are equal. Pairs are not cut. */
export function difference(old: string, next: string, caret = next.length): Splice | undefined {
  if (old === next) return undefined;
  // What was typed stands before the caret: of "aa" -> "aaa" the end that stays is the one behind it.
  const most = Math.min(old.length, next.length);
  let tail = 0;
  const tailMost = Math.min(most, next.length - Math.min(caret, next.length));
  while (tail < tailMost && old.charCodeAt(old.length - 1 - tail) === next.charCodeAt(next.length - 1 - tail)) tail++;
  let head = 0;
  while (head < most - tail && old.charCodeAt(head) === next.charCodeAt(head)) head++;
  while (tail < most - head && old.charCodeAt(old.length - 1 - tail) === next.charCodeAt(next.length - 1 - tail)) tail++;
  if (head > 0 && isHigh(old.charCodeAt(head - 1))) head--;
  if (tail > 0 && isLow(old.charCodeAt(old.length - tail))) tail--;
  return { index: head, removed: old.length - head - tail, inserted: next.slice(head, next.length - tail) };
}

function isHigh(c: number): boolean {
  return c >= 0xd800 && c < 0xdc00;
}
function isLow(c: number): boolean {
  return c >= 0xdc00 && c < 0xe000;
}
