// codemirror.ts -- a text in a CodeMirror 6 editor: its changes, others' cursors, undo.
//
//     user types --> transaction --> update listener --> Text (one change of the document)
//     others type --> observe --> transaction marked `remote` --> the view
//
// Selections travel in presence as the protocol's cursors, which both ends resolve in their own
// state, so that they stand right whatever is typed meanwhile.

import { Annotation, Extension, Prec, RangeSet, Text as CmText } from "@codemirror/state";
import {
  Decoration, DecorationSet, EditorView, PluginValue, ViewPlugin, ViewUpdate, WidgetType, keymap,
} from "@codemirror/view";
import type { Json, Text, TextEvent } from "./containers.js";
import type { UndoManager } from "./undo.js";
import type { Splice } from "./events.js";

export interface CodeMirrorOptions {
  /** Shown beside the caret in others' editors; false: nothing is told. */
  user?: { name: string; color: string } | false;
  /** Mod-z, Mod-y and Mod-Shift-z; default: one of its own, if the engine has undo. false: none. */
  undo?: UndoManager | false;
}

const remote = Annotation.define<boolean>();

/** The extension that binds `text`. Start the editor with `doc: text.toString()`; leave
 *  CodeMirror's own history() out, it would take back what others typed. */
export function codemirror(text: Text, options: CodeMirrorOptions = {}): Extension {
  const undo = options.undo === false ? undefined : (options.undo ?? ownUndo(text));
  const plugin = ViewPlugin.define((view) => new Binding(view, text, options, undo), {
    decorations: (binding) => binding.decorations,
  });
  const keys = undo === undefined ? [] : Prec.high(keymap.of([
    { key: "Mod-z", run: () => (undo.undo(), true), preventDefault: true },
    { key: "Mod-y", mac: "Mod-Shift-z", run: () => (undo.redo(), true), preventDefault: true },
    { key: "Mod-Shift-z", run: () => (undo.redo(), true), preventDefault: true },
  ]));
  return [plugin, keys, theme];
}

function ownUndo(text: Text): UndoManager | undefined {
  try {
    return text.doc.undoManager();
  } catch {
    return undefined;
  }
}

class Binding implements PluginValue {
  decorations: DecorationSet = Decoration.none;
  private readonly stops: (() => void)[] = [];
  private mine = false; // the change comes from this editor
  private scheduled = false;
  private showing = false;
  private named = false;
  private gone = false;

  constructor(
    private readonly view: EditorView, private readonly text: Text,
    private readonly options: CodeMirrorOptions, private readonly undo: UndoManager | undefined,
  ) {
    this.stops.push(text.observe((event) => this.fromText(event)));
    this.stops.push(text.doc.presence.on("change", () => this.showOthers()));
    if (undo !== undefined)
      this.stops.push(undo.on("selection", (s) => s.text === text && this.select(s.anchor, s.head)));
    queueMicrotask(() => {
      this.catchUp();
      this.tellSelection();
      this.showOthers();
    });
  }

  /** The editor may have been started with another text. */
  private catchUp(): void {
    const now = this.text.toString();
    const shown = this.view.state.doc.toString();
    if (now === shown) return;
    this.view.dispatch({
      changes: { from: 0, to: this.view.state.doc.length, insert: CmText.of(now.split("\n")) },
      annotations: remote.of(true),
    });
  }

  private fromText(event: TextEvent): void {
    if (this.mine || event.origin === this) return;
    for (const splice of event.splices) this.apply(splice);
    if (this.text.doc.presence.others.size !== 0) this.showSoon(); // one may have waited for this
  }

  private apply(splice: Splice): void {
    this.view.dispatch({
      changes: {
        from: splice.index, to: splice.index + splice.removed,
        insert: CmText.of(splice.inserted.split("\n")),
      },
      annotations: remote.of(true),
    });
  }

  private select(anchor: number, head: number): void {
    const end = this.view.state.doc.length;
    this.view.dispatch({
      selection: { anchor: Math.min(anchor, end), head: Math.min(head, end) }, scrollIntoView: true,
    });
  }

