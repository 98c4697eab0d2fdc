// wasm.ts -- the engine's memory and calls.
//
// Numbers go as arguments; strings as UTF-8 through a scratch area in the engine's memory; what
// comes back beside one number lies in `out`, eight or so words that the next call overwrites.
// Views of the memory go stale when it grows, so they are made anew whenever its buffer is another.

/** The functions of syncline.wasm: see web/wasm/*.c. All numbers. */
export type Exports = Record<string, (...args: number[]) => number> & { memory: WebAssembly.Memory };

/** What the engine asks of the page. */
export interface Port {
  event(kind: number, doc: number, at: number, len: number): number;
}

export class SynclineError extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
    this.name = "SynclineError";
  }
}

/** Where the engine comes from: bytes, a compiled module, or an address to fetch it from. */
export type WasmSource = string | URL | BufferSource | WebAssembly.Module | Response;

let compiled: Promise<WebAssembly.Module> | undefined;
let standard: WasmSource | undefined;

/** The engine for every client of this page that is not given its own: before the first one. */
export function useWasm(source: WasmSource): void {
  standard = source;
  compiled = undefined;
}

async function compile(source: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source === "string" || source instanceof URL) {
    const url = new URL(source, import.meta.url);
    if (url.protocol === "file:") {
      const fs = await import(/* @vite-ignore */ "node:" + "fs/promises");
      return WebAssembly.compile(await fs.readFile(url));
    }
    source = await fetch(url).catch((error) => {
      throw new SynclineError("NO_WASM", `${url}: ${(error as Error).message}`);
    });
  }
  if (typeof Response !== "undefined" && source instanceof Response) {
    if (!source.ok) throw new SynclineError("NO_WASM", `${source.url}: ${source.status}`);
    const type = source.headers.get("content-type") ?? "";
    if (type.startsWith("application/wasm") && WebAssembly.compileStreaming)
      return WebAssembly.compileStreaming(source);
    source = await source.arrayBuffer();
  }
  return WebAssembly.compile(source as BufferSource);
}

/** The compiled engine; compiled once for a page. */
export function engine(source?: WasmSource): Promise<WebAssembly.Module> {
  if (typeof WebAssembly === "undefined")
    return Promise.reject(new SynclineError("NO_WASM", "this browser has no WebAssembly"));
  if (source !== undefined) return compile(source);
  compiled ??= compile(standard ?? new URL("./syncline.wasm", import.meta.url)).catch((error) => {
    compiled = undefined; // another try may have more luck
    throw error;
  });
  return compiled;
}

const TYPED = 48; // up to this many units a loop beats TextEncoder
const decoder = new TextDecoder();
const encoder = new TextEncoder();

