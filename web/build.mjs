// build.mjs -- web/src into web/dist: types, one file of JavaScript, and the variants of it.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { minify } from "terser";
import { privateNames } from "./private-names.mjs";

rmSync("dist/types", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });

// The engine's exports are called what squeeze.mjs called them, and private properties something short;
// tests, which look inside, find both in dist/names.json.
const exported = JSON.parse(readFileSync(process.argv[2], "utf8"));
let mangleCache = exported;
const common = {
  mangleProps: new RegExp(`^(${[...Object.keys(exported), ...privateNames].join("|")})$`),
  bundle: true, format: "esm", target: "es2022", platform: "browser", minify: true,
  legalComments: "none", logLevel: "warning", external: ["node:*"],
};
({ mangleCache } = await build({
  ...common, mangleCache, entryPoints: ["src/index.ts"], outfile: "dist/syncline.js", sourcemap: "linked",
}));
// Terser folds what esbuild leaves: a thirtieth of the file.
const [script, map] = ["dist/syncline.js", "dist/syncline.js.map"];
const folded = await minify(readFileSync(script, "utf8"), {
  module: true, ecma: 2020, compress: { passes: 3, hoist_funs: true, inline: 1 }, format: { comments: false },
  sourceMap: { content: readFileSync(map, "utf8"), url: "syncline.js.map" },
});
writeFileSync(script, folded.code);
writeFileSync(map, folded.map);
// The page's own syncline.js is used by the binding, not a second copy of it.
const shared = {
  name: "shared",
  setup(b) {
    b.onResolve({ filter: /^\.\/(index|events|containers|undo|presence|doc)\.js$/ }, () => ({ path: "./syncline.js", external: true }));
  },
};
await build({
  ...common, mangleCache, entryPoints: ["src/codemirror.ts"], outfile: "dist/codemirror.js", plugins: [shared],
  external: ["@codemirror/*", "node:*"],
});
// The same with CodeMirror itself, for pages without a bundler: its properties keep their names.
const made = {
  name: "made",
  setup(b) {
    b.onResolve({ filter: /^\.\/codemirror\.js$/ }, () => ({ path: resolve("dist/codemirror.js") }));
    b.onResolve({ filter: /^\.\/syncline\.js$/ }, () => ({ path: "./syncline.js", external: true }));
  },
};
await build({
  ...common, mangleProps: undefined, entryPoints: ["src/codemirror-bundle.ts"], outfile: "dist/codemirror.bundle.js",
  plugins: [made],
});
// ... and the client with the engine inside, for pages that cannot fetch it.
await build({
  ...common, mangleCache, outfile: "dist/syncline.embedded.js", loader: { ".wasm": "binary" },
  stdin: {
    contents: `import wasm from "./dist/syncline.wasm"; import { useWasm } from "./src/index.ts";
      useWasm(wasm); export * from "./src/index.ts";`,
    resolveDir: ".", loader: "ts",
  },
});
writeFileSync("dist/syncline.d.ts", `export * from "./types/index.js";\n`);
copyFileSync("dist/syncline.d.ts", "dist/syncline.embedded.d.ts");
writeFileSync("dist/names.json", JSON.stringify(mangleCache));
