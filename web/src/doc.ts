// doc.ts -- a document: containers, transactions, what changed, where it stands.
//
//     edit --> engine --> event records --> observers
//                   \--> link (client: send, store, other tabs)
//
// An edit outside transact() is one of its own.  After each the engine's event records are handed
// to whoever observes, and the link is told; a Doc without a link is a document in memory.

import {
  Anchor, Container, Counter, Kind, List, MapRef, Settable, Text, Value, Json, ChangeInfo,
  CounterEvent, ListEvent, MapEvent, TextEvent, define, kindNames, makeContainer, narrow,
} from "./containers.js";
import { Emitter, deltaOf, reportError_ } from "./events.js";
import { Presence, Selected } from "./presence.js";
import { UndoManager, UndoOptions } from "./undo.js";
import { Units } from "./units.js";
import { Core, Exports, SynclineError, WasmSource } from "./wasm.js";

/** connecting: trying for the first time, or catching up. live: connected, all of the server's is
 *  here. offline: no connection; edits are kept and sent later. denied: the server refused for good,
 *  see `reason`; edits are kept here, and go nowhere. */
export type Status = "connecting" | "live" | "offline" | "denied";

export interface Unsaved {
  /** Edits (characters, keys ...) not yet known to be on the server's disk. */
  count: number;
  bytes: number;
  /** When the oldest of them was made; undefined: none. */
  since: Date | undefined;
}

/** Work that the server refused for good: taken out of the document, kept here. */
export interface Branch {
  name: string;
  code: string;
  detail: string;
  /** For `doc.import` of another document that has what it stands on. */
  changes: Uint8Array;
}

/** Is what was typed kept in this browser? */
export type Local =
  | { state: "memory"; reason: string } // nothing is kept: by wish, or IndexedDB is not to be had
  | { state: "stored" }
  | { state: "storing" } // within a tenth of a second
  | { state: "failed"; reason: string }; // the disk is full ...: tried again

export interface Id {
  peer: string; // 16 hex digits
  seq: number;
}

export type DocEvent = TextEvent | MapEvent | ListEvent | CounterEvent;

export type DocEvents = {
  /** Each container that changed, own changes too. */
  change: DocEvent;
  status: { status: Status; reason: string };
  unsaved: Unsaved;
  rejected: Branch;
  local: Local;
  closed: undefined;
};

export interface TransactOptions {
  /** Told to observers, so that a binding knows its own. */
  origin?: unknown;
  /** false: no undo manager takes this back. */
  undo?: boolean;
}

/** @internal What a document is connected to. */
export interface DocLink {
  committed(bytes: number, imported?: boolean): void;
  status(): { status: Status; reason: string };
  unsaved(): Unsaved;
  local(): Local;
  presence(state: Uint8Array, ttl: number): void;
  select(words: Uint32Array): void;
  close(): Promise<void>;
  saved(): Promise<void>;
  synced(): Promise<void>;
  branches(): readonly Branch[];
  drop(name: string): void;
}

type Watched = { target: Container; units?: Units };

export class Doc extends Emitter<DocEvents> {
  /** @internal */ _x: Exports;
  /** @internal */ _link: DocLink | undefined;
  /** @internal The undo manager that takes the running transaction back. */
  _undo: UndoManager[] = [];
  readonly presence: Presence;
  private containers = new Map<number, Container>();
  private watched = new Map<number, Watched>();
  private watchLater: Container[] = [];
  private keeps = false; // event records: only while somebody watches, for they cost time and memory
  private inside = false;
  private told: DocEvent[] = [];
  private telling = false;
  private bytes = 0;
  private free = false;

  /** @internal Use Client.open, or Doc.create for one in memory. */
  constructor(readonly core: Core, /** @internal */ readonly _at: number, readonly name: string) {
    super();
    this._x = core.x;
    this.presence = new Presence(this);
  }

  /** A document in memory, connected to nothing: `export` and `import` carry changes. */
  static async create(options: { wasm?: WasmSource } = {}): Promise<Doc> {
    const core = await Core.create({ event: () => 1 }, options.wasm);
    return Doc._make(core, "", 0);
  }

  /** @internal */
  static _make(core: Core, name: string, id: number): Doc {
    const seed = crypto.getRandomValues(new Uint32Array(4));
    const at = core.x.doc_new!(id, seed[0]! | 0, seed[1]! | 0);
    if (at === 0) throw new SynclineError("ENOMEM", "out of memory");
    core.check(core.x.doc_set_peer!(at, seed[2]! | 1, seed[3]! | 0), at);
    return new Doc(core, at, name);
  }