function random(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

export class Core {
  readonly x: Exports;
  private readonly scratch: number;
  private readonly scratchSize: number;
  private readonly outAt: number;
  private buffer: ArrayBuffer | undefined;
  private u8!: Uint8Array;
  private u32!: Uint32Array;
  private blocks: number[] = []; // allocated by put, given back by done
  private used = 0; // of scratch
  /** Length of what `put` wrote. */
  len = 0;

  private constructor(module: WebAssembly.Module, port: Port) {
    const imports = {
      syncline: {
        random,
        event: (kind: number, doc: number, at: number, len: number) => port.event(kind, doc, at, len),
      },
    };
    const { memory, table } = new WebAssembly.Instance(module, imports).exports as { memory: WebAssembly.Memory; table: WebAssembly.Table };
    const x: Record<string, unknown> = { memory };
    // They stand at the end of the table, behind a gap, under the names that squeeze.mjs gave them.
    for (let i = 0, one; (one = table.get(table.length - 1 - i) as unknown); i++) x["$" + i.toString(36)] = one;
    this.x = x as Exports;
    this.scratch = this.x.web_scratch!();
    this.scratchSize = this.x.web_scratch_size!();
    this.outAt = this.x.web_out!() >>> 2;
  }

  static async create(port: Port, source?: WasmSource): Promise<Core> {
    return new Core(await engine(source), port);
  }

  private views(): void {
    this.buffer = this.x.memory.buffer as ArrayBuffer;
    this.u8 = new Uint8Array(this.buffer);
    this.u32 = new Uint32Array(this.buffer);
  }

  get bytes(): Uint8Array {
    if (this.buffer !== this.x.memory.buffer) this.views();
    return this.u8;
  }

  get words(): Uint32Array {
    if (this.buffer !== this.x.memory.buffer) this.views();
    return this.u32;
  }

  out(i: number): number {
    return this.words[this.outAt + i]!;
  }

  outBig(i: number, signed: boolean): bigint {
    const bits = (BigInt(this.out(i + 1)) << 32n) | BigInt(this.out(i));
    return signed ? BigInt.asIntN(64, bits) : bits;
  }

  outReal(i: number): number {
    const view = new DataView(this.words.buffer, (this.outAt + i) * 4, 8);
    return view.getFloat64(0, true);
  }

  /** Room for `size` bytes until `done()`. */
  private room(size: number): number {
    if (this.used + size <= this.scratchSize) {
      const at = this.scratch + this.used;
      this.used = (this.used + size + 7) & ~7;
      return at;
    }
    const at = this.x.web_alloc!(size);
    if (at === 0) throw new SynclineError("ENOMEM", "out of memory");
    this.blocks.push(at);
    return at;
  }

  /** Writes a string; gives its address, its length is in `len`. Good until `done()`. */
  put(text: string): number {
    const at = this.room(text.length * 3);
    const u8 = this.bytes;
    if (text.length > TYPED) {
      this.len = encoder.encodeInto(text, u8.subarray(at, at + text.length * 3)).written;
      return at;
    }
    let to = at;
    for (let i = 0; i < text.length; i++) {
      let c = text.charCodeAt(i);
      if (c < 0x80) {
        u8[to++] = c;
        continue;
      }
      if (c < 0x800) {
        u8[to++] = 0xc0 | (c >> 6);
      } else {
        if (c >= 0xd800 && c < 0xe000) {
          const next = c < 0xdc00 ? text.charCodeAt(i + 1) : 0; // NaN at the end
          if (next >= 0xdc00 && next < 0xe000) {
            i++;
            c = 0x10000 + ((c - 0xd800) << 10) + (next - 0xdc00);
            u8[to++] = 0xf0 | (c >> 18);
            u8[to++] = 0x80 | ((c >> 12) & 63);
            u8[to++] = 0x80 | ((c >> 6) & 63);
            u8[to++] = 0x80 | (c & 63);
            continue;
          }
          c = 0xfffd; // a lone surrogate
        }
        u8[to++] = 0xe0 | (c >> 12);
        u8[to++] = 0x80 | ((c >> 6) & 63);
      }
      u8[to++] = 0x80 | (c & 63);
    }
    this.len = to - at;
    return at;
  }

  putBytes(bytes: Uint8Array): number {
    const at = this.room(bytes.length);
    this.bytes.set(bytes, at);
    this.len = bytes.length;
    return at;
  }

  putWords(words: Uint32Array): number {
    const at = this.room(words.length * 4);
    this.words.set(words, at >>> 2);
    return at;
  }

  /** Gives back what `put` took. */
  done(): void {
    this.used = 0;
    while (this.blocks.length !== 0) this.x.web_free!(this.blocks.pop()!);
  }

  text(at: number, len: number): string {
    const u8 = this.bytes;
    if (len <= TYPED) {
      let ascii = "";
      let i = 0;
      for (; i < len; i++) {
        const c = u8[at + i]!;
        if (c >= 0x80) break;
        ascii += String.fromCharCode(c);
      }
      if (i === len) return ascii;
    }
    return decoder.decode(u8.subarray(at, at + len));
  }

  copy(at: number, len: number): Uint8Array {
    return this.bytes.slice(at, at + len);
  }

  outText(i: number): string {
    return this.text(this.out(i), this.out(i + 1));
  }

  outBytes(i: number): Uint8Array {
    return this.copy(this.out(i), this.out(i + 1));
  }

  /** `count` triples of words from a block, which is given back. */
  outIds(): Uint32Array {
    const at = this.out(0);
    const words = this.words.slice(at >>> 2, (at >>> 2) + this.out(1) * 3);
    this.x.web_free!(at);
    return words;
  }

  /** Throws what a refused call was refused for. */
  check(err: number, doc = 0): void {
    if (err === 0) return;
    this.done();
    this.x.err_name!(err);
    const name = this.outText(0);
    this.x.err_text!(doc, err);
    throw new SynclineError(name, this.outText(0));
  }
}
