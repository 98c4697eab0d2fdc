// syncline -- documents that several people edit at once, online or not.
export { connect, Client } from "./client.js";
export type { ClientOptions } from "./client.js";
export { Doc } from "./doc.js";
export type { Branch, DocEvent, DocEvents, Id, Local, Status, TransactOptions, Unsaved } from "./doc.js";
export { Anchor, Counter, List, MapRef, Text } from "./containers.js";
export type {
  ChangeInfo, Container, CounterEvent, Json, ListEvent, ListSplice, MapEvent, Plain, Settable, TextEvent, Value,
} from "./containers.js";
export { deltaOf } from "./events.js";
export type { DeltaOp, Splice, Unsubscribe } from "./events.js";
export { Presence } from "./presence.js";
export type { Other, Selected } from "./presence.js";
export { UndoManager } from "./undo.js";
export type { Selection, UndoOptions } from "./undo.js";
export { BroadcastTransport, WebSocketTransport } from "./transport.js";
export type { Transport, TransportEvents } from "./transport.js";
export { IndexedDbStorage } from "./storage.js";
export type { Storage } from "./storage.js";
export { bindTextarea, bindEditor } from "./bind.js";
export type { EditorPort } from "./bind.js";
export { SynclineError, engine, useWasm } from "./wasm.js";
export type { WasmSource } from "./wasm.js";
