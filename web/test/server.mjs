// server.mjs -- a `syncline serve` for a test, on a port of its own and data that is thrown away.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const builds = ["release", "dev", "stress"].map((name) => new URL(`../../build/${name}/cli/syncline`, import.meta.url).pathname);
export const binary = process.env.SYN_BINARY ?? builds.find(existsSync);

export class Server {
  #process;
  #args;
  constructor(...args) {
    this.#args = args;
    this.dir = mkdtempSync(join(tmpdir(), "syncline-web-"));
    this.listen = "127.0.0.1:0";
  }
  async start() {
    const args = ["serve", "--data", join(this.dir, "data.db"), "--listen", this.listen, ...this.#args];
    this.#process = spawn(binary, args, { stdio: ["ignore", "pipe", "inherit"] });
    for await (const line of createInterface({ input: this.#process.stdout })) {
      const ready = /^syncline: ready (ws:\/\/\S+)/.exec(line);
      if (ready === null) continue;
      this.url = ready[1];
      this.listen = this.url.slice(5); // comes back where it was
      return this;
    }
    throw new Error("the server did not start");
  }
  async kill(signal = "SIGKILL") {
    const over = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill(signal);
    await over;
  }
  async stop() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.kill("SIGTERM");
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Looks until it is so; a machine may be slow, never wrong. */
export async function until(what, condition) {
  for (let i = 0; i < 3000; i++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`never: ${what}`);
}
