// storage.ts -- where documents rest in the browser.
//
//     log      [document, n]     a piece of the document's log, as Changes; duplicates do no harm
//     own      [document, peer]  a peer of ours with events that may not be on the server, and how
//                                far it was acknowledged; in the transaction of its first piece
//     doc      document          the server's lineage
//     branch   [document, name]  work that the server refused
//
// Pieces are only added.  When many have come they are joined in one transaction: read, applied to
// the document, written as one, taken away; so a piece that another tab adds meanwhile stays.

export interface Own {
  peer: string;
  acked: number;
  tab: string;
}
export interface StoredBranch {
  name: string;
  code: string;
  detail: string;
  changes: Uint8Array;
}
export interface Stored {
  pieces: Uint8Array[];
  own: Own[];
  lineage: Uint8Array | undefined;
  branches: StoredBranch[];
}
export interface Writing {
  piece?: Uint8Array;
  /** The whole log anew: all pieces go before it. */
  rewrite?: boolean;
  own?: Own[];
  /** Peers that need no note any more. */
  settled?: string[];
  lineage?: Uint8Array;
  branch?: StoredBranch;
  dropBranch?: string;
}

/** A place for documents; rejections are shown by doc.local, and tried again. */
export interface Storage {
  load(document: string): Promise<Stored>;
  write(document: string, writing: Writing): Promise<void>;
  /** Joins pieces: `join` gets them all and gives the whole. */
  join(document: string, join: (pieces: Uint8Array[]) => Uint8Array): Promise<void>;
  delete(document: string): Promise<void>;
  close(): void;
}

function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () =>
      reject(transaction.error ?? new Error("the browser's storage failed"));
  });
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the browser's storage failed"));
  });
}

const STORES = ["log", "own", "doc", "branch"];

function all(document: string): IDBKeyRange {
  return IDBKeyRange.bound([document], [document, []]);
}

/** Where a page may store nothing, some browsers throw at the very name. */
export function hasIndexedDb(): boolean {
  try {
    return typeof indexedDB !== "undefined";
  } catch {
    return false;
  }
}

export class IndexedDbStorage implements Storage {
  private constructor(private readonly db: IDBDatabase) {}

  static open(name: string): Promise<IndexedDbStorage> {
    return new Promise((resolve, reject) => {
      if (typeof indexedDB === "undefined") throw new Error("this browser has no IndexedDB");
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => {
        for (const store of STORES) request.result.createObjectStore(store);
      };
      request.onsuccess = () => {
        const db = request.result;
        db.onversionchange = () => db.close(); // a later version of this page wants it
        resolve(new IndexedDbStorage(db));
      };
      request.onerror = () => reject(request.error ?? new Error("IndexedDB cannot be opened"));
      request.onblocked = () => reject(new Error("another page holds an older IndexedDB open"));
    });
  }

  async load(document: string): Promise<Stored> {
    const t = this.db.transaction(STORES, "readonly");
    const pieces = answer<Uint8Array[]>(t.objectStore("log").getAll(all(document)));
    const own = answer<Own[]>(t.objectStore("own").getAll(all(document)));
    const lineage = answer<Uint8Array | undefined>(t.objectStore("doc").get(document));
    const branches = answer<StoredBranch[]>(t.objectStore("branch").getAll(all(document)));
    return { pieces: await pieces, own: await own, lineage: await lineage, branches: await branches };
  }

  async write(document: string, writing: Writing): Promise<void> {
    const t = this.db.transaction(STORES, "readwrite");
    const over = done(t);
    try {
      this.put(t, document, writing);
    } catch (error) {
      t.abort(); // or it would commit what was asked of it before
      await over.catch(() => undefined);
      throw error;
    }
    t.commit?.(); // at pagehide there is no later
    return over;
  }

  private put(t: IDBTransaction, document: string, writing: Writing): void {
    const log = t.objectStore("log");
    const own = t.objectStore("own");
    const branch = t.objectStore("branch");
    if (writing.rewrite === true) log.delete(all(document));
    if (writing.piece !== undefined) log.add(writing.piece, [document, pieceKey()]);
    for (const note of writing.own ?? []) own.put(note, [document, note.peer]);
    for (const peer of writing.settled ?? []) own.delete([document, peer]);
    if (writing.lineage !== undefined) t.objectStore("doc").put(writing.lineage, document);
    if (writing.branch !== undefined) branch.put(writing.branch, [document, writing.branch.name]);
    if (writing.dropBranch !== undefined) branch.delete([document, writing.dropBranch]);
  }

  join(document: string, join: (pieces: Uint8Array[]) => Uint8Array): Promise<void> {
    const t = this.db.transaction("log", "readwrite");
    const over = done(t);
    const log = t.objectStore("log");
    const keys = log.getAllKeys(all(document));
    const pieces = log.getAll(all(document));
    pieces.onsuccess = () => {
      try {
        const whole = join(pieces.result as Uint8Array[]);
        for (const key of keys.result) log.delete(key);
        log.add(whole, [document, pieceKey()]);
      } catch {
        t.abort();
      }
    };
    return over;
  }

  delete(document: string): Promise<void> {
    const t = this.db.transaction(STORES, "readwrite");
    for (const store of ["log", "own", "branch"]) t.objectStore(store).delete(all(document));
    t.objectStore("doc").delete(document);
    return done(t);
  }

  close(): void {
    this.db.close();
  }
}

let last = 0;

/** Ascending in this page, and different from every other page's. */
function pieceKey(): number {
  const now = Date.now() * 1000 + Math.floor(Math.random() * 1000);
  last = now > last ? now : last + 1;
  return last;
}
