// units.ts -- positions in scalar values to positions in UTF-16 units, along with the changes.
//
// The engine tells of changes in scalars, each on the state that the one before it left; asking
// it for units would give those of the last state.  So a text that is watched keeps where its
// characters outside the BMP are, each two units long:
//
//     before: [4, 9]  |gap|  after: [17, 30] as distances from the end
//
// Two stacks, so that edits near the last one cost nothing.  Most texts have none: then both are
// empty and a position is what it is.

export class Units {
  private before: number[] = [];
  private after: number[] = [];
  private length = 0; // in scalars

  constructor(text: string) {
    this.take(text);
  }

  private take(text: string): void {
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (c >= 0xd800 && c < 0xdc00) {
        this.before.push(this.length);
        i++;
      }
      this.length++;
    }
  }

  private seek(pos: number): void {
    const { before, after } = this;
    while (before.length !== 0 && before[before.length - 1]! >= pos)
      after.push(this.length - before.pop()!);
    while (after.length !== 0 && this.length - after[after.length - 1]! < pos)
      before.push(this.length - after.pop()!);
  }

  /** Carries a change out; gives it in units. */
  splice(pos: number, removed: number, inserted: string): { index: number; removed: number } {
    this.seek(pos);
    const index = pos + this.before.length;
    let wide = 0;
    while (this.after.length !== 0 && this.length - this.after[this.after.length - 1]! < pos + removed) {
      this.after.pop();
      wide++;
    }
    const rest = this.length - pos - removed;
    this.length = pos;
    this.take(inserted);
    this.length += rest;
    return { index, removed: removed + wide };
  }
}
