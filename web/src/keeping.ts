// keeping.ts -- a document in this browser: its copy in the storage, and the tabs that share it.
//
// Every tab has its own engine, connection and peer.  What it types it stores itself, within a
// twentieth of a second, and tells the other tabs at once; so nothing depends on another tab being
// awake.  One tab of a document is its keeper, the holder of a Web Lock:
//
//     keeper   stores what came from others, too; joins pieces; and when a tab is gone (its own
//              lock is free) looks into the storage for what it left
//     others   store their own edits
//
// What one tab has of another it sends to the server as well: the other may have no line, and edits
// made here stand on it.  The server takes an event once.  No tab ever writes under a peer of another,
// so nothing can fork.  Without Web Locks (a page that is not secure) every tab is a keeper, and events
// are stored twice, which does no harm.
//
// Between tabs: [HELLO, tab id (16), vector] asks for what is lacking; [CHANGES, Changes] answers,
// and carries edits; [ALSO, vector] asks back; [DROPPED, name] a rejected branch.

import type { Client, Link } from "./client.js";
import type { Branch, Local } from "./doc.js";
import { peerText, words } from "./doc.js";
import type { Own, Storage, Stored, Writing } from "./storage.js";
import { BroadcastTransport } from "./transport.js";
import type { Core } from "./wasm.js";

const STORE_MS = 50; // from an edit to its transaction
const RETRY_MS = 2000;
const PIECES = 200; // so many are joined
const HELLO = 1;
const CHANGES = 2;
const ALSO = 3;
const DROPPED = 4;

const tabId = hex(crypto.getRandomValues(new Uint8Array(8)));
let tabLock: Promise<void> | undefined;

function hex(bytes: Uint8Array): string {
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}

function locks(): LockManager | undefined {
  return typeof navigator !== "undefined" ? navigator.locks : undefined;
}

function lockOf(tab: string): string {
  return `syncline-tab:${tab}`;
}

/** This page's own lock: held until it is gone. */
function holdTabLock(): Promise<void> {
  tabLock ??= new Promise((resolve) => {
    const manager = locks();
    if (manager === undefined) return resolve();
    void manager.request(lockOf(tabId), () => {
      resolve();
      return new Promise(() => undefined);
    }).catch(() => resolve());
  });
  return tabLock;
}

export class Keeping {
  state: Local;
  lineage: Uint8Array | undefined;
  readonly branches: Branch[] = [];
  /** Own peers of tabs that are gone: sent with this document's. */
  adopted = new Uint32Array(0);
  private readonly storage: Storage | undefined;
  private readonly key: string;
  private keeper = false;
  private release: () => void = () => undefined;
  private ended = false;
  private stored = 0; // log position
  private shared = 0;
  private foreign = 0; // below it are others' events that came through this page alone
  private pieces = 0;
  private rewrite = false;
  private dirty: Writing = {};
  private ownDirty = false;
  private noted = new Map<string, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private writing = 0;
  private flights = new Set<Promise<void>>();
  private channel: BroadcastTransport | undefined;
  private watchedTabs = new Set<string>();

  constructor(private readonly client: Client, private readonly link: Link, private readonly core: Core, storage: Storage | string) {
    this.key = link.doc.name;
    if (typeof storage === "string") {
      this.state = { state: "memory", reason: storage };
    } else {
      this.storage = storage;
      this.state = { state: "stored" };
    }
  }

  private get at(): number {
    return this.link.doc._at;
  }
  private get end_(): number {
    return this.core.x.log_end!(this.at);
  }

  /* ---- Loading ---- */

  async load(): Promise<void> {
    if (this.storage === undefined) return;
    await holdTabLock();
    this.keeper = await this.tryLock();
    try {
      const stored = await this.storage.load(this.key);
      this.take(stored);
      this.lineage = stored.lineage;
      this.branches.push(...stored.branches);
      this.adopted = await this.orphans(stored.own);
    } catch (error) {
      this.setState({ state: "failed", reason: `the local copy cannot be read: ${text(error)}` });
    }
    this.stored = this.shared = this.end_;
  }

  private take(stored: Stored): void {
    this.pieces = stored.pieces.length;
    for (const piece of stored.pieces) this.importPiece(piece);
    this.core.x.events_clear!(this.at);
  }

