/** Longer heads are read anew each time. */
const MAX_BYTES = 4096;

/** A head that was read before, and what it was read as. */
export interface KnownHead<T> {
  readonly value: T;
  /** Bytes of the head. */
  readonly length: number;
}

/** Where a head is remembered. The bytes are written over by the next one that comes to this place. */
interface Place<T> {
  bytes: Buffer;
  length: number;
  value: T;
}

const LF = 0x0a;

/**
 * The last few heads that were read, byte by byte as they came. Most who ask again and again send the same head each time,
 * and the replies of a worker differ in little more than the second of their date: comparing is a tenth of the work of
 * reading, and what was worked out from a head is found again with it.
 */
export class KnownHeads<T> {
  readonly #size: number;
  readonly #places: Place<T>[] = [];
  #next = 0;

  /** `size` is how many heads are remembered; a few at most, since all are looked at. */
  constructor(size: number) {
    this.#size = size;
  }

  /** The head that lies at `at` once more; undefined when another one does, or less than all of it. */
  find(bytes: Buffer, at: number): KnownHead<T> | undefined {
    for (const place of this.#places) {
      const end = at + place.length;
      // Heads of other lengths end elsewhere, and are told apart without comparing them.
      if (bytes[end - 1] !== LF || bytes[end - 3] !== LF) continue;
      if (bytes.compare(place.bytes, 0, place.length, at, end) === 0) return place;
    }
    return undefined;
  }

  /** Remembers the head between `from` and `to`, in the place of the oldest. */
  keep(bytes: Buffer, from: number, to: number, value: T): void {
    const length = to - from;
    if (length > MAX_BYTES) return;
    const before = this.#places[this.#next];
    const room = before !== undefined && before.bytes.length >= length;
    const copy = room ? before.bytes : Buffer.allocUnsafeSlow(length);
    bytes.copy(copy, 0, from, to);
    this.#places[this.#next] = { bytes: copy, length, value };
    this.#next = (this.#next + 1) % this.#size;
  }
}