  update(update: ViewUpdate): void {
    const own = update.docChanged && !update.transactions.some((t) => t.annotation(remote) === true);
    if (update.docChanged) this.decorations = this.decorations.map(update.changes);
    if (own) this.toText(update);
    if (update.selectionSet || update.focusChanged || own) this.tellSoon();
  }

  private toText(update: ViewUpdate): void {
    if (this.undo !== undefined) {
      const { anchor, head } = update.startState.selection.main;
      this.undo.select(this.text, anchor, head);
    }
    this.mine = true;
    try {
      this.text.doc.transact(() => {
        update.changes.iterChanges((fromA, toA, fromB, _toB, inserted) => {
          // Changes come from left to right: what is left of this one was carried out already.
          this.text.delete(fromB, toA - fromA);
          this.text.insert(fromB, inserted.toString());
        });
      });
    } finally {
      this.mine = false;
    }
  }

  /* ---- Selections ---- */

  private tellSoon(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.tellSelection();
    });
  }

  private tellSelection(): void {
    const { user } = this.options;
    if (user === undefined || user === false) return;
    const { presence } = this.text.doc;
    const { anchor, head } = this.view.state.selection.main;
    if (!this.named) presence.update({ name: user.name, color: user.color });
    this.named = true;
    if (this.view.hasFocus) presence.select({ target: this.text, anchor, head });
    else presence.select();
  }

  private showSoon(): void {
    if (this.showing) return;
    this.showing = true;
    queueMicrotask(() => {
      this.showing = false;
      this.showOthers();
    });
  }

  private showOthers(): void {
    if (this.gone) return;
    const ranges = [];
    for (const other of this.text.doc.presence.others.values()) {
      const who = personOf(other.state);
      if (who === undefined) continue;
      const end = this.view.state.doc.length;
      for (const { target, anchor, head } of other.selections) {
        if (target !== this.text) continue;
        const [from, to] = [Math.min(anchor, head, end), Math.min(Math.max(anchor, head), end)];
        if (to > from)
          ranges.push(Decoration.mark({
            class: "syn-selection", attributes: { style: `background-color: ${who.color}33` },
          }).range(from, to));
        ranges.push(Decoration.widget({
          widget: new Caret(who.name, who.color), side: 1,
        }).range(Math.min(head, end)));
      }
    }
    this.decorations = RangeSet.of(ranges, true);
    this.view.dispatch({ annotations: remote.of(true) }); // shows them
  }

  destroy(): void {
    this.gone = true;
    for (const stop of this.stops) stop();
  }
}

function personOf(state: Json): { name: string; color: string } | undefined {
  if (state === null || typeof state !== "object" || Array.isArray(state)) return undefined;
  const { name, color } = state;
  if (typeof name !== "string" || typeof color !== "string" || !/^#[0-9a-f]{6}$/i.test(color)) return undefined;
  return { name: name.slice(0, 40), color };
}

class Caret extends WidgetType {
  constructor(private readonly name: string, private readonly color: string) {
    super();
  }
  override eq(other: Caret): boolean {
    return other.name === this.name && other.color === this.color;
  }
  override toDOM(): HTMLElement {
    const caret = document.createElement("span");
    caret.className = "syn-caret";
    caret.style.borderColor = this.color;
    const label = document.createElement("span");
    label.className = "syn-caret-name";
    label.style.backgroundColor = this.color;
    label.textContent = this.name;
    caret.append(label);
    return caret;
  }
  override ignoreEvent(): boolean {
    return true;
  }
}

const theme = EditorView.baseTheme({
  ".syn-caret": { position: "relative", borderLeft: "2px solid", marginLeft: "-1px", marginRight: "-1px" },
  ".syn-caret-name": {
    position: "absolute", top: "-1.15em", left: "-2px", padding: "0 4px", borderRadius: "3px 3px 3px 0",
    color: "white", fontSize: "11px", lineHeight: "1.25", whiteSpace: "nowrap", pointerEvents: "none",
    zIndex: "10", userSelect: "none",
  },
});
