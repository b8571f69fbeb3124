import type { Socket } from "node:net";
import { ownCopy, waitingIn } from "../waiting.ts";

/** Bytes that are gathered before they are written, whatever the turn of the event loop. */
const SEGMENT_BYTES = 65_536;
/** Bytes that may wait for a peer that does not read; beyond it bodies wait in their streams. */
const BACKLOG_BYTES = 262_144;

/** With less in it, a segment that would have to wait for the peer is kept, and a copy waits. */
const SPARSE_BYTES = SEGMENT_BYTES / 2;

/** Segments that no connection uses at the moment: an idle connection holds none. */
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
 * What goes out on one connection. Frames are written into a segment in place, and leave together at the end of the turn of
 * the event loop: what many connections had for one worker, or many workers' connections for one client, is then one write.
 * A segment that is full leaves at once.
 */
export class Output {
  buffer: Buffer = NONE;
  /** How far the buffer is written. */
  length = 0;
  /** Grows with each segment: what lies at a place is only what was written there while it is the same. */
  segment = 0;

  readonly #socket: Socket;
  readonly #taken: () => void;
  /** For a socket that takes nothing at once, as with TLS: it tells by this when it has. */
  readonly #onWritten: (() => void) | undefined;
  /** Segments that the kernel has not taken yet, and so belong to the socket. */
  readonly #lent: Buffer[] = [];
  #scheduled = false;

  /** `taken` hears when the kernel has taken everything at once; where it has not, the socket's 'drain' tells later. */
  constructor(socket: Socket, taken: () => void) {
    this.#socket = socket;
    this.#taken = taken;
    if ("encrypted" in socket) this.#onWritten = () => this.#written();
  }

  /** True when the peer does not read what it has been sent. */
  get isFull(): boolean {
    return this.#socket.writableLength + this.length > BACKLOG_BYTES;
  }

  /** Bytes of memory of what waits: segments, whether they are full or not, and what is in the socket. */
  get held(): number {
    const lent = this.#lent.reduce((sum, { length }) => sum + length, 0);
    return this.buffer.length + Math.max(lent, waitingIn(this.#socket));
  }

  /** Makes room for `bytes` more; they are written at `length`, which is then moved by who wrote them. */
  reserve(bytes: number): void {
    if (this.length + bytes > this.buffer.length) this.#newSegment(bytes);
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (waiting.push(this) === 1) setImmediate(flushAll);
  }

  flush(): void {
    this.#scheduled = false;
    this.#send();
    if (this.#socket.writableLength > 0) return;
    this.#recycle();
    this.#taken();
  }

  /** The kernel has taken what it could not take at once. */
  drained(): void {
    if (this.#socket.writableLength === 0) this.#recycle();
  }

  #newSegment(bytes: number): void {
    this.#send();
    if (bytes <= this.buffer.length) return;
    if (this.#lent.length > 0 && this.#socket.writableLength === 0) this.#recycle();
    this.buffer = bytes > SEGMENT_BYTES ? Buffer.allocUnsafeSlow(bytes) : takeSegment();
  }

  #send(): void {
    const { buffer, length } = this;
    this.segment++;
    this.length = 0;
    // Behind what the peer does not take, a few bytes must not keep a whole segment each turn.
    if (length < SPARSE_BYTES && this.#socket.writableLength > 0)
      return this.#sendCopy(buffer.subarray(0, length));
    this.buffer = NONE;
    if (buffer !== NONE) this.#lent.push(buffer);
    if (this.#mayWrite(length)) this.#socket.write(buffer.subarray(0, length), this.#onWritten);
  }

  #sendCopy(bytes: Buffer): void {
    if (this.#mayWrite(bytes.length)) this.#socket.write(ownCopy(bytes), this.#onWritten);
  }

  #mayWrite(bytes: number): boolean {
    return bytes > 0 && !this.#socket.destroyed && !this.#socket.writableEnded;
  }

  #written(): void {
    if (this.#socket.writableLength > 0 || this.#socket.destroyed) return;
    this.#recycle();
    this.#taken();
  }

  /** The kernel has taken all there was: the segments are nobody's again, and so is one of which copies were sent. */
  #recycle(): void {
    if (this.length === 0 && this.buffer !== NONE) {
      this.#lent.push(this.buffer);
      this.buffer = NONE;
    }
    for (const buffer of this.#lent)
      if (buffer.length === SEGMENT_BYTES && spare.length < MAX_SPARE) spare.push(buffer);
    this.#lent.length = 0;
  }
}

function takeSegment(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(SEGMENT_BYTES);
}
