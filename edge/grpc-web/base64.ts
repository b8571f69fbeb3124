import { EdgeError } from "../errors.ts";

const PAD = 0x3d;

/** What each character of the alphabet stands for (RFC 4648, section 4); 64 for what is none. */
const VALUES = new Uint8Array(256).fill(64);
for (const [value, character] of [
  ..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
].entries())
  VALUES[character.charCodeAt(0)] = value;

/**
 * Reads base64 as it comes, cut anywhere. Padding may stand within: gRPC-Web text is a row of base64 texts, each as long as what its
 * sender had at that moment.
 */
export class Base64Reader {
  /** Characters of the group of four that has begun, padding included, and their bits. */
  #seen = 0;
  #bits = 0;
  #padded = 0;

  /** False within a group of four. */
  get isBetween(): boolean {
    return this.#seen === 0;
  }

  /** The bytes that `text` completes. Throws `bad_request`. */
  read(text: Buffer): Buffer {
    const bytes = Buffer.allocUnsafe(Math.ceil(((this.#seen + text.length) * 3) / 4));
    let at = 0;
    for (const character of text) {
      this.#take(character);
      if (this.#seen < 4) continue;
      bytes[at++] = this.#bits >> 16;
      if (this.#padded < 2) bytes[at++] = this.#bits >> 8;
      if (this.#padded < 1) bytes[at++] = this.#bits;
      this.#seen = this.#bits = this.#padded = 0;
    }
    return bytes.subarray(0, at);
  }

  #take(character: number): void {
    if (character === PAD) {
      if (this.#seen < 2) throw notBase64();
      this.#padded++;
      this.#bits <<= 6;
    } else {
      const value = VALUES[character] ?? 64;
      if (value === 64 || this.#padded > 0) throw notBase64();
      this.#bits = (this.#bits << 6) | value;
    }
    this.#seen++;
  }
}

/** Writes base64 piece by piece, so that each piece can be decoded by itself. */
export class Base64Writer {
  /** One or two bytes that do not fill a group of four characters. */
  #rest: Buffer | undefined;

  /**
   * The text of what has come. With `whole`, all of it, padded; else up to two bytes wait for the next call, since some readers
   * expect padding between messages only.
   */
  write(chunk: Buffer, whole: boolean): Buffer {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    const end = whole ? bytes.length : bytes.length - (bytes.length % 3);
    this.#rest = end === bytes.length ? undefined : Buffer.from(bytes.subarray(end));
    return Buffer.from(bytes.toString("base64", 0, end), "latin1");
  }
}

export function notBase64(): EdgeError {
  return new EdgeError("bad_request", "the body is not base64, as gRPC-Web text must be");
}
