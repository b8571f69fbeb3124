import type { Faults } from "./faults.ts";

const CR = 0x0d;
const LF = 0x0a;
const TAB = 0x09;
const SEMICOLON = 0x3b;

/** Digits of a chunk size: what they say can be counted exactly. */
const MAX_SIZE_DIGITS = 13;

/** Bytes that all chunk extensions of a body may have together; nobody reads them (RFC 9112, section 7.1.1). */
const MAX_EXTENSION_BYTES = 16_384;

/**
 * Takes the chunks of a body apart (RFC 9112, section 7.1); what is behind the last one is not its concern.
 *
 *   size ──▶ extension ──▶ size-lf ──▶ data ──▶ data-cr ──▶ data-lf ──▶ size …
 *     └────────────────────▶ │ 0
 *                            └────▶ over
 */
export class ChunkedBody {
  readonly #faults: Faults;
  #state: "size" | "extension" | "size-lf" | "data" | "data-cr" | "data-lf" | "over" = "size";
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  /** True behind the last chunk's line. */
  get isOver(): boolean {
    return this.#state === "over";
  }

  /** Reads on from `at` and hands on views of the data. Answers the place up to which bytes were taken. */
  push(bytes: Buffer, at: number, data: (chunk: Buffer) => void): number {
    let next = at;
    while (next < bytes.length && this.#state !== "over") {
      if (this.#state === "data") {
        const end = Math.min(bytes.length, next + this.#size);
        this.#size -= end - next;
        if (this.#size === 0) this.#state = "data-cr";
        data(bytes.subarray(next, end));
        next = end;
      } else this.#take(bytes[next++] ?? 0);
    }
    return next;
  }

  #take(byte: number): void {
    switch (this.#state) {
      case "size":
        return this.#takeSize(byte);
      case "extension":
        return this.#takeExtension(byte);
      case "size-lf":
        if (byte !== LF) throw this.#faults.invalid("a chunk size that does not end in CRLF");
        this.#state = this.#size === 0 ? "over" : "data";
        return;
      case "data-cr":
        if (byte !== CR) throw this.#faults.invalid("a chunk that is longer than its size");
        this.#state = "data-lf";
        return;
      default:
        if (byte !== LF) throw this.#faults.invalid("a chunk that does not end in CRLF");
        this.#state = "size";
        this.#digits = 0;
    }
  }

  #takeSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      if (++this.#digits > MAX_SIZE_DIGITS)
        throw this.#faults.invalid("a chunk size that is too large to count");
      this.#size = this.#size * 16 + digit;
      return;
    }
    if (this.#digits === 0) throw this.#faults.invalid("a chunk without a size");
    if (byte === CR) this.#state = "size-lf";
    else if (byte === SEMICOLON) this.#state = "extension";
    else throw this.#faults.invalid("a chunk size that is no hexadecimal number");
  }

  #takeExtension(byte: number): void {
    if (byte === CR) {
      this.#state = "size-lf";
      return;
    }
    if ((byte < 0x20 && byte !== TAB) || byte === 0x7f)
      throw this.#faults.invalid("a control character in a chunk extension");
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) throw this.#faults.invalid("too many chunk extensions");
  }
}

/** 0 to 15; -1 when it is none. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
