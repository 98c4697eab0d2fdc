// memory-storage.mjs -- a Storage (src/storage.ts) that keeps what a page would keep, and shows it to tests.

export class MemoryStorage {
  documents = new Map();

  at(document) {
    let stored = this.documents.get(document);
    if (stored === undefined)
      this.documents.set(document, (stored = { pieces: [], own: [], lineage: undefined, branches: [] }));
    return stored;
  }
  async load(document) {
    const s = this.at(document);
    return { pieces: [...s.pieces], own: s.own.map((o) => ({ ...o })), lineage: s.lineage, branches: [...s.branches] };
  }
  async write(document, writing) {
    const s = this.at(document);
    if (writing.rewrite === true) s.pieces = [];
    if (writing.piece !== undefined) s.pieces.push(writing.piece);
    for (const note of writing.own ?? []) s.own = [...s.own.filter((o) => o.peer !== note.peer), note];
    s.own = s.own.filter((o) => !(writing.settled ?? []).includes(o.peer));
    if (writing.lineage !== undefined) s.lineage = writing.lineage;
    s.branches = s.branches.filter((b) => b.name !== (writing.branch?.name ?? writing.dropBranch));
    if (writing.branch !== undefined) s.branches.push(writing.branch);
  }
  async join(document, join) {
    const s = this.at(document);
    s.pieces = [join(s.pieces)];
  }
  async delete(document) {
    this.documents.delete(document);
  }
  close() {}
}
