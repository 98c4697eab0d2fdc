// undo.ts -- takes back what was edited here, whatever came from others since.

import type { Anchor, Text } from "./containers.js";
import type { Doc } from "./doc.js";
import { Emitter } from "./events.js";
import { SynclineError } from "./wasm.js";

export interface UndoOptions {
  /** Edits at most this many milliseconds apart are taken back together. Default 500. */
  interval?: number;
  maxItems?: number;
  /** Only transactions with one of these origins; default: all (undefined included). */
  origins?: readonly unknown[];
}

export interface Selection {
  text: Text;
  anchor: number;
  head: number;
}

export type UndoEvents = {
  change: { canUndo: boolean; canRedo: boolean };
  /** After undo or redo: the selection as it was then. */
  selection: Selection;
};

export class UndoManager extends Emitter<UndoEvents> {
  private at: number;
  private origins: Set<unknown> | undefined;

  constructor(readonly doc: Doc, options: UndoOptions = {}) {
    super();
    const make = doc._x.undo_new;
    if (make === undefined) throw new SynclineError("EUNSUPPORTED", "this build has no undo");
    this.at = make(doc._at, options.interval ?? 500, options.maxItems ?? 0);
    if (this.at === 0) throw new SynclineError("ENOMEM", "out of memory");
    if (options.origins !== undefined) this.origins = new Set(options.origins);
    doc._undo.push(this);
  }

  takes(origin: unknown): boolean {
    return this.origins === undefined || this.origins.has(origin);
  }

  get canUndo(): boolean {
    return this.doc._x.undo_count!(this.at) !== 0;
  }
  get canRedo(): boolean {
    return this.doc._x.undo_redo_count!(this.at) !== 0;
  }

  /** false: nothing was left to take back. */
  undo(): boolean {
    return this.step(this.doc._x.undo_undo!);
  }
  redo(): boolean {
    return this.step(this.doc._x.undo_redo!);
  }

  private step(call: (at: number) => number): boolean {
    const err = call(this.at);
    if (err === 15) return false; // ENOTFOUND
    this.doc.core.check(err, this.doc._at);
    this.doc._committed(this);
    this.tellSelection();
    this.changed();
    return true;
  }

  /** What is edited next is an item of its own. */
  boundary(): void {
    this.doc._x.undo_boundary!(this.at);
  }

  clear(): void {
    this.doc._x.undo_clear!(this.at);
    this.changed();
  }

  /** The selection as it is: tell it before edits, undo and redo; it comes back with them. */
  select(text: Text, anchor: number, head = anchor): void {
    const { core, _x: x, _at } = this.doc;
    const err = x.undo_select!(_at, this.at, text.obj, anchor, head);
    core.check(err, _at);
  }

  private tellSelection(): void {
    const { core, _x: x, _at } = this.doc;
    if (!this.heard("selection") || x.undo_selection!(_at, this.at) !== 2) return;
    const [obj, anchor, head] = [core.out(0), core.out(1), core.out(2)];
    const text = this.doc._container(obj, 0) as Text;
    this.emit("selection", { text, anchor, head });
  }

  private changed(): void {
    if (this.heard("change")) this.emit("change", { canUndo: this.canUndo, canRedo: this.canRedo });
  }

  /** @internal */
  _begin(): number {
    return this.doc._x.undo_begin!(this.at);
  }
  /** @internal */
  _commit(): number {
    const err = this.doc._x.undo_commit!(this.at, performance.now());
    if (err === 0) queueMicrotask(() => this.at !== 0 && this.changed());
    return err;
  }

  free(): void {
    if (this.at === 0) return;
    this.doc._undo = this.doc._undo.filter((other) => other !== this);
    this.doc._x.undo_free!(this.at);
    this.at = 0;
  }
}

export type { Anchor };
