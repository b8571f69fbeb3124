import { ConnectionError, DEFAULT_WINDOW, LARGEST_WINDOW, StreamError } from "./frame.ts";
import type { Stream } from "./stream.ts";

/** The sending half of flow control (RFC 9113, section 5.2): what the peer lets us send, and the streams that wait for more. */
export class SendWindows {
  /** What a new stream may send. */
  initial = DEFAULT_WINDOW;
  /** What all streams together may still send. */
  connection = DEFAULT_WINDOW;

  /** Streams that have something to send and room of their own. */
  readonly #waiting = new Set<Stream>();

  /** Bytes that a stream may send now. */
  room(stream: Stream): number {
    return Math.min(stream.sendWindow, this.connection);
  }

  take(stream: Stream, bytes: number): void {
    stream.sendWindow -= bytes;
    this.connection -= bytes;
  }

  /** A stream has more to send than may go out. Its own window, when that is what it lacks, calls it by itself. */
  wait(stream: Stream): void {
    if (stream.sendWindow > 0) this.#waiting.add(stream);
  }

  forget(stream: Stream): void {
    this.#waiting.delete(stream);
  }

  /** There is more room: lets the waiting send, for as long as `mayGoOn`. */
  pump(mayGoOn: () => boolean): void {
    if (this.#waiting.size === 0) return;
    for (const stream of Array.from(this.#waiting)) {
      if (this.connection === 0 || !mayGoOn()) return;
      this.#waiting.delete(stream);
      stream.pump();
    }
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE changes the windows of all streams, even to below zero (RFC 9113, section 6.9.2). */
  applyInitial(value: number, streams: Iterable<Stream>): void {
    const change = value - this.initial;
    this.initial = value;
    for (const stream of streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > LARGEST_WINDOW)
        throw new ConnectionError("FLOW_CONTROL_ERROR", "a window beyond its maximum");
      if (stream.hasQueue) this.#waiting.add(stream);
    }
  }

  /** A WINDOW_UPDATE for the connection (RFC 9113, section 6.9). */
  widen(bytes: number): void {
    if (bytes === 0) throw new ConnectionError("PROTOCOL_ERROR", "a WINDOW_UPDATE of nothing");
    this.connection += bytes;
    if (this.connection > LARGEST_WINDOW)
      throw new ConnectionError("FLOW_CONTROL_ERROR", "a window beyond its maximum");
  }

  /** A WINDOW_UPDATE for a stream: its errors are the stream's alone. */
  widenStream(stream: Stream, bytes: number): void {
    if (bytes === 0) throw new StreamError(stream.id, "PROTOCOL_ERROR", "a WINDOW_UPDATE of nothing");
    stream.sendWindow += bytes;
    if (stream.sendWindow > LARGEST_WINDOW)
      throw new StreamError(stream.id, "FLOW_CONTROL_ERROR", "a window beyond its maximum");
    if (stream.hasQueue) stream.pump();
  }
}
