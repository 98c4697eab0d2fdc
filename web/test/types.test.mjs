// The published types are enough for a program in strict TypeScript.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const web = new URL("..", import.meta.url).pathname;

function check(source) {
  const dir = mkdtempSync(join(web, "dist/types-test-"));
  try {
    writeFileSync(join(dir, "page.ts"), source);
    execFileSync(process.execPath, [join(web, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--target", "es2022",
      "--module", "es2022", "--moduleResolution", "bundler", "--lib", "es2022,dom,dom.iterable", "--skipLibCheck", "false",
      join(dir, "page.ts")], { stdio: "pipe" });
    return "";
  } catch (error) {
    return String(error.stdout);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test("a page in TypeScript", () => {
  assert.equal(check(`
    import { connect, bindTextarea, type Status, type Value } from "../syncline.js";
    const doc = await connect("ws://x", { store: false }).open("notes");
    bindTextarea(doc.text(), document.querySelector("textarea"));
    const status: Status = doc.status;
    const value: Value | undefined = doc.map().get("k");
    doc.text().observe((event) => { for (const op of event.delta) if ("insert" in op) op.insert.length; });
    doc.on("unsaved", ({ count, since }) => [count, since?.getTime()]);
    doc.undoManager().on("selection", (s) => s.text.resolve(s.text.anchor(s.head)));
    export { status, value };
  `), "");
});

test("... and a wrong one is told", () => {
  assert.match(check(`
    import { connect } from "../syncline.js";
    const doc = await connect("ws://x").open(5);
    export { doc };
  `), /not assignable/);
});
