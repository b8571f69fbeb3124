import type { ClientRequest } from "./request-parser.ts";

/** Longer heads are read anew each time. */
const MAX_BYTES = 4096;

const NOTHING = Buffer.alloc(0);

/**
 * The last request head of a connection, so that a client which sends the same bytes again, as most do that ask again and
 * again, gets the same request: what was worked out from it is remembered with it (HeadMemo).
 */
export class LastHead {
  #bytes = NOTHING;
  #length = 0;
  #request: ClientRequest | undefined;

  /** Bytes of the head. */
  get length(): number {
    return this.#length;
  }

  /** The request whose head lies at `at` once more; undefined when another one does, or less than all of it. */
  at(bytes: Buffer, at: number): ClientRequest | undefined {
    const end = at + this.#length;
    if (this.#length === 0 || end > bytes.length) return undefined;
    return bytes.compare(this.#bytes, 0, this.#length, at, end) === 0 ? this.#request : undefined;
  }

  /** Remembers a request whose head lies in `bytes`. */
  keep(bytes: Buffer, from: number, to: number, request: ClientRequest): void {
    const length = to - from;
    if (length > MAX_BYTES) return;
    if (length > this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(length);
    bytes.copy(this.#bytes, 0, from, to);
    this.#length = length;
    this.#request = request;
  }
}
