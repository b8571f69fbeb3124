/** Bytes of the longest line; those of exchanges are far below it (exchange-log.ts). */
const MAX_BYTES = 32_768;

const ZERO = 0x30;
const DOT = 0x2e;

/** One line, put together from bytes that are known and from numbers. Without a string in between: most lines cost no memory. */
export class LineBuffer {
  readonly #bytes = Buffer.allocUnsafeSlow(MAX_BYTES);
  #length = 0;

  begin(bytes: Buffer): void {
    this.#length = 0;
    this.put(bytes);
  }

  put(bytes: Buffer): void {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A whole number that is not negative. */
  number(value: number): void {
    let digits = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    this.#digits(value, digits);
  }

  /** Milliseconds as seconds with six decimals. */
  seconds(ms: number): void {
    const us = Math.round(ms * 1000);
    const whole = Math.floor(us / 1_000_000);
    this.number(whole);
    this.#bytes[this.#length++] = DOT;
    this.#digits(us - whole * 1_000_000, 6);
  }

  /** The line so far; good until the next one begins. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #digits(value: number, count: number): void {
    putDigits(this.#bytes, this.#length, value, count);
    this.#length += count;
  }
}

/** Writes the last `count` digits of a number. */
export function putDigits(bytes: Buffer, from: number, value: number, count: number): void {
  let rest = value;
  for (let at = from + count - 1; at >= from; at--) {
    const tens = Math.floor(rest / 10);
    bytes[at] = ZERO + rest - tens * 10;
    rest = tens;
  }
}