  /* ---- Containers ---- */

  /** A root container; every client that asks for the same name and kind shares it. */
  text(name = ""): Text {
    return this.root(name, Kind.Text) as Text;
  }
  map(name = ""): MapRef {
    return this.root(name, Kind.Map) as MapRef;
  }
  list(name = ""): List {
    return this.root(name, Kind.List) as List;
  }
  counter(name = ""): Counter {
    return this.root(name, Kind.Counter) as Counter;
  }

  private root(name: string, kind: Kind): Container {
    const at = this.core.put(name);
    const obj = this._x.doc_root!(this._at, at, this.core.len, kind);
    this.core.check(this.core.out(0), this._at);
    this.core.done();
    return this._container(obj, kind);
  }

  /** Root containers that were ever edited. */
  roots(): { name: string; target: Container }[] {
    const found: { name: string; target: Container }[] = [];
    for (let i = 0; ; i++) {
      const obj = this._x.doc_root_at!(this._at, i) >>> 0;
      if (obj === 0xffffffff) return found;
      const [name, kind] = [this.core.outText(0), this.core.out(2)];
      if (kind < kindNames.length) found.push({ name, target: this._container(obj, kind) });
    }
  }

  /** The document as `syncline get` shows it. */
  toJSON(): { [key: string]: Json } {
    const roots = this.roots();
    const json: { [key: string]: Json } = {};
    for (const { name, target } of roots)
      if (name === "" && target instanceof MapRef) Object.assign(json, target.toJSON());
    roots.sort((a, b) => kindNames.indexOf(b.target.kind) - kindNames.indexOf(a.target.kind));
    for (const { name, target } of roots)
      if (name !== "" || !(target instanceof MapRef)) define(json, name, target.toJSON());
    return json;
  }

  /** @internal */
  _container(obj: number, kind: number): Container {
    let target = this.containers.get(obj);
    if (target === undefined) this.containers.set(obj, (target = makeContainer(this, obj, kind)));
    return target;
  }

  /** @internal The value that the engine left in out[i..]. */
  _valueOut(i: number): Value {
    const { core } = this;
    switch (core.out(i)) {
      case 0: return core.outText(i + 2);
      case 2: return false;
      case 3: return true;
      case 4: return narrow(core.outBig(i + 2, true));
      case 5: return core.outReal(i + 2);
      case 6: return core.outBytes(i + 2);
      case 7:
      case 8: return this._container(core.out(i + 2), core.out(i + 1));
      default: return null; // null, and kinds of later versions
    }
  }

  /* ---- Editing ---- */

  /** Edits of `fn` become one change, or none if it throws. */
  transact<T>(fn: () => T, options: TransactOptions = {}): T {
    if (this.inside) return fn();
    const undo = options.undo === false ? undefined : this._undo.find((u) => u.takes(options.origin));
    this.core.check(undo !== undefined ? undo._begin() : this._x.doc_begin!(this._at), this._at);
    this.inside = true;
    let result: T;
    try {
      result = fn();
      this.core.check(undo !== undefined ? undo._commit() : this._x.doc_commit!(this._at), this._at);
    } catch (error) {
      this._x.doc_rollback!(this._at);
      this.core.done();
      this.bytes = 0;
      this._x.events_clear!(this._at);
      throw error;
    } finally {
      this.inside = false;
    }
    this._committed(options.origin);
    return result;
  }

  /** @internal One edit, of about that many bytes. */
  _edit(bytes: number, fn: () => void): void {
    if (this.free) throw new SynclineError("ECLOSED", "the document was closed");
    this.bytes += bytes + 16;
    if (this.inside) {
      fn();
      return;
    }
    if (this._undo.length !== 0) {
      this.transact(fn);
      return;
    }
    fn();
    this._committed(undefined);
  }

  /** @internal */
  _set(value: Settable, write: (kind: number, a: number, b: number) => number): void {
    const { core } = this;
    if (Array.isArray(value) || isObject(value)) {
      this.transact(() => {
        const kind = Array.isArray(value) ? Kind.List : Kind.Map;
        this.bytes += 16;
        core.check(write(7, kind, 0), this._at);
        const made = this._container(core.out(0), kind);
        core.done();
        if (made instanceof List) made.insert(0, ...(value as readonly Settable[]));
        else if (made instanceof MapRef)
          for (const [key, item] of Object.entries(value as object)) made.set(key, item as Settable);
      });
      return;
    }
    const plain = value as Exclude<typeof value, object> | Uint8Array | null;
    const size = typeof plain === "string" ? plain.length : plain instanceof Uint8Array ? plain.length : 8;
    this._edit(size, () => {
      const [kind, a, b] = this.valueIn(plain as string | number | bigint | boolean | null | Uint8Array);
      core.check(write(kind, a, b), this._at);
      core.done();
    });
  }

