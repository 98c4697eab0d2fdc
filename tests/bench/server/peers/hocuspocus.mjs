// Hocuspocus as its documentation sets it up, with files as the database: node hocuspocus.mjs PORT FOLDER
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Database } from "@hocuspocus/extension-database";
import { Server } from "@hocuspocus/server";

const [port, folder] = process.argv.slice(2);
const path = (name) => join(folder, encodeURIComponent(name));
const server = new Server({
  port: Number(port),
  address: "127.0.0.1",
  quiet: true,
  extensions: [
    new Database({
      fetch: ({ documentName }) => readFile(path(documentName)).catch(() => null),
      store: async ({ documentName, state }) => {
        await writeFile(`${path(documentName)}.new`, state);
        await rename(`${path(documentName)}.new`, path(documentName));
      },
    }),
  ],
});
await server.listen();
