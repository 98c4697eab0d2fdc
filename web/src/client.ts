// client.ts -- a connection and the documents that share it.
//
//     Doc --edits--> engine <--session--> Transport --> server
//                      |  \----Tab----> BroadcastTransport --> other tabs
//                      \-------Tab----> Storage
//
// The protocol is the engine's (net/session.c); here bytes are moved, time is told, and what the
// engine has to say is handed on.  While a call into the session runs, its news are only noted
// (except messages, which leave at once); they are told when it has returned, so that an observer
// may edit, close or open whatever it likes.

import { Branch, Doc, DocLink, Local, Status, Unsaved } from "./doc.js";
import { Emitter } from "./events.js";
import { Keeping } from "./keeping.js";
import { IndexedDbStorage, Storage, hasIndexedDb } from "./storage.js";
import { Transport, WebSocketTransport } from "./transport.js";
import { Core, Exports, SynclineError, WasmSource } from "./wasm.js";
import { inflate } from "./inflate.js";

export interface ClientOptions {
  /** Signs in; see setToken. */
  token?: string;
  /** Name of the local copy in IndexedDB, one per (server, user). Default: from the address; false: no
   *  copy, memory only. */
  store?: string | false;
  /** A storage of your own instead. */
  storage?: Storage;
  /** Share documents with other tabs of this origin at once, also without a server. Default: true if
   *  there is a store. */
  tabs?: boolean;
  /** Instead of a WebSocket to the address. */
  transport?: Transport | ((url: string) => Transport);
  /** For the server's logs. */
  name?: string;
  /** Where the engine is, if not beside this file. */
  wasm?: WasmSource;
  /** Milliseconds; waits before the next try are uniform in [0, bound). Defaults 200 and 30,000. */
  backoff?: { min?: number; max?: number };
}

export type ClientEvents = { status: { status: Status; reason: string } };

const enum Event { Send = 1, Close, Status, Changed, Rebuilt, Acked, Lineage, Rejected, Presence, Welcome }

/** Connects to a syncline server; without an address to the one that served this page. Nothing waits
 *  for the connection: documents open with what is here. */
export function connect(url?: string | null, options: ClientOptions = {}): Client {
  return new Client(url === undefined ? pageUrl() : url, options);
}

function pageUrl(): string | null {
  if (typeof location === "undefined" || !location.protocol.startsWith("http")) return null;
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
}

