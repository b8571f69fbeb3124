/** What is kept in the table. */
interface WithId {
  readonly id: number;
}

const SMALLEST = 16;

/**
 * The streams of one connection by their ids: open addressing with linear probing. Not a Map: one that is added to and deleted
 * from all the time leaves a trail of outgrown tables, each linked to the next, and once one of them is old, V8's scavenger keeps
 * all the streams that they name until the next full collection.
 */
export class StreamTable<S extends WithId> {
  size = 0;
  #slots: (S | undefined)[] = emptySlots(SMALLEST);

  get(id: number): S | undefined {
    return this.#slots[this.#find(id)];
  }

  /** Adds a stream whose id is not there yet. */
  add(stream: S): void {
    if ((this.size + 1) * 2 > this.#slots.length) this.#resize(this.#slots.length * 2);
    this.#slots[this.#find(stream.id)] = stream;
    this.size++;
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#find(id);
    if (slots[hole] === undefined) return;
    this.size--;
    // What was pushed on by the one that goes moves back, so that no search ends too early.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) break;
      const home = (stream.id >> 1) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = stream;
      hole = at;
    }
    slots[hole] = undefined;
  }

  /** Those that are there now, whatever happens to them meanwhile. */
  all(): S[] {
    return this.#slots.filter((stream) => stream !== undefined);
  }

  /** Where a stream is, or would be. Ids are all odd, or all even, and mostly follow each other. */
  #find(id: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let at = (id >> 1) & mask;
    for (let stream = slots[at]; stream !== undefined && stream.id !== id; stream = slots[at])
      at = (at + 1) & mask;
    return at;
  }

  #resize(length: number): void {
    const streams = this.all();
    this.#slots = emptySlots(length);
    for (const stream of streams) this.#slots[this.#find(stream.id)] = stream;
  }
}

/** All there, so that the array stays one of V8's fast kinds. */
function emptySlots<S>(length: number): (S | undefined)[] {
  return Array.from<S | undefined>({ length }).fill(undefined);
}
