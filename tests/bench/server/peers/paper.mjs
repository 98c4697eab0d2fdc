// A recorded editing session as one update of Yjs: node paper.mjs TRACE.trace.gz OUT
// One author, every edit a transaction of its own, as an editor's binding makes them.
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import * as Y from "yjs";

const [trace, out] = process.argv.slice(2);
const doc = new Y.Doc();
doc.clientID = 7;
const text = doc.getText("t");
let edits = 0;
for (const line of gunzipSync(readFileSync(trace)).toString("latin1").split("\n")) {
  if (!line.startsWith("T ")) continue;
  for (const patch of line.split(" ").slice(3)) {
    const [pos, del] = patch.split(",", 2);
    const inserted = decodeURIComponent(patch.slice(pos.length + del.length + 2));
    doc.transact(() => {
      if (del !== "0") text.delete(Number(pos), Number(del));
      if (inserted !== "") text.insert(Number(pos), inserted);
    });
    edits++;
  }
}
const update = Y.encodeStateAsUpdate(doc);
writeFileSync(out, update);
console.log(JSON.stringify({ edits, characters: text.length, bytes: update.length }));