export class Client extends Emitter<ClientEvents> {
  private readonly ready: Promise<void>;
  private core!: Core;
  private transport: Transport | undefined;
  private storage: Promise<Storage | string>;
  private opening = new Map<string, Promise<Doc>>();
  private links = new Map<number, Link>();
  private nextId = 1;
  private depth = 0;
  private news: (() => void)[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private connecting = false;
  private wish = true; // to be online
  private failure = ""; // why the last connection ended
  private broken = "";
  private generation = 0;
  private token: string;
  private doubt = false; // this connection began with another token: what it refuses may be of that one
  private inbox: Promise<void> | undefined;
  private flushing = false;
  private told = "";
  private closed = false;
  /** @internal */ readonly tabs: boolean;
  /** @internal Name of the local copy. */ readonly store: string | undefined;

  constructor(readonly url: string | null, private readonly options: ClientOptions = {}) {
    super();
    this.token = options.token ?? "";
    this.store = options.store === false ? undefined : (options.store ?? storeName(url));
    const kept = this.store !== undefined && (options.storage !== undefined || hasIndexedDb());
    this.tabs = options.tabs ?? (kept && options.storage === undefined);
    this.storage = this.openStorage();
    this.transport = this.makeTransport();
    this.ready = this.start();
    this.ready.catch(() => undefined); // open() tells it
    this.listen();
  }

  private async openStorage(): Promise<Storage | string> {
    if (this.options.storage !== undefined) return this.options.storage;
    if (this.store === undefined) return "no store was wished for";
    try {
      return await IndexedDbStorage.open(`syncline:${this.store}`);
    } catch (error) {
      return `nothing is kept in this browser: ${message(error)}`;
    }
  }

  private makeTransport(): Transport | undefined {
    const { transport } = this.options;
    if (typeof transport === "object") return transport;
    if (this.url === null) return undefined;
    return typeof transport === "function" ? transport(this.url) : new WebSocketTransport(this.url);
  }

  private async start(): Promise<void> {
    this.core = await Core.create({ event: (k, d, at, len) => this.event(k, d, at, len) }, this.options.wasm);
    const { token } = this;
    const at = this.core.put(token + (this.options.name ?? "syncline-web"));
    const all = this.core.len;
    const { min = 0, max = 0 } = this.options.backoff ?? {};
    const tokenLen = new TextEncoder().encode(token).length;
    this.core.check(this.core.x.client_new!(at, tokenLen, all - tokenLen, min, max));
    this.core.done();
    this.schedule();
  }

  /* ---- Documents ---- */

  /** A document, usable at once: with what this browser has of it. `doc.synced()` waits for the
   *  server. Opened twice it is the same object. Rejects when the engine cannot run here. */
  open(name: string): Promise<Doc> {
    let opening = this.opening.get(name);
    if (opening === undefined) {
      opening = this.openNew(name);
      this.opening.set(name, opening);
      opening.catch(() => this.opening.delete(name));
    }
    return opening;
  }

  private async openNew(name: string): Promise<Doc> {
    await this.ready;
    if (this.closed) throw new SynclineError("ECLOSED", "the client was closed");
    if (name === "" || new TextEncoder().encode(name).length > 255)
      throw new SynclineError("ELIMIT", "a document's name has 1 to 255 bytes");
    const id = this.nextId++;
    const doc = Doc._make(this.core, name, id);
    const storage = await this.storage;
    const link = new Link(this, doc, id, this.core, storage);
    await link.keeping.load();
    doc._link = link;
    this.links.set(id, link);
    link.attach(link.keeping.adopted);
    link.keeping.begin();
    return doc;
  }

  /** @internal */
  _left(link: Link): void {
    this.links.delete(link.id);
    this.opening.delete(link.doc.name);
  }

  /* ---- The connection ---- */

  get status(): Status {
    if (this.broken !== "") return "denied";
    const { core } = this;
    if (core !== undefined && core.x.client_live!() !== 0) return "live";
    if (core !== undefined && this.refused()) return "denied";
    if (!this.mayConnect() || this.failure !== "") return "offline";
    return "connecting";
  }

  get reason(): string {
    if (this.broken !== "") return this.broken;
    if (this.transport === undefined) return "no server";
    if (!this.wish) return "offline by wish";
    if (this.core !== undefined) {
      this.core.x.client_reason!();
      const reason = this.core.outText(0);
      if (reason !== "") return reason;
    }
    return this.failure;
  }

  private refused(): boolean {
    return this.core.x.client_reconnect_at!() < 0;
  }

  private mayConnect(): boolean {
    return this.transport !== undefined && this.wish && !this.closed && this.broken === "";
  }

  /** Cuts the connection and stays offline. */
  goOffline(): void {
    this.wish = false;
    this.transport?.close("offline by wish");
    this.schedule();
  }

  /** Tries now, whatever was refused before. */
  goOnline(): void {
    this.wish = true;
    this.retry();
  }

  private retry(): void {
    this.failure = "";
    if (this.core !== undefined) this.call(() => this.core.x.client_retry_now!(now()));
  }

  get online(): boolean {
    return this.wish;
  }

  /** Used from now on; also after the server said that the old one expired, or does not suffice. */
  setToken(token: string): void {
    this.token = token;
    if (this.core === undefined) return; // it starts with this one
    this.giveToken();
    this.doubt = this.connecting;
    for (const link of this.links.values()) link.doubt = this.connecting;
    this.retry();
  }

  private giveToken(): void {
    const { core } = this;
    this.call(() => {
      const at = core.put(this.token);
      core.check(core.x.client_set_token!(at, core.len));
      core.done();
    });
  }

  /** A refusal that was under way when the token was set says nothing about the new one: once more. */
  private mend(): void {
    let again = this.doubt && this.refused();
    if (again) this.doubt = false;
    for (const link of this.links.values()) again = link.doubted() || again;
    if (again) this.retry();
  }

  private connectIfDue(): void {
    if (!this.mayConnect() || this.connecting) return;
    const at = this.core.x.client_reconnect_at!();
    if (at < 0 || now() < at) return;
    this.connecting = true;
    const generation = ++this.generation;
    const live = (): boolean => this.generation === generation && this.connecting;
    this.transport!.open({
      opened: () => {
        if (!live()) return;
        this.doubt = false;
        this.call(() => this.core.x.client_connected!(now()));
      },
      message: (bytes) => live() && this.receive(bytes, generation),
      writable: () => live() && this.call(() => this.core.x.client_writable!(now())),
      closed: (reason) => live() && this.disconnected(reason),
    });
  }

  private disconnected(reason: string): void {
    this.connecting = false;
    this.generation++;
    this.failure = reason !== "" ? reason : "the connection was lost";
    this.inbox = undefined;
    this.call(() => this.core.x.client_disconnected!(now()));
    for (const link of this.links.values()) link.doc.presence._cleared();
  }

  /** In order: what comes behind a message that is being inflated waits for it. */
  private receive(bytes: Uint8Array, generation: number): void {
    if (this.inbox !== undefined) {
      this.later(bytes, generation, this.inbox);
      return;
    }
    const { core } = this;
    const at = core.putBytes(bytes);
    if (core.x.client_packed!(at, bytes.length) !== 0) {
      core.done();
      this.later(bytes, generation, Promise.resolve());
      return;
    }
    this.call(() => core.x.client_receive!(at, bytes.length, 0, 0, now()));
    core.done();
  }

  private later(bytes: Uint8Array, generation: number, before: Promise<void>): void {
    const mine: Promise<void> = before.then(async () => {
      if (this.generation !== generation) return;
      await this.receivePacked(bytes, generation);
      if (this.inbox === mine) this.inbox = undefined;
    });
    this.inbox = mine;
  }

  private async receivePacked(bytes: Uint8Array, generation: number): Promise<void> {
    const { core } = this;
    let at = core.putBytes(bytes);
    const packed = core.x.client_packed!(at, bytes.length) !== 0;
    const data = packed ? core.outBytes(0) : undefined;
    const size = core.out(2);
    core.done();
    const raw = data !== undefined ? await inflate(data, size) : undefined;
    if (this.generation !== generation) return;
    at = core.putBytes(bytes);
    const rawAt = raw !== undefined ? core.putBytes(raw) : 0;
    this.call(() => core.x.client_receive!(at, bytes.length, rawAt, raw?.length ?? 0, now()));
    core.done();
  }

  /* ---- The engine ---- */

  /** @internal Calls into the session; tells its news behind the outermost call. */
  call<T>(fn: () => T): T | undefined {
    if (this.broken !== "") return undefined;
    this.depth++;
    try {
      return fn();
    } catch (error) {
      this.breakDown(error);
      return undefined;
    } finally {
      if (--this.depth === 0) this.tellNews();
    }
  }

  /** A trap: the engine's state is not to be trusted; what was stored is. */
  private breakDown(error: unknown): void {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    this.broken = `the engine failed, reload the page: ${message(error)}`;
    this.transport?.close(this.broken);
  }

  private tellNews(): void {
    while (this.news.length !== 0) this.news.shift()!();
    this.mend();
    for (const link of this.links.values()) link.tell();
    const { status, reason } = this;
    if (this.told !== status + reason) {
      this.told = status + reason;
      this.emit("status", { status, reason });
    }
    this.schedule();
  }

  private event(kind: Event, id: number, at: number, len: number): number {
    const { core } = this;
    const link = this.links.get(id);
    switch (kind) {
      case Event.Send:
        return this.transport!.send(core.copy(at, len)) ? 1 : 0;
      case Event.Close: {
        const reason = core.text(at, len);
        this.news.push(() => this.transport?.close(reason));
        return 1;
      }
      case Event.Welcome:
        this.failure = "";
        if (this.doubt) this.news.push(() => this.giveToken());
        return 1;
      case Event.Changed:
        if (link !== undefined) link.changed = true;
        return 1;
      case Event.Rebuilt:
        link?.keeping.rebuilt();
        return 1;
      case Event.Acked:
        link?.keeping.acked();
        return 1;
      case Event.Lineage:
        link?.keeping.setLineage(core.copy(at, len));
        return 1;
      case Event.Rejected: {
        const changes = core.copy(at, len);
        const [code, detail] = [core.outText(0), core.outText(2)];
        this.news.push(() => link?.reject(code, detail, changes));
        return 1;
      }
      case Event.Presence: {
        const state = core.copy(at, len);
        const [session, gone, user] = [core.out(0), core.out(1) !== 0, core.outText(2)];
        this.news.push(() => link?.doc.presence._seen(session, user, state, gone));
        return 1;
      }
      default:
        return 1;
    }
  }

  /** @internal Own edits leave at the end of this task's microtask: all in one message. */
  flushSoon(): void {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      if (!this.closed) this.tick();
      for (const link of this.links.values()) link.keeping.share();
    });
  }

  private tick(): void {
    if (this.core === undefined) return;
    this.connectIfDue();
    this.call(() => this.core.x.client_tick!(now()));
  }

  private schedule(): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    if (this.core === undefined || this.broken !== "" || this.closed) return;
    let next = this.core.x.client_next_tick!();
    if (this.mayConnect() && !this.connecting) {
      const at = this.core.x.client_reconnect_at!();
      if (at >= 0 && (next < 0 || at < next)) next = at;
    }
    if (next < 0) return;
    this.timer = setTimeout(() => this.tick(), Math.min(Math.max(next - now(), 0), 60000));
    if (this.links.size === 0) (this.timer as unknown as { unref?: () => void }).unref?.();
  }

  /* ---- The page ---- */

  private readonly onHide = (): void => {
    for (const link of this.links.values()) link.keeping.storeNow();
  };
  private readonly onShow = (): void => {
    if (typeof document !== "undefined" && document.visibilityState === "hidden") return this.onHide();
    if (this.core === undefined) return;
    this.tick(); // asleep for long: the session hangs up by itself
    if (this.wish && !this.connecting && !this.refused())
      this.call(() => this.core.x.client_retry_now!(now()));
  };

  private listen(): void {
    if (typeof window === "undefined") return;
    window.addEventListener("pagehide", this.onHide);
    window.addEventListener("pageshow", this.onShow);
    window.addEventListener("online", this.onShow);
    document.addEventListener("visibilitychange", this.onShow);
    document.addEventListener("resume", this.onShow);
    document.addEventListener("freeze", this.onHide);
  }

  /** Stores what is not stored, closes the connection and all documents. */
  async close(): Promise<void> {
    if (this.closed) return;
    for (const opening of [...this.opening.values()]) await opening.then((doc) => doc.close(), () => undefined);
    this.closed = true;
    this.transport?.close("closed");
    if (this.timer !== undefined) clearTimeout(this.timer);
    if (typeof window !== "undefined") {
      window.removeEventListener("pagehide", this.onHide);
      window.removeEventListener("pageshow", this.onShow);
      window.removeEventListener("online", this.onShow);
      document.removeEventListener("visibilitychange", this.onShow);
      document.removeEventListener("resume", this.onShow);
      document.removeEventListener("freeze", this.onHide);
    }
    const storage = await this.storage;
    if (typeof storage !== "string") storage.close();
  }

  /** @internal */
  stateOf(engineStatus: number, reason: string): { status: Status; reason: string } {
    if (this.broken !== "") return { status: "denied", reason: this.broken };
    if (engineStatus === 4) return { status: "denied", reason };
    if (engineStatus === 2) return { status: "live", reason: "" };
    if (engineStatus === 3) return { status: "connecting", reason };
    const { status, reason: why } = this;
    return { status: status === "live" ? "connecting" : status, reason: reason !== "" ? reason : why };
  }
}