  private valueIn(value: string | number | bigint | boolean | null | Uint8Array): [number, number, number] {
    const { core } = this;
    if (typeof value === "string") return [0, core.put(value), core.len];
    if (value === null) return [1, 0, 0];
    if (typeof value === "boolean") return [value ? 3 : 2, 0, 0];
    if (value instanceof Uint8Array) return [6, core.putBytes(value), core.len];
    if (typeof value === "bigint" || (Number.isSafeInteger(value) && !Object.is(value, -0))) {
      const bits = BigInt(value);
      if (BigInt.asIntN(64, bits) !== bits)
        throw new SynclineError("ERANGE", "an integer beyond 64 bits");
      return [4, Number(bits & 0xffffffffn) | 0, Number((bits >> 32n) & 0xffffffffn) | 0];
    }
    if (typeof value !== "number") throw new SynclineError("EKIND", "a value that cannot be kept");
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value, true);
    return [5, view.getInt32(0, true), view.getInt32(4, true)];
  }

  /** @internal After own edits, or after undo. */
  _committed(origin: unknown): void {
    const bytes = this.bytes;
    this.bytes = 0;
    this._link?.committed(bytes);
    this._drain(origin);
  }

  /* ---- What changed ---- */

  /** @internal */
  _watched(target: Container, on: boolean): void {
    if (on) this.keep(true);
    if (!on) {
      this.watched.delete(target.obj);
    } else if (this.inside) {
      this.watchLater.push(target);
    } else {
      this.watched.set(target.obj, this.watch(target));
    }
  }

  private keep(on: boolean): void {
    if (this.keeps !== on) this._x.events_keep!(this._at, Number((this.keeps = on)));
  }

  private watch(target: Container): Watched {
    return target instanceof Text ? { target, units: new Units(target.toString()) } : { target };
  }

  /** A text that only doc.on("change") sees is watched from its first event on. */
  private watchedFor(obj: number, kind: Kind): Watched | undefined {
    const watched = this.watched.get(obj);
    if (watched !== undefined || !this.heard("change")) return watched;
    return kind === Kind.Text ? undefined : { target: this._container(obj, kind) };
  }

  override on<K extends keyof DocEvents>(name: K, listener: (event: DocEvents[K]) => void): () => void {
    if (name === "change") {
      this.keep(true);
      void this.toJSON(); // meets every container there is
      for (const target of this.containers.values())
        if (target instanceof Text && !this.watched.has(target.obj)) this._watched(target, true);
    }
    return super.on(name, listener);
  }

  /** @internal Hands event records to observers. */
  _drain(origin: unknown): void {
    if (!this.keeps) return; // nobody watches
    const { _x: x, _at } = this;
    const count = x.event_count!(_at);
    const watched = this.watched.size !== 0 || this.heard("change");
    if (count !== 0) {
      if (watched) this.told.push(...this.collect(count, origin));
      x.events_clear!(_at);
    }
    this.keep(watched || this.watchLater.length !== 0);
    for (const target of this.watchLater.splice(0)) this.watched.set(target.obj, this.watch(target));
    if (this.telling) return; // an observer edits: everybody hears of that after this
    this.telling = true;
    while (this.told.length !== 0) this.tell(this.told.shift()!);
    this.telling = false;
  }

  private tell(event: DocEvent): void {
    for (const listener of event.target._listeners() as ((event: DocEvent) => void)[]) {
      try {
        listener(event);
      } catch (error) {
        reportError_(error);
      }
    }
    this.emit("change", event);
  }

  private collect(count: number, origin: unknown): DocEvent[] {
    const { _x: x, _at, core } = this;
    const events = new Map<string, DocEvent>();
    for (let i = 0; i < count; i++) {
      x.event_at!(_at, i);
      const what = core.out(0);
      const obj = core.out(1);
      const info: ChangeInfo = { local: core.out(2) !== 0, origin };
      const known = this.containers.get(obj);
      const kind = known !== undefined ? (kindNames.indexOf(known.kind) as Kind)
        : what === 3 ? Kind.Counter : (this._x.obj_kind!(_at, obj) as Kind);
      let watched = this.watchedFor(obj, kind);
      if (watched === undefined && kind === Kind.Text && this.heard("change"))
        this.watched.set(obj, (watched = this.lateText(obj)));
      if (watched === undefined) continue;
      const key = `${obj}/${info.local}`;
      let event = events.get(key);
      if (event === undefined) events.set(key, (event = newEvent(watched.target, info)));
      x.event_at!(_at, i);
      this.record(event, watched, i, what);
    }
    return [...events.values()];
  }

  /** A text that is new in these very events: it was empty before the first of them. */
  private lateText(obj: number): Watched {
    return { target: this._container(obj, Kind.Text), units: new Units("") };
  }

  private record(event: DocEvent, watched: Watched, i: number, what: number): void {
    const { core, _x: x, _at } = this;
    const pos = core.out(3);
    const removed = core.out(4);
    const inserted = core.out(5);
    if ("delta" in event && event.target instanceof Text) {
      const text = core.outText(6);
      const at = watched.units!.splice(pos, removed, text);
      (event as TextEvent).splices.push({ index: at.index, removed: at.removed, inserted: text });
    } else if (event.target instanceof MapRef) {
      const key = core.outText(8);
      (event as MapEvent).changes.set(key, what === 1 ? this._valueOut(10) : undefined);
    } else if (event.target instanceof List) {
      const values: Value[] = [];
      if (what === 1) values.push(this._valueOut(10));
      else
        for (let k = 0; k < inserted; k++) {
          x.event_item!(_at, i, k);
          values.push(this._valueOut(0));
        }
      (event as ListEvent).splices.push({ index: pos, removed: what === 1 ? 1 : removed, inserted: values });
    } else {
      const counter = event as CounterEvent;
      counter.delta = narrow(BigInt(counter.delta) + core.outBig(14, true));
    }
  }

  /* ---- Where it stands ---- */

  get status(): Status {
    return this._link?.status().status ?? "offline";
  }
  /** Why it is not live; "" if there is nothing to say. */
  get reason(): string {
    return this._link?.status().reason ?? "";
  }
  get unsaved(): Unsaved {
    return this._link?.unsaved() ?? { count: 0, bytes: 0, since: undefined };
  }
  get local(): Local {
    return this._link?.local() ?? { state: "memory", reason: "a document in memory" };
  }
  /** Work that the server refused. */
  get rejected(): readonly Branch[] {
    return this._link?.branches() ?? [];
  }
  dropRejected(name: string): void {
    this._link?.drop(name);
  }

  /** When everything typed until now is on the server's disk; rejects when it is refused. */
  async saved(): Promise<void> {
    await this._link?.saved();
  }
  /** When all that the server has is here for the first time. */
  async synced(): Promise<void> {
    await this._link?.synced();
  }

  /** @internal */
  _tell<K extends keyof DocEvents>(name: K, event: DocEvents[K]): void {
    this.emit(name, event);
  }

  heads(): Id[] {
    this.core.check(this._x.doc_heads!(this._at), this._at);
    return ids(this.core.outIds());
  }
  /** Events per peer: the first seq that is not here. */
  vector(): Id[] {
    return ids(this._vector());
  }
  /** @internal */
  _vector(): Uint32Array {
    this.core.check(this._x.doc_vector!(this._at), this._at);
    return this.core.outIds();
  }
  /** Equal states at equal versions have equal digests, on every machine. */
  digest(): string {
    this.core.check(this._x.doc_digest!(this._at), this._at);
    return this.core.outBig(0, false).toString(16).padStart(16, "0");
  }
  /** How many edits it is made of. */
  get events(): number {
    return this._x.doc_events!(this._at);
  }

  /* ---- Bytes ---- */

  /** All changes, or those that a document with this vector lacks. */
  export(since?: Id[]): Uint8Array {
    return this._export(since === undefined ? new Uint32Array(0) : words(since));
  }
  /** @internal */
  _export(vector: Uint32Array): Uint8Array {
    const at = this.core.putWords(vector);
    this.core.check(this._x.doc_export!(this._at, at, vector.length / 3), this._at);
    this.core.done();
    return this.core.outBytes(0);
  }

  /** Applies changes, in any order and any number of times. false: they wait for others. What the
   *  server lacks of it is sent like own edits; if it does not take others' events from this user,
   *  they are `rejected` with all that stands on them. */
  import(changes: Uint8Array, origin?: unknown): boolean {
    const at = this.core.putBytes(changes);
    const err = this._x.doc_import!(this._at, at, this.core.len, performance.now() + 1);
    const pending = this.core.out(1) !== 0;
    this.core.done();
    this.core.check(err, this._at);
    this._link?.committed(0, true);
    this._drain(origin);
    return !pending;
  }

  /* ---- Editors ---- */

  /** Takes back what was edited here from now on, and nothing of others. */
  undoManager(options: UndoOptions = {}): UndoManager {
    return new UndoManager(this, options);
  }

  /** @internal */
  _anchor(obj: number, index: number, side: "after" | "before"): Anchor {
    const { _x: x, core } = this;
    core.check(x.cursor_at!(this._at, obj, index, side === "before" ? 1 : 0), this._at);
    return new Anchor(this.cursorOut(), this);
  }

  private cursorOut(): Uint32Array {
    const { core } = this;
    return core.words.slice(core.out(0) >>> 2, (core.out(0) >>> 2) + core.out(1));
  }

  /** @internal side, peer, seq, index: what an anchor is outside of this document. */
  _anchorParts(words: Uint32Array): Json {
    const { core, _x: x } = this;
    x.cursor_parts!(core.putWords(words));
    core.done();
    return [core.out(0), peerText(core.out(1), core.out(2)), core.out(3), core.out(4)];
  }

  /** @internal */
  _anchorFrom(obj: number, json: Json): Anchor | undefined {
    if (!Array.isArray(json) || json.length !== 4) return undefined;
    const [side, peer, seq, index] = json;
    if (typeof peer !== "string" || !/^[0-9a-f]{16}$/.test(peer)) return undefined;
    if (![side, seq, index].every((n) => Number.isInteger(n) && (n as number) >= 0 && (n as number) < 2 ** 31)) return undefined;
    const [low, high] = [parseInt(peer.slice(8), 16), parseInt(peer.slice(0, 8), 16)];
    this._x.cursor_make!(obj, side as number, low | 0, high | 0, seq as number, index as number);
    return new Anchor(this.cursorOut(), this);
  }

  /** @internal */
  _resolve(obj: number, anchor: Anchor): number | undefined {
    const { _x: x, core } = this;
    if (anchor.words[0] !== obj) return undefined;
    const at = core.putWords(anchor.words);
    const err = x.cursor_pos!(this._at, at);
    if (err === 0) anchor.words.set(core.words.subarray(at >>> 2, (at >>> 2) + anchor.words.length));
    core.done();
    return err === 0 ? core.out(0) : undefined;
  }

  /** @internal */
  _selections(session: number): Selected[] {
    const { core, _x: x } = this;
    if (this._link === undefined) return [];
    const count = x.doc_selections!(this._at, session);
    const at = x.web_scratch!() >>> 2;
    const words = core.words.slice(at, at + 3 * count);
    return Array.from({ length: count }, (_, i) => ({
      target: this._container(words[3 * i]!, x.obj_kind!(this._at, words[3 * i]!)) as Text | List,
      anchor: words[3 * i + 1]!, head: words[3 * i + 2]!,
    }));
  }

  /** Stores and sends nothing more; the handle is dead then. */
  async close(): Promise<void> {
    if (this.free) return;
    await this._link?.close();
    this._free();
  }

  /** @internal */
  _free(): void {
    if (this.free) return;
    this.free = true;
    for (const undo of [...this._undo]) undo.free();
    this._x.doc_free!(this._at);
    this._x = closed; // every handle of it throws from now on
    this._link = undefined;
    this.emit("closed", undefined);
  }
}

