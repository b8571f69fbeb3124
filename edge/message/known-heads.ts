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
  /** The one that was found last: mostly it is the next one, too, and comparing is not free. */
  #last: Place<T> | undefined;

  /** `size` is how many heads are remembered; a few at most, since all are looked at. */
  constructor(size: number) {
    this.#size = size;
  }

  /** The head that lies at `at` once more; undefined when another one does, or less than all of it. */
  find(bytes: Buffer, at: number): KnownHead<T> | undefined {
    const last = this.#last;
    if (last !== undefined && lies(last, bytes, at)) return last;
    for (const place of this.#places)
      if (place !== last && lies(place, bytes, at)) return (this.#last = place);
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
    this.#last = this.#places[this.#next] = { bytes: copy, length, value };
    this.#next = (this.#next + 1) % this.#size;
  }
}

function lies({ bytes: head, length }: Place<unknown>, bytes: Buffer, at: number): boolean {
  const end = at + length;
  // Heads of other lengths end elsewhere, and are told apart without comparing them.
  return bytes[end - 1] === LF && bytes[end - 3] === LF && bytes.compare(head, 0, length, at, end) === 0;
}