  private importPiece(piece: Uint8Array): void {
    const at = this.core.putBytes(piece);
    const err = this.core.x.doc_import!(this.at, at, piece.length, 0);
    this.core.done();
    if (err !== 0) this.setState({ state: "failed", reason: "a part of the local copy is damaged" });
  }

  /** Peers whose events may not be on the server, as the storage has them: sent from here as well,
   *  for even a tab that lives may be without a line, and own edits stand on its. */
  private async orphans(own: readonly Own[]): Promise<Uint32Array<ArrayBuffer>> {
    const alive = await this.liveTabs();
    for (const note of own) {
      if (alive.has(note.tab)) this.watchTab(note.tab);
      this.noted.set(note.peer, note.acked);
    }
    return words(own.map((note) => ({ peer: note.peer, seq: note.acked })));
  }

  private async liveTabs(): Promise<Set<string>> {
    const alive = new Set<string>();
    const held = (await locks()?.query())?.held ?? [];
    for (const lock of held)
      if (lock.name?.startsWith("syncline-tab:") === true) alive.add(lock.name.slice(13));
    return alive;
  }

  /* ---- Who keeps it ---- */

  private get lockName(): string {
    return `syncline:${this.client.store}:${this.key}`;
  }

  private tryLock(): Promise<boolean> {
    const manager = this.client.tabs ? locks() : undefined;
    if (manager === undefined) return Promise.resolve(true);
    return new Promise((resolve) => {
      void manager.request(this.lockName, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock !== null ? this.hold() : undefined;
      }).catch(() => resolve(true));
    });
  }

  private hold(): Promise<void> {
    return new Promise((resolve) => (this.release = resolve));
  }

  /** In line for the lock; the keeper's tab is gone when it comes. */
  private waitForLock(): void {
    const abort = new AbortController();
    this.release = () => abort.abort();
    void locks()?.request(this.lockName, { signal: abort.signal }, async () => {
      if (this.ended) return;
      this.keeper = true;
      const held = this.hold();
      await this.adopt();
      this.join(); // whatever it left out is stored with it
      return held;
    }).catch(() => undefined);
  }

  private async adopt(): Promise<void> {
    if (this.storage === undefined || this.ended) return;
    try {
      const stored = await this.storage.load(this.key);
      if (this.ended) return;
      for (const piece of stored.pieces) this.importPiece(piece);
      this.link.doc._drain(undefined);
      const known = new Set(this.noted.keys());
      const own = await this.orphans(stored.own.filter((note) => note.tab !== tabId && !known.has(note.peer)));
      if (own.length !== 0 && !this.ended) this.link.reattach(own);
    } catch (error) {
      this.setState({ state: "failed", reason: text(error) });
    }
  }

  /** Its lock comes to us when it is gone. */
  private watchTab(tab: string): void {
    if (tab === tabId || this.watchedTabs.has(tab)) return;
    this.watchedTabs.add(tab);
    void locks()?.request(lockOf(tab), { mode: "shared" }, () => {
      this.watchedTabs.delete(tab);
      if (this.keeper && !this.ended) void this.adopt();
    }).catch(() => undefined);
  }

  begin(): void {
    if (this.client.tabs) this.openChannel();
    if (this.storage === undefined) return;
    if (!this.keeper) this.waitForLock();
    else if (this.pieces >= PIECES / 10) this.join();
    if (this.adopted.length !== 0) this.ownDirty = true;
  }

  async end(): Promise<void> {
    this.storeNow();
    await Promise.allSettled([...this.flights]);
    this.ended = true;
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.release();
    this.channel?.close("closed");
  }

  /* ---- Storing ---- */

  setLineage(lineage: Uint8Array): void {
    this.lineage = lineage;
    this.dirty.lineage = lineage;
    this.storeSoon();
  }

  acked(): void {
    this.ownDirty = true;
    this.storeSoon();
  }

  /** The log is another one. */
  rebuilt(): void {
    this.rewrite = true;
    this.shared = Math.min(this.shared, this.end_);
    this.storeSoon();
  }

  /** Every tab that had the work is told, and keeps it: under one name, so it is kept once. */
  addBranch(code: string, detail: string, changes: Uint8Array): Branch {
    const branch = { name: `${code}-${fingerprint(changes)}`, code, detail, changes };
    this.forgetBranch(branch.name);
    this.branches.push(branch);
    void this.write({ branch });
    return branch;
  }

  dropBranch(name: string): void {
    if (!this.forgetBranch(name)) return;
    void this.write({ dropBranch: name });
    this.post(DROPPED, new TextEncoder().encode(name));
  }

  private forgetBranch(name: string): boolean {
    const at = this.branches.findIndex((branch) => branch.name === name);
    if (at >= 0) this.branches.splice(at, 1);
    return at >= 0;
  }

  storeSoon(delay = STORE_MS): void {
    if (this.storage === undefined || this.timer !== undefined || this.ended) return;
    if (this.state.state === "stored") this.setState({ state: "storing" });
    this.timer = setTimeout(() => this.storeNow(), delay);
  }

  /** Everything that is not in the storage, in one transaction. */
  storeNow(): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    if (this.storage === undefined || this.ended) return;
    const from = this.rewrite ? 0 : this.stored;
    const end = this.end_;
    const writing: Writing = { ...this.dirty };
    if (this.rewrite) writing.rewrite = true;
    if (end > from) {
      const whole = this.keeper || this.rewrite;
      if (this.exporter(whole, from)(this.at, from, end) === 0 && this.core.out(1) !== 0) writing.piece = this.core.outBytes(0);
    }
    if (writing.piece !== undefined || this.ownDirty) this.noteOwn(writing);
    this.rewrite = this.ownDirty = false;
    this.dirty = {};
    this.stored = end;
    if (Object.keys(writing).length !== 0) void this.write(writing, from);
    else if (this.writing === 0) this.setState({ state: "stored" });
  }

  private exporter(whole: boolean, from: number): (doc: number, from: number, end: number) => number {
    const { x } = this.core;
    return whole || from < this.foreign ? x.doc_export_log! : x.doc_export_own!;
  }

  /** Own edits may stand on it, and no other page has it. */
  imported(): void {
    this.foreign = this.end_;
  }

  /** Peers are noted with their first event. */
  private noteOwn(writing: Writing): void {
    this.core.check(this.core.x.doc_own!(this.at));
    const triples = this.core.outIds();
    const now = new Map<string, number>();
    for (let i = 0; i < triples.length; i += 3)
      now.set(peerText(triples[i]!, triples[i + 1]!), triples[i + 2]!);
    const own: Own[] = [];
    for (const [peer, acked] of now)
      if (this.noted.get(peer) !== acked) own.push({ peer, acked, tab: tabId });
    const settled = [...this.noted.keys()].filter((peer) => !now.has(peer));
    if (own.length !== 0) writing.own = own;
    if (settled.length !== 0) writing.settled = settled;
    this.noted = now;
  }

  private write(writing: Writing, from = this.stored): Promise<void> {
    if (this.storage === undefined) return Promise.resolve();
    this.writing++;
    const flight = this.storage.write(this.key, writing).then(
      () => {
        if (--this.writing === 0 && this.timer === undefined) this.setState({ state: "stored" });
        if (writing.piece !== undefined && ++this.pieces >= PIECES && this.keeper) this.join();
      },
      (error) => {
        this.writing--;
        this.failed(writing, from, error);
      });
    this.flights.add(flight);
    void flight.then(() => this.flights.delete(flight));
    return flight;
  }

  /** Nothing is lost: it is all in the document; once more, later. */
  private failed(writing: Writing, from: number, error: unknown): void {
    if (this.ended) return;
    this.stored = Math.min(this.stored, from);
    this.rewrite ||= writing.rewrite === true;
    this.noted.clear();
    this.ownDirty = true;
    this.dirty = { ...writing, ...this.dirty };
    delete this.dirty.piece;
    delete this.dirty.rewrite;
    delete this.dirty.own;
    this.setState({ state: "failed", reason: text(error) });
    this.storeSoon(RETRY_MS);
  }

  /** All pieces, and what is not stored yet, as one. */
  private join(): void {
    if (this.storage === undefined || this.ended) return;
    this.pieces = 0;
    const from = this.stored;
    const flight = this.storage.join(this.key, (pieces) => {
      if (this.ended) throw new Error("closed");
      for (const piece of pieces) this.importPiece(piece);
      this.link.doc._drain(undefined);
      this.stored = this.end_;
      return this.link.doc._export(new Uint32Array(0));
    }).catch(() => { // another time
      this.stored = Math.min(this.stored, from);
      this.storeSoon(RETRY_MS);
    });
    this.flights.add(flight);
    void flight.then(() => this.flights.delete(flight));
  }

  private setState(state: Local): void {
    if (this.state.state === state.state) return;
    this.state = state;
    this.link.doc._tell("local", state);
  }

  /* ---- Other tabs ---- */

  private openChannel(): void {
    this.channel = new BroadcastTransport(`${this.lockName}`);
    this.channel.open({
      opened: () => this.hello(HELLO),
      message: (bytes) => !this.ended && this.fromTab(bytes),
      writable: () => undefined,
      closed: () => (this.channel = undefined),
    });
  }

  private post(type: number, ...parts: Uint8Array[]): void {
    const bytes = new Uint8Array(1 + parts.reduce((sum, part) => sum + part.length, 0));
    bytes[0] = type;
    let at = 1;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.channel?.send(bytes);
  }

  private hello(type: number): void {
    const vector = this.link.doc._vector();
    this.post(type, new TextEncoder().encode(tabId), new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength));
  }

  private fromTab(bytes: Uint8Array): void {
    if (bytes[0] === CHANGES) return this.fromTabChanges(bytes.subarray(1));
    if (bytes[0] === DROPPED) return void this.forgetBranch(new TextDecoder().decode(bytes.subarray(1)));
    const tab = new TextDecoder().decode(bytes.subarray(1, 17));
    const vector = new Uint32Array(bytes.slice(17).buffer);
    if (vector.length % 3 !== 0) return;
    if (this.keeper) this.watchTab(tab);
    const lacking = this.lacking(vector);
    if (lacking.length !== 0) this.post(CHANGES, lacking);
    if (bytes[0] === HELLO && this.knowsLess(vector)) this.hello(ALSO);
  }

  private lacking(vector: Uint32Array): Uint8Array {
    try { // an empty vector lacks everything, and so says an export without one
      return this.end_ === 0 ? new Uint8Array(0) : this.link.doc._export(vector);
    } catch {
      return new Uint8Array(0); // below a snapshot
    }
  }

  private knowsLess(vector: Uint32Array): boolean {
    const mine = new Map<string, number>();
    const have = this.link.doc._vector();
    for (let i = 0; i < have.length; i += 3) mine.set(peerText(have[i]!, have[i + 1]!), have[i + 2]!);
    for (let i = 0; i < vector.length; i += 3)
      if ((mine.get(peerText(vector[i]!, vector[i + 1]!)) ?? 0) < vector[i + 2]!) return true;
    return false;
  }

  private fromTabChanges(changes: Uint8Array): void {
    const at = this.core.putBytes(changes);
    const before = this.end_;
    const all = before === this.shared;
    const err = this.core.x.doc_import!(this.at, at, changes.length, performance.now() + 1);
    const pending = this.core.out(1) !== 0;
    this.core.done();
    this.client.flushSoon();
    if (err !== 0) return; // forked or damaged: the server decides
    if (all) this.shared = this.end_; // nothing of ours among it
    this.link.doc._drain(undefined);
    if (this.keeper) this.storeSoon();
    if (pending) this.hello(HELLO);
  }

  /** Own edits to the other tabs. */
  share(): void {
    if (this.channel === undefined || this.ended) return;
    const end = this.end_;
    if (end <= this.shared) return;
    if (this.exporter(false, this.shared)(this.at, this.shared, end) === 0 && this.core.out(1) !== 0)
      this.post(CHANGES, this.core.outBytes(0));
    this.shared = end;
  }
}

/** 64 bits of two FNV hashes: the same work has the same name in every tab. */
function fingerprint(bytes: Uint8Array): string {
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte ^ (a >>> 13), 0x5bd1e995);
  }
  return [a, b].map((n) => (n >>> 0).toString(16).padStart(8, "0")).join("");
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
