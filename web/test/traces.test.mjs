// Recorded and generated editing sessions, replayed by the WebAssembly engine (tests/data, and
// ../shared/traces where it is): every text that is known must come out.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { parse, replay } from "./trace.mjs";

const folders = ["../../tests/data/", process.env.SYN_TRACES ?? "../../../shared/traces/"]
  .map((name) => new URL(name, import.meta.url)).filter((url) => existsSync(url));
const files = new Map();
for (const folder of folders)
  for (const name of readdirSync(folder)) if (name.endsWith(".trace.gz")) files.set(name, new URL(name, folder));

const sha = (text) => createHash("sha256").update(text, "utf8").digest("hex");

for (const [name, url] of files)
  test(name, async () => {
    for (const record of parse(gunzipSync(readFileSync(url)).toString("latin1"))) {
      const asked = new Set(record.expected.map((one) => one.txn));
      const { doc, texts } = await replay(record, asked);
      for (const one of record.expected) {
        const text = one.txn === undefined ? doc.text().toString() : texts.get(one.txn);
        if (one.text !== undefined) assert.equal(text, one.text, `${record.name} ${one.what} ${one.txn}`);
        else assert.equal(sha(text), one.sha, `${record.name} ${one.what} ${one.txn}`);
      }
    }
  });
