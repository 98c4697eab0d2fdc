// names.mjs -- a private property of an object of dist/, where it has another name.
import { readFileSync } from "node:fs";

const names = JSON.parse(readFileSync(new URL("../dist/names.json", import.meta.url), "utf8"));
export const named = (name) => names[name] ?? name;
