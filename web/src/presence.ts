// presence.ts -- who is here: each session's own state, seen by all, kept by none.

import type { Json, List, Text } from "./containers.js";
import type { Doc } from "./doc.js";
import { Emitter } from "./events.js";

/** A place in a text (UTF-16 units) or list: equal ends are a caret, and it may run backwards. */
export interface Selected {
  target: Text | List;
  anchor: number;
  head: number;
}

export interface Other {
  /** A number of the server's for this session. */
  session: number;
  /** Who the server says it is; "" without sign-in. */
  user: string;
  state: Json;
  /** What it has selected, where that is now: look again when the document changed. */
  readonly selections: Selected[];
}

export type PresenceEvents = { change: Map<number, Other> };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class Presence extends Emitter<PresenceEvents> {
  /** The other sessions that have a document open and said something. */
  readonly others = new Map<number, Other>();
  private mine: Json = null;

  /** @internal */
  constructor(private readonly doc: Doc) {
    super();
  }

  get state(): Json {
    return this.mine;
  }

  /** What others see of this session: at most 4,096 bytes of JSON, the newest wins. */
  set(state: Json): void {
    this.mine = state;
    this.doc._link?.presence(encoder.encode(JSON.stringify(state)), 30000);
  }

  /** Sets some members of a state that is an object. */
  update(members: { [key: string]: Json }): void {
    const now = this.mine;
    this.set({ ...(now !== null && typeof now === "object" && !Array.isArray(now) ? now : {}), ...members });
  }

  /** What is selected here; others see it where it was made, whatever is typed meanwhile. Nothing: no
   *  selection. At most 64, all in one container. */
  select(...selections: Selected[]): void {
    this.doc._link?.select(new Uint32Array(selections.flatMap((one) => [one.target.obj, one.anchor, one.head])));
  }

  /** @internal The session is another one. */
  _again(): void {
    if (this.mine !== null) this.set(this.mine);
  }

  /** @internal */
  _seen(session: number, user: string, bytes: Uint8Array, gone: boolean): void {
    let state: Json = null;
    try {
      if (bytes.length !== 0) state = JSON.parse(decoder.decode(bytes)) as Json;
    } catch {
      return; // another program's: not for us
    }
    if (gone) this.others.delete(session);
    else {
      const { doc } = this;
      this.others.set(session, { session, user, state, get selections() { return doc._selections(session); } });
    }
    this.emit("change", this.others);
  }

  /** @internal The connection is gone, and with it everybody. */
  _cleared(): void {
    if (this.others.size === 0) return;
    this.others.clear();
    this.emit("change", this.others);
  }
}