const closed = new Proxy({} as Exports, {
  get: () => () => {
    throw new SynclineError("ECLOSED", "the document was closed");
  },
});

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !(value instanceof Uint8Array);
}

function newEvent(target: Container, info: ChangeInfo): DocEvent {
  if (target instanceof Text) {
    const splices: TextEvent["splices"] = [];
    return { target, ...info, splices, get delta() { return deltaOf(splices); } };
  }
  if (target instanceof MapRef) return { target, ...info, changes: new Map() };
  if (target instanceof List) return { target, ...info, splices: [] };
  return { target, ...info, delta: 0 };
}

export function peerText(low: number, high: number): string {
  return (high >>> 0).toString(16).padStart(8, "0") + (low >>> 0).toString(16).padStart(8, "0");
}

function ids(triples: Uint32Array): Id[] {
  const found: Id[] = [];
  for (let i = 0; i < triples.length; i += 3)
    found.push({ peer: peerText(triples[i]!, triples[i + 1]!), seq: triples[i + 2]! });
  return found;
}

export function words(list: readonly Id[]): Uint32Array {
  const triples = new Uint32Array(list.length * 3);
  list.forEach((id, i) => {
    triples[3 * i] = parseInt(id.peer.slice(8), 16);
    triples[3 * i + 1] = parseInt(id.peer.slice(0, 8), 16);
    triples[3 * i + 2] = id.seq;
  });
  return triples;
}
