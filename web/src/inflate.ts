// inflate.ts -- Packed, by the browser's own DEFLATE.

/** Exactly `size` bytes, or undefined: not one stream of that size. Never holds more. */
export async function inflate(data: Uint8Array, size: number): Promise<Uint8Array | undefined> {
  const raw = new Uint8Array(size);
  let at = 0;
  try {
    const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream()
      .pipeThrough(new DecompressionStream("deflate-raw"));
    const reader = stream.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return at === size ? raw : undefined;
      if (at + value.length > size) {
        void reader.cancel().catch(() => undefined);
        return undefined;
      }
      raw.set(value, at);
      at += value.length;
    }
  } catch {
    return undefined;
  }
}
