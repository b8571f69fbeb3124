/** Bytes before a message: a flag and its length, 32 bits (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;

/** The bit of the flag by which gRPC-Web tells trailers from messages. */
export const TRAILERS_FLAG = 0x80;

/**
 * Counts messages off as they pass, cut anywhere. Only between two of them may trailers stand: what follows half a message
 * would be read as its other half.
 */
export class MessageCounter {
  /** Bytes of the prefix that have come, and of the message that have not. */
  #prefix = 0;
  #length = 0;
  #left = 0;
  #into = 0;

  /** Bytes that have come of a message that is not complete. */
  get into(): number {
    return this.#into;
  }

  /** Answers how much of the chunk may pass: less than all of it where a message would be read as trailers. */
  pass(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const bytes = Math.min(this.#left, chunk.length - at);
        this.#left -= bytes;
        this.#into += bytes;
        at += bytes;
      } else {
        const byte = chunk[at] ?? 0;
        if (this.#prefix === 0 && byte >= TRAILERS_FLAG) return at;
        if (this.#prefix > 0) this.#length = this.#length * 256 + byte;
        this.#prefix++;
        this.#into++;
        at++;
        if (this.#prefix === PREFIX_BYTES) this.#beginMessage();
      }
      if (this.#left === 0 && this.#prefix === 0) this.#into = 0;
    }
    return at;
  }

  #beginMessage(): void {
    this.#left = this.#length;
    this.#prefix = this.#length = 0;
  }
}