/** One open document of a client. */
export class Link implements DocLink {
  readonly keeping: Keeping;
  changed = false;
  doubt = false; // see Client.mend
  private toldStatus = "";
  private toldUnsaved = "";
  private wasLive = false;
  private refused = false; // edits were set aside since somebody waits
  private waiting: { live: boolean; resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(
    private readonly client: Client, readonly doc: Doc, readonly id: number, private readonly core: Core,
    storage: Storage | string,
  ) {
    this.keeping = new Keeping(client, this, core, storage);
  }

  attach(own: Uint32Array): void {
    const { core, doc } = this;
    const { lineage } = this.keeping;
    this.client.call(() => {
      const lineageAt = lineage !== undefined ? core.putBytes(lineage) : 0;
      const ownAt = core.putWords(own);
      const at = core.put(doc.name);
      const err = core.x.doc_attach!(doc._at, at, core.len, lineageAt, ownAt, own.length / 3, 0, 1, now());
      core.check(err, doc._at);
      core.done();
    });
    this.client.flushSoon();
  }

  /** Anew, with own peers that were somebody else's: see Keeping. */
  reattach(own: Uint32Array): void {
    this.client.call(() => {
      this.core.check(this.core.x.doc_own!(this.doc._at));
      const mine = this.core.outIds();
      this.core.x.doc_detach!(this.doc._at, now());
      const both = new Uint32Array(mine.length + own.length);
      both.set(mine);
      both.set(own, mine.length);
      this.attach(both);
    });
    this.doc.presence._again();
  }

  /* ---- DocLink ---- */

  committed(bytes: number, imported = false): void {
    if (imported) this.keeping.imported();
    this.core.x.doc_committed!(this.doc._at, bytes, now());
    this.keeping.storeSoon();
    this.client.flushSoon();
  }

  status(): { status: Status; reason: string } {
    const status = this.core.x.doc_status!(this.doc._at);
    return this.client.stateOf(status, status === 0 ? "" : this.core.outText(0));
  }

  /** Refused, perhaps for a token that is no longer ours? */
  doubted(): boolean {
    if (!this.doubt) return false;
    const { status } = this.status();
    if (status === "live" || status === "denied") this.doubt = false;
    return status === "denied";
  }

  unsaved(): Unsaved {
    const count = this.core.x.doc_unsaved!(this.doc._at, now());
    const [bytes, age] = [Number(this.core.outBig(0, false)), Number(this.core.outBig(2, false))];
    return { count, bytes, since: count !== 0 ? new Date(Date.now() - age) : undefined };
  }

  local(): Local {
    return this.keeping.state;
  }

  branches(): readonly Branch[] {
    return this.keeping.branches;
  }

  drop(name: string): void {
    this.keeping.dropBranch(name);
  }

  presence(state: Uint8Array, ttl: number): void {
    this.tellEngine((x, at) => x.doc_presence!(at, this.core.putBytes(state), state.length, ttl, now()));
  }

  select(words: Uint32Array): void {
    this.tellEngine((x, at) => x.doc_select!(at, this.core.putWords(words), words.length / 3, now()));
  }

  private tellEngine(tell: (x: Exports, doc: number) => number): void {
    this.client.call(() => {
      this.core.check(tell(this.core.x, this.doc._at), this.doc._at);
      this.core.done();
    });
    this.client.flushSoon();
  }

  saved(): Promise<void> {
    this.refused = false;
    return this.wait(false);
  }

  synced(): Promise<void> {
    return this.wait(true);
  }

  private wait(live: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ live, resolve, reject });
      this.settle();
    });
  }

  private settle(): void {
    const { status, reason } = this.status();
    if (status === "live") this.wasLive = true;
    const saved = status === "live" && this.unsaved().count === 0;
    this.waiting = this.waiting.filter((one) => {
      if (status === "denied") one.reject(new SynclineError("EDENIED", reason));
      else if (!one.live && this.refused) one.reject(new SynclineError("EDENIED", "edits were refused"));
      else if (one.live ? this.wasLive : saved) one.resolve();
      else return true;
      return false;
    });
  }

  async close(): Promise<void> {
    await this.keeping.end();
    this.client.call(() => this.core.x.doc_detach!(this.doc._at, now()));
    this.client._left(this);
    for (const one of this.waiting.splice(0)) one.reject(new SynclineError("ECLOSED", "closed"));
  }

  /* ---- What the session said ---- */

  reject(code: string, detail: string, changes: Uint8Array): void {
    this.refused = true;
    const branch = this.keeping.addBranch(code, detail, changes);
    this.doc._tell("rejected", branch);
  }

  /** Changes first, then what they mean. */
  tell(): void {
    if (this.changed) {
      this.changed = false;
      this.keeping.storeSoon();
      this.doc._drain(undefined);
    }
    const status = this.status();
    if (this.toldStatus !== status.status + status.reason) {
      this.toldStatus = status.status + status.reason;
      this.doc._tell("status", status);
    }
    const unsaved = this.unsaved();
    const short = `${unsaved.count}/${unsaved.bytes}`;
    if (this.toldUnsaved !== short) {
      this.toldUnsaved = short;
      this.doc._tell("unsaved", unsaved);
    }
    if (this.waiting.length !== 0) this.settle();
    else if (status.status === "live") this.wasLive = true;
  }
}

/** Milliseconds of a clock that nobody sets; never 0, which means "none" below. */
export function now(): number {
  return Math.floor(performance.now()) + 1;
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function storeName(url: string | null): string {
  if (url === null) return "offline";
  const { host, pathname } = new URL(url);
  return host + pathname.replace(/\/$/, "");
}
