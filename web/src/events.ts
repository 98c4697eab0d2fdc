// events.ts -- who listens to what; and deltas.

export type Unsubscribe = () => void;

/** A small emitter; a listener that throws does not keep the others from hearing. */
export class Emitter<Events extends { [name: string]: unknown }> {
  private listeners = new Map<keyof Events, Set<(event: never) => void>>();

  on<K extends keyof Events>(name: K, listener: (event: Events[K]) => void): Unsubscribe {
    let set = this.listeners.get(name);
    if (set === undefined) this.listeners.set(name, (set = new Set()));
    set.add(listener as (event: never) => void);
    return () => void set.delete(listener as (event: never) => void);
  }

  /** Does anybody listen? */
  protected heard(name: keyof Events): boolean {
    return (this.listeners.get(name)?.size ?? 0) !== 0;
  }

  protected emit<K extends keyof Events>(name: K, event: Events[K]): void {
    for (const listener of [...(this.listeners.get(name) ?? [])]) {
      try {
        (listener as (event: Events[K]) => void)(event);
      } catch (error) {
        reportError_(error);
      }
    }
  }
}

/** As if nobody had caught it, but later. */
export function reportError_(error: unknown): void {
  setTimeout(() => {
    throw error;
  }, 0);
}

/** One change of a text, in UTF-16 units: at `index`, `removed` units left and `inserted` came. */
export interface Splice {
  index: number;
  removed: number;
  inserted: string;
}

export type DeltaOp = { retain: number } | { delete: number } | { insert: string };

/** Splices that follow each other, as one delta over the text before the first. */
export function deltaOf(splices: readonly Splice[]): DeltaOp[] {
  let ops: DeltaOp[] = [];
  for (const splice of splices) ops = composed(ops, splice);
  return ops;
}

function push(ops: DeltaOp[], op: DeltaOp): void {
  const last = ops[ops.length - 1];
  if (last !== undefined && "retain" in op && "retain" in last) last.retain += op.retain;
  else if (last !== undefined && "delete" in op && "delete" in last) last.delete += op.delete;
  else if (last !== undefined && "insert" in op && "insert" in last) last.insert += op.insert;
  else if (last !== undefined && "insert" in op && "delete" in last) {
    ops.pop(); // an insert stands before the delete at the same place
    push(ops, op);
    ops.push(last);
  } else ops.push({ ...op });
}

function composed(before: readonly DeltaOp[], splice: Splice): DeltaOp[] {
  const ops: DeltaOp[] = [];
  let skip = splice.index; // of the text after `before`
  let remove = splice.removed;
  let placed = false;
  const place = (): void => {
    if (!placed && splice.inserted !== "") push(ops, { insert: splice.inserted });
    placed = true;
  };
  for (const op of before) {
    if ("delete" in op) {
      if (skip === 0) place();
      push(ops, op);
      continue;
    }
    let at = 0;
    const len = "retain" in op ? op.retain : op.insert.length;
    const take = (n: number): DeltaOp =>
      "retain" in op ? { retain: n } : { insert: op.insert.slice(at, at + n) };
    if (skip > 0) {
      const n = Math.min(skip, len);
      push(ops, take(n));
      skip -= n;
      at += n;
    }
    if (at < len && skip === 0) place();
    if (at < len && remove > 0) {
      const n = Math.min(remove, len - at);
      if ("retain" in op) push(ops, { delete: n });
      remove -= n;
      at += n;
    }
    if (at < len) push(ops, take(len - at));
  }
  if (skip > 0) push(ops, { retain: skip });
  place();
  if (remove > 0) push(ops, { delete: remove });
  const last = ops[ops.length - 1];
  if (last !== undefined && "retain" in last) ops.pop();
  return ops;
}

/** Where a position of before stands after a splice. */
export function mapped(position: number, splice: Splice, after: boolean): number {
  if (position < splice.index) return position;
  if (position > splice.index + splice.removed) return position + splice.inserted.length - splice.removed;
  if (position === splice.index + splice.removed && splice.removed > 0)
    return splice.index + splice.inserted.length;
  return position === splice.index && !after ? position : splice.index + splice.inserted.length;
}
