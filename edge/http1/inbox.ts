import type { Socket } from "node:net";
import { ownCopy } from "../waiting.ts";

/**
 * What a client has sent before it may be read. The socket is read on with one piece waiting, so that its end is noticed, and
 * stopped with two: no more than two reads wait here.
 */
export class Inbox {
  readonly #socket: Socket;
  #waiting: Buffer | undefined;
  #isHeld = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get isEmpty(): boolean {
    return this.#waiting === undefined;
  }

  /** Bytes that wait. */
  get held(): number {
    return this.#waiting?.length ?? 0;
  }

  /** What is there to be read, now that `bytes` have come. */
  and(bytes: Buffer): Buffer {
    const before = this.take();
    return before === undefined ? bytes : Buffer.concat([before, bytes]);
  }

  /** What waits; it does so no longer. */
  take(): Buffer | undefined {
    const bytes = this.#waiting;
    this.#waiting = undefined;
    return bytes;
  }

  /** Keeps a copy: the bytes' memory is read into again. */
  keep(bytes: Buffer): void {
    this.#waiting = ownCopy(bytes);
  }

  stop(): void {
    this.#socket.pause();
  }

  /** Stops the socket until `letGo`, whatever waits: the worker takes no more. */
  hold(): void {
    this.#isHeld = true;
    this.#socket.pause();
  }

  letGo(): void {
    this.#isHeld = false;
  }

  /** Reads the socket on, if nothing stands against it. */
  goOn(): void {
    if (this.#waiting === undefined && !this.#isHeld && this.#socket.isPaused()) this.#socket.resume();
  }
}
