import type { Socket } from "node:net";

/** Bytes that a connection gathers before its buffer grows. */
const BUFFER_BYTES = 32_768;
/** Bytes that may wait for a peer that does not read; beyond it bodies wait in their streams. */
const BACKLOG_BYTES = 262_144;

/** Buffers that no connection uses at the moment: an idle connection holds none. */
const spare: Buffer[] = [];
const MAX_SPARE = 64;
const NONE = Buffer.alloc(0);

/** Outputs with something to send, this turn of the event loop. */
let waiting: Output[] = [];

/** One timer for all of them: a turn may have touched many connections. */
function flushAll(): void {
  const all = waiting;
  waiting = [];
  for (const output of all) output.flush();
}

/**
 * What goes out on one connection. Frames are written into its buffer in place, and leave together at the end of the turn of
 * the event loop: what many connections had for one worker, or many workers' connections for one client, is then one write.
 */
export class Output {
  buffer: Buffer = NONE;
  /** How far the buffer is written. */
  length = 0;

  readonly #socket: Socket;
  readonly #taken: () => void;
  #scheduled = false;

  /** `taken` hears when the kernel has taken everything at once; where it has not, the socket's 'drain' tells later. */
  constructor(socket: Socket, taken: () => void) {
    this.#socket = socket;
    this.#taken = taken;
  }

  /** True when the peer does not read what it has been sent. */
  get isFull(): boolean {
    return this.#socket.writableLength + this.length > BACKLOG_BYTES;
  }

  /** Makes room for `bytes` more; they are written at `length`, which is then moved by who wrote them. */
  reserve(bytes: number): void {
    if (this.buffer === NONE) this.buffer = spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    if (this.length + bytes > this.buffer.length) this.#grow(bytes);
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (waiting.push(this) === 1) setImmediate(flushAll);
  }

  flush(): void {
    this.#scheduled = false;
    if (this.length === 0) return;
    const { buffer, length } = this;
    this.length = 0;
    this.buffer = NONE;
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(buffer.subarray(0, length));
    // The kernel took it all at once, as it nearly always does: the buffer is free again. Else it belongs to the socket.
    if (this.#socket.writableLength > 0) return;
    if (buffer.length === BUFFER_BYTES && spare.length < MAX_SPARE) spare.push(buffer);
    this.#taken();
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.length + bytes));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }
}
