import type { OutgoingMessage } from "node:http";
import type { Readable, Writable } from "node:stream";
import type { EdgeError } from "./errors.ts";
import { toEdgeError } from "./errors.ts";
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
    if (this.#receiver !== undefined) throw new Error("a body can be received once only");
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
    this.#guard((receiver) => receiver.data(chunk));
  };

  readonly #onEnd = (): void => {
    const trailers = this.#atEnd();
    if (trailers !== undefined) this.#guard((receiver) => receiver.end(trailers));
  };

  /** An exception must not leave an event handler: it would end the process. */
  #guard(act: (receiver: BodyReceiver) => void): void {
    if (this.#receiver === undefined) return;
    try {
      act(this.#receiver);
    } catch (thrown) {
      this.abort(toEdgeError(thrown));
    }
  }
}

/**
 * Sends a message's head now, before its body. Node's own flushHeaders writes the head in UTF-8, and so changes every
 * byte of a value beyond ASCII; with an empty Buffer it goes in latin1, as the rest of Node reads and writes it.
 */
export function flushHead(message: OutgoingMessage): void {
  message.write(EMPTY);
}

const EMPTY = Buffer.alloc(0);

/** Writes a chunk and reports when it has left; a stream that is already over swallows it. */
export function writeTo(writable: Writable, chunk: Buffer, sent: (bytes: number) => void): void {
  if (writable.destroyed || writable.writableEnded) return;
  writable.write(chunk, (error) => {
    if (error === null || error === undefined) sent(chunk.length);
  });
}
