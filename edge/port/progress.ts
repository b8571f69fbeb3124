import type { Socket } from "node:net";
import { PROGRESS_BYTES } from "../limits.ts";

/** Tells a peer that takes nothing of what waits for it from one that is merely slow. */
export class Progress {
  readonly #socket: Socket;
  /** Bytes that the peer shall have taken by the next look, since the connection began. */
  #due = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /**
   * Looked at every `stallMs` milliseconds: true when the peer took less than PROGRESS_BYTES of what waited at the last look,
   * and not all of it either.
   */
  isStalled(): boolean {
    const taken = bytesTaken(this.#socket);
    const stalled = taken < this.#due;
    const waiting = this.#socket.bytesWritten - taken;
    this.#due = taken + Math.min(PROGRESS_BYTES, waiting);
    return stalled;
  }
}

/** The part of a socket's handle that has no public name; Node looks at it for `setTimeout`, to the same end. */
interface Handle {
  readonly bytesWritten: number;
  /** Bytes of them that the kernel has not taken. */
  readonly writeQueueSize: number;
}

/**
 * Bytes that the kernel has taken since the connection began. Node itself counts only whole writes, and gathers all that
 * waits into one: a megabyte that leaves bit by bit looks like nothing at all until its last byte. The kernel takes more
 * when a third of its buffer is free, and so in steps: some 30 kB on a network, a megabyte on loopback.
 */
function bytesTaken(socket: Socket): number {
  const handle = (socket as { _handle?: Handle | null })._handle;
  if (handle?.writeQueueSize === undefined) return socket.bytesWritten - socket.writableLength;
  return handle.bytesWritten - handle.writeQueueSize;
}
