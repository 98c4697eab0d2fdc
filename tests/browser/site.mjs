// site.mjs -- a server with the demo's pages, that can be killed and comes back; and a browser.
//
//     SYNCLINE   the program           PAGES   the folder of pages          SHOTS   where screenshots go
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const program = process.env.SYNCLINE;
const pages = process.env.PAGES;
const shots = process.env.SHOTS;
for (const [name, value] of Object.entries({ SYNCLINE: program, PAGES: pages, SHOTS: shots }))
  if (value === undefined) throw new Error(`${name} is not set: these tests are run by tests/browser/run`);
mkdirSync(shots, { recursive: true });

/** Waits until `ready` gives something true; errors of `ready` are told in the end. */
export async function until(what, ready, patience = 60000) {
  const end = Date.now() + patience;
  let last;
  for (;;) {
    try {
      last = await ready();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what} did not come about; last: ${last}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Site {
  static async start(...options) {
    const site = new Site();
    site.folder = mkdtempSync(join(tmpdir(), "syncline-browser-"));
    site.options = options;
    site.listen = "127.0.0.1:0";
    await site.up();
    return site;
  }

  async up() {
    const data = join(this.folder, "site.db");
    this.process = spawn(program, ["serve", "--listen", this.listen, "--data", data, "--web", pages, ...this.options]);
    let said = "";
    this.process.stderr.resume();
    await new Promise((resolve, reject) => {
      this.process.stdout.on("data", (bytes) => {
        said += bytes;
        const ready = /ready (ws:\/\/(\S+))/.exec(said);
        if (ready === null) return;
        [, this.url, this.listen] = ready;
        resolve();
      });
      this.process.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
    this.address = `http://${this.listen}`;
  }

  /** -9, and nothing else: what it had acknowledged must be on the disk. */
  async kill() {
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await gone;
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const gone = new Promise((resolve) => this.process.once("exit", resolve));
      this.process.kill("SIGTERM");
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The program as a client of this server: a C replica. */
  cli(command, ...rest) {
    return execFileSync(program, [command, this.url, ...rest], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 64 << 20 });
  }
  text(document) {
    return this.cli("text", document);
  }
}

let browser;
/** One browser for the file; a context of its own is a person of his own. */
export async function person(options = {}) {
  browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport: { width: 1200, height: 850 }, ...options });
  context.setDefaultTimeout(120000); // a busy machine is not a fault
  context.faults = [];
  context.on("page", (page) => {
    page.on("pageerror", (error) => context.faults.push(String(error)));
    page.on("console", (message) => {
      // A server that is not there is said by the browser itself, as an error.
      if (message.type() === "error" && !/ERR_CONNECTION|WebSocket connection|Failed to load resource/.test(message.text()))
        context.faults.push(message.text());
    });
  });
  return context;
}
export async function closeBrowser() {
  await browser?.close();
  browser = undefined;
}

export const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });

/** A page of our own with the client in `window.syn`, for what no demo shows. */
export async function bench(context, site, script = "") {
  const page = await context.newPage();
  await page.goto(`${site.address}/echo/`);
  await page.setContent(`<!doctype html><meta charset="utf-8"><textarea id="text"></textarea><script type="module">
    import * as syn from "/syncline.js";
    window.syn = syn;
    ${script}
    window.ready = true;
  </script>`);
  await page.waitForFunction(() => window.ready === true);
  return page;
}

/** The same numbers in every run. */
export function random(seed) {
  let state = BigInt(seed) * 0x9e3779b97f4a7c15n + 1n;
  return (n) => {
    state = BigInt.asUintN(64, state ^ (state << 13n));
    state ^= state >> 7n;
    state = BigInt.asUintN(64, state ^ (state << 17n));
    return Number(state % BigInt(n));
  };
}
