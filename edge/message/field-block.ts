import type { Faults } from "./faults.ts";

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const DEL = 0x7f;

/** Bytes that the first piece of a block which comes in several is given room for. */
const FIRST_BYTES = 1024;

const NOTHING = Buffer.alloc(0);

/**
 * Gathers lines up to an empty one: a head, or trailers. Lines end in CRLF and nothing else (RFC 9112, section 2.2,
 * lets a recipient be lenient; two readers that are lenient in different ways is how one message becomes two), and hold no
 * control characters but TAB (RFC 9110, section 5.5).
 */
export class FieldBlock {
  readonly #limit: number;
  readonly #faults: Faults;
  readonly #onFirstLine: ((line: string) => void) | undefined;
  /** What came in earlier pieces. */
  #kept: Buffer = NOTHING;
  #length = 0;
  /** How far the block has been looked through, and where its current line begins. */
  #scanned = 0;
  #lineStart = 0;
  /** Where the first field line begins. */
  #fieldsAt = 0;
  #text = "";

  /**
   * `limit` is the bytes a block may have, its empty line included. `onFirstLine` is for a line that is no field: it is
   * called as soon as that has come, and may throw.
   */
  constructor(limit: number, faults: Faults, onFirstLine?: (line: string) => void) {
    this.#limit = limit;
    this.#faults = faults;
    this.#onFirstLine = onFirstLine;
  }

  /** Bytes of memory of a block that is not complete. */
  get held(): number {
    return this.#kept.length;
  }

  /** The field lines of the last complete block, each with its CRLF. */
  get text(): string {
    return this.#text;
  }

  /** Reads on from `at`. Answers the place behind the block's end, or -1 when all bytes were taken and more are needed. */
  push(bytes: Buffer, at: number): number {
    const before = this.#length;
    const take = Math.min(bytes.length - at, this.#limit - before);
    // Nearly always the block is in one piece, and nothing is copied but its text.
    if (before > 0) this.#keep(bytes, at, take);
    const source = before > 0 ? this.#kept : bytes;
    const base = before > 0 ? 0 : at;
    const length = this.#scan(source, base, before + take);
    if (length === -1) {
      if (before + take === this.#limit)
        throw this.#faults.tooLarge(`a head or trailers of more than ${this.#limit} bytes`);
      if (before === 0) this.#keep(bytes, at, take);
      return -1;
    }
    this.#text = source.latin1Slice(base + this.#fieldsAt, base + length - 2);
    this.#kept = NOTHING;
    this.#length = this.#scanned = this.#lineStart = this.#fieldsAt = 0;
    return at + length - before;
  }

  /** The length of the block when its empty line is there, else -1. */
  #scan(bytes: Buffer, base: number, length: number): number {
    let lineStart = this.#lineStart;
    let i = this.#scanned;
    for (; i < length; i++) {
      const byte = bytes[base + i] ?? 0;
      if ((byte >= 0x20 && byte !== DEL) || byte === TAB) continue;
      if (byte !== CR)
        throw this.#faults.invalid(byte === LF ? "a line that ends in a bare LF" : "a control character");
      // What is behind the CR has not come yet: it is looked at again.
      if (i + 1 === length) break;
      if (bytes[base + i + 1] !== LF) throw this.#faults.invalid("a bare CR");
      if (lineStart === 0 && this.#onFirstLine !== undefined) {
        this.#onFirstLine(bytes.latin1Slice(base, base + i));
        this.#fieldsAt = i + 2;
      } else if (i === lineStart) return i + 2;
      i++;
      lineStart = i + 1;
    }
    this.#scanned = i;
    this.#lineStart = lineStart;
    return -1;
  }

  #keep(bytes: Buffer, at: number, count: number): void {
    const length = this.#length + count;
    if (length > this.#kept.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, length * 2));
      this.#kept.copy(larger, 0, 0, this.#length);
      this.#kept = larger;
    }
    bytes.copy(this.#kept, this.#length, at, at + count);
    this.#length = length;
  }
}
