import type { Socket } from "node:net";

/** Bytes that a connection gathers before its buffer grows. */
const BUFFER_BYTES = 32_768;
/** Bytes that may wait for a peer that does not read; beyond it bodies wait in their streams. */
const BACKLOG_BYTES = 262_144;

/**
 * What goes out on one connection. Frames are written into its buffer in place, and leave together when the work of the
 * current turn is done.
 */
export class Output {
  buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** How far the buffer is written. */
  length = 0;

  readonly #socket: Socket;
  readonly #later: (flush: () => void) => void;
  #scheduled = false;

  /** `later` calls back when it is time to write: at the end of this read event, or of this turn of the event loop. */
  constructor(socket: Socket, later: (flush: () => void) => void) {
    this.#socket = socket;
    this.#later = later;
  }

  /** True when the peer does not read what it has been sent. */
  get isFull(): boolean {
    return this.#socket.writableLength + this.length > BACKLOG_BYTES;
  }

  /** Makes room for `bytes` more; they are written at `length`, which is then moved by who wrote them. */
  reserve(bytes: number): void {
    if (this.length + bytes > this.buffer.length) this.#grow(bytes);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#later(this.flush);
  }

  readonly flush = (): void => {
    this.#scheduled = false;
    if (this.length === 0) return;
    const { buffer, length } = this;
    this.length = 0;
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(buffer.subarray(0, length));
    // The kernel took it all at once, as it nearly always does: the buffer is ours again. Else it belongs to the socket.
    if (this.#socket.writableLength > 0) this.buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  };

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.length + bytes));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }
}
