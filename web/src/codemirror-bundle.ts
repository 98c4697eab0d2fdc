// codemirror-bundle.ts -- CodeMirror 6 and the binding in one file, for pages without a bundler.
export { basicSetup, minimalSetup } from "codemirror";
export { EditorState, Compartment, StateEffect, StateField } from "@codemirror/state";
export { EditorView, keymap, placeholder } from "@codemirror/view";
export { codemirror } from "./codemirror.js";
export type { CodeMirrorOptions } from "./codemirror.js";
