import type { Readable, Writable } from "node:stream";
import type { EdgeError } from "./errors.ts";
import type { BodyReceiver, HeaderList, Incoming } from "./exchange.ts";

/** Bytes that may be under way in one direction of one exchange before its source is paused. */
const HIGH_WATER = 128 * 1024;

/** A Node Readable as an Incoming: paused while more than HIGH_WATER bytes have not been given back. */
export class ReadableSource implements Incoming {
  readonly #readable: Readable;
  readonly #atEnd: () => HeaderList | undefined;
  #receiver: BodyReceiver | undefined;
  #underWay = 0;
  #aborted: EdgeError | undefined;

  /**
   * `atEnd` is asked once, at 'end': the trailers, or undefined when the end is not a real one. Node also ends some
   * streams that were cut off; those must not look complete, and `abort` follows for them.
   */
  constructor(readable: Readable, atEnd: () => HeaderList | undefined) {
    this.#readable = readable;
    this.#atEnd = atEnd;
  }

  receive(receiver: BodyReceiver): void {
    this.#receiver = receiver;
    if (this.#aborted !== undefined) return receiver.abort(this.#aborted);
    this.#readable.on("data", this.#onData);
    this.#readable.on("end", this.#onEnd);
  }

  consume(bytes: number): void {
    const before = this.#underWay;
    this.#underWay -= bytes;
    if (before > HIGH_WATER && this.#underWay <= HIGH_WATER) this.#readable.resume();
  }

  /** The sender is gone: tells the receiver once, now or when it comes. */
  abort(error: EdgeError): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = error;
    this.detach();
    this.#receiver?.abort(error);
  }

  /** Stops delivery; what still comes is thrown away, so that the sender is not held for ever. */
  detach(): void {
    this.#readable.off("data", this.#onData);
    this.#readable.off("end", this.#onEnd);
    this.#readable.resume();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#underWay += chunk.length;
    if (this.#underWay > HIGH_WATER) this.#readable.pause();
    this.#receiver?.data(chunk);
  };

  readonly #onEnd = (): void => {
    const trailers = this.#atEnd();
    if (trailers !== undefined) this.#receiver?.end(trailers);
  };
}

/** Writes a chunk and reports when it has left; a stream that is already over swallows it. */
export function writeTo(writable: Writable, chunk: Buffer, sent: (bytes: number) => void): void {
  if (writable.destroyed || writable.writableEnded) return;
  writable.write(chunk, (error) => {
    if (error === null || error === undefined) sent(chunk.length);
  });
}
