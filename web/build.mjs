// build.mjs -- web/src into web/dist: types, one file of JavaScript, and the variants of it.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";

rmSync("dist/types", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });

const common = {
  bundle: true, format: "esm", target: "es2022", platform: "browser", minify: true,
  legalComments: "none", logLevel: "warning", external: ["node:*"],
};
await build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/syncline.js", sourcemap: "linked" });
// The page's own syncline.js is used by the binding, not a second copy of it.
const shared = {
  name: "shared",
  setup(b) {
    b.onResolve({ filter: /^\.\/(index|events|containers|undo|presence|doc)\.js$/ }, () => ({ path: "./syncline.js", external: true }));
  },
};
await build({
  ...common, entryPoints: ["src/codemirror.ts"], outfile: "dist/codemirror.js", plugins: [shared],
  external: ["@codemirror/*", "node:*"],
});
// The same with CodeMirror itself, for pages without a bundler.
await build({
  ...common, entryPoints: ["src/codemirror-bundle.ts"], outfile: "dist/codemirror.bundle.js", plugins: [shared],
});
// ... and the client with the engine inside, for pages that cannot fetch it.
await build({
  ...common, outfile: "dist/syncline.embedded.js", loader: { ".wasm": "binary" },
  stdin: {
    contents: `import wasm from "./dist/syncline.wasm"; import { useWasm } from "./src/index.ts";
      useWasm(wasm); export * from "./src/index.ts";`,
    resolveDir: ".", loader: "ts",
  },
});
writeFileSync("dist/syncline.d.ts", `export * from "./types/index.js";\n`);
copyFileSync("dist/syncline.d.ts", "dist/syncline.embedded.d.ts");
