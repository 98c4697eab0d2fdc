// bind.ts -- a text and an editor, kept the same.

import { Text, TextEvent, difference } from "./containers.js";
import { Splice, Unsubscribe, mapped } from "./events.js";

/** What any editor must be able to do: take changes that others made. Positions are UTF-16. */
export interface EditorPort {
  /** One after the other, each on what the one before it left. */
  apply(splices: readonly Splice[]): void;
}

/** For editors that speak positions or deltas: what the user does goes in through the returned
 *  object, what others do comes out through `apply`. The editor must show `text` when this is called. */
export function bindEditor(text: Text, editor: EditorPort): {
  /** The user changed something: splices that follow each other. */
  changed(splices: readonly Splice[]): void;
  /** The same as a delta. */
  changedDelta(delta: readonly ({ retain: number } | { delete: number } | { insert: string })[]): void;
  destroy: Unsubscribe;
} {
  const origin = { editor };
  const destroy = text.observe((event: TextEvent) => {
    if (event.origin !== origin) editor.apply(event.splices);
  });
  const changed = (splices: readonly Splice[]): void => {
    text.doc.transact(() => {
      for (const splice of splices) {
        text.delete(splice.index, splice.removed);
        text.insert(splice.index, splice.inserted);
      }
    }, { origin });
  };
  return {
    changed,
    changedDelta: (delta) => {
      let index = 0;
      const splices: Splice[] = [];
      for (const op of delta) {
        if ("retain" in op) index += op.retain;
        else if ("delete" in op) splices.push({ index, removed: op.delete, inserted: "" });
        else {
          splices.push({ index, removed: 0, inserted: op.insert });
          index += op.insert.length;
        }
      }
      changed(splices);
    },
    destroy,
  };
}

const LARGE = 100000; // characters
const LATER_MS = 100;
const bound = new WeakSet<HTMLElement>();

/** What the user typed while the document was still being opened. What a browser fills in when it loads
 *  a page anew, a script wrote, or another text left there is none of that. */
function typedBefore(area: HTMLTextAreaElement | HTMLInputElement): string {
  const [visit] = performance.getEntriesByType("navigation") as { type?: string }[];
  const own = visit?.type === "navigate" && area.ownerDocument.activeElement === area && !bound.has(area);
  bound.add(area);
  return own && area.value !== area.defaultValue ? area.value : "";
}

/** A text area (or a one-line input) that shows the text, and edits it. What the user typed into it
 *  before is put behind the text. The caret keeps its place
 *  while others type; with `cursor` they see it (a text area cannot show theirs: see
 *  `presence.others`). Gives the function that ends it. */
export function bindTextarea(
  text: Text, area: HTMLTextAreaElement | HTMLInputElement | null, options: { cursor?: boolean } = {},
): Unsubscribe {
  if (area === null) throw new TypeError("bindTextarea: there is no such element");
  let composing = false; // an input method is at work: the value is not to be touched
  let waiting: Splice[] = [];
  let later: ReturnType<typeof setTimeout> | undefined;
  // What the area showed last; a textarea makes "\r\n" and "\r" to "\n" by itself.
  let shown = "";
  const show = (value: string): void => {
    area.value = value;
    shown = area.value;
  };
  const [before, typed] = [text.length, typedBefore(area)];
  const [from, to] = [area.selectionStart ?? 0, area.selectionEnd ?? 0];
  if (typed !== "") text.push(typed);
  show(text.toString());
  if (typed !== "") area.setSelectionRange(before + from, before + to);
  const fromArea = (): void => {
    if (area.value === shown) return;
    const splice = difference(shown, area.value, area.selectionEnd ?? undefined);
    shown = area.value;
    if (splice === undefined) return;
    // Others' changes that wait are in the text already: the place moves along.
    let index = splice.index;
    let end = splice.index + splice.removed;
    for (const other of waiting) {
      index = mapped(index, other, false);
      end = Math.max(index, mapped(end, other, false));
    }
    text.doc.transact(() => {
      text.delete(index, end - index);
      text.insert(index, splice.inserted);
    }, { origin: area });
    if (waiting.length !== 0 && !composing) flush();
  };
  const flush = (): void => {
    const splices = waiting;
    waiting = [];
    let [start, end] = [area.selectionStart ?? 0, area.selectionEnd ?? 0];
    for (const splice of splices) {
      start = mapped(start, splice, false);
      end = mapped(end, splice, false);
    }
    const top = area.scrollTop;
    const direction = area.selectionDirection ?? undefined;
    show(text.toString());
    if (area.ownerDocument.activeElement === area) area.setSelectionRange(start, end, direction);
    area.scrollTop = top;
  };
  const onText = (event: TextEvent): void => {
    if (event.origin === area) return;
    waiting.push(...event.splices);
    if (composing || later !== undefined) return;
    if (shown.length < LARGE) flush();
    else later = setTimeout(() => { // a large text is laid out anew each time: not for every piece
      later = undefined;
      if (!composing && waiting.length !== 0) flush();
    }, LATER_MS);
  };
  const onStart = (): void => void (composing = true);
  const onEnd = (): void => {
    composing = false;
    fromArea();
    if (waiting.length !== 0) flush();
  };
  const onInput = (): void => {
    if (!composing) fromArea();
  };
  const page = area.ownerDocument;
  const onSelect = (): void => {
    const [anchor, head] = [area.selectionStart ?? 0, area.selectionEnd ?? 0];
    if (composing || area.value !== shown || waiting.length !== 0) return; // not of this text
    if (page.activeElement === area) text.doc.presence.select({ target: text, anchor, head });
    else text.doc.presence.select();
  };
  const selecting = ["selectionchange", "focusin", "focusout"];
  if (options.cursor === true) for (const name of selecting) page.addEventListener(name, onSelect);
  area.addEventListener("input", onInput);
  area.addEventListener("compositionstart", onStart);
  area.addEventListener("compositionend", onEnd);
  const stop = text.observe(onText);
  return () => {
    stop();
    clearTimeout(later);
    for (const name of selecting) page.removeEventListener(name, onSelect);
    area.removeEventListener("input", onInput);
    area.removeEventListener("compositionstart", onStart);
    area.removeEventListener("compositionend", onEnd);
  };
}
