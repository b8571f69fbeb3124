import { EdgeError } from "../errors.ts";
import type { BodyReceiver, HeaderList, Incoming, Outgoing, Source } from "../exchange.ts";
import { NO_SOURCE } from "../exchange.ts";
import type { Connection } from "./connection.ts";
import { ReceiveWindow } from "./flow.ts";
import { STREAM_WINDOW } from "./windows.ts";
import type { ErrorCode } from "./frame.ts";
import type { Head } from "./header-blocks.ts";
import { keep, memoryOf, memoryOfText } from "../waiting.ts";

/** What a stream tells beyond its body. */
export interface StreamEvents {
  /** A reply head has come, interim or final (client role). */
  replied?(head: Head, end: boolean): void;
  /** Bytes of memory of what is known of the request; as BodyReceiver's. */
  readonly held?: number;
  /** Both directions are over, by end or by reset; nothing follows. */
  closed(): void;
}

const EMPTY: HeaderList = [];

/**
 * One stream: both directions of a body, whichever end opened it (RFC 9113, section 5.1).
 *
 *                      HEADERS                 END_STREAM sent         END_STREAM received
 *   idle ─────────────────────────▶ open ─────────────────────▶ half-closed (local) ─────▶ closed
 *                                     │   END_STREAM received                                ▲  ▲
 *                                     └────────────────────────▶ half-closed (remote) ───────┘  │
 *                                     └──────────────────── RST_STREAM, either way ─────────────┘
 *
 * The states are two flags, `localEnded` and `remoteEnded`, and `isClosed`.
 */
export class Stream implements Incoming, Outgoing {
  readonly id: number;
  source: Source = NO_SOURCE;
  events: StreamEvents | undefined;
  localEnded = false;
  remoteEnded = false;
  isClosed = false;
  /** True when the peer is told to stop once our direction has ended (RFC 9113, section 8.1). */
  stopsPeer = false;
  /** True once the final head of a reply has come (client role). */
  headSeen = false;
  /** Interim replies that have come (client role). */
  interim = 0;
  /** Bytes of DATA that have come. */
  bytesIn = 0;
  /** Bytes the peer lets us send. */
  sendWindow: number;
  /** Bytes that the peer's content-length still promises (RFC 9113, section 8.1.1); -1 when it has none. */
  promised = -1;

  readonly #connection: Connection;
  readonly #windowBytes: number;
  #window: ReceiveWindow | undefined;
  #receiver: BodyReceiver | undefined;
  /** What came before anybody received it; at most a window. */
  #early: Buffer[] | undefined;
  #trailersIn: HeaderList = EMPTY;
  #neverIndexedIn: readonly string[] = EMPTY;
  #endDelivered = false;
  #aborted: EdgeError | undefined;
  #discarding = false;
  /** What may not go out yet; the first chunk from `#queueAt` on. */
  #queue: Buffer[] | undefined;
  #queueAt = 0;
  #trailersOut: HeaderList | undefined;
  #neverIndexedOut: readonly string[] = EMPTY;
  /** Bytes the peer has taken since the last look, and whether something waited for it then. */
  #taken = 0;
  #waited = false;

  constructor(connection: Connection, id: number, sendWindow: number, streamWindow: number) {
    this.#connection = connection;
    this.id = id;
    this.sendWindow = sendWindow;
    this.#windowBytes = streamWindow;
  }

  /** What the peer may send; made when it does, since most requests have no body. */
  get window(): ReceiveWindow {
    const bytes = this.#windowBytes;
    return (this.#window ??= new ReceiveWindow(bytes, Math.max(bytes, STREAM_WINDOW)));
  }

  /** True once our direction has ended. */
  get isSent(): boolean {
    return this.localEnded;
  }

  /** True while something waits to be sent. */
  get hasQueue(): boolean {
    return this.#queue !== undefined || (this.#trailersOut !== undefined && !this.localEnded);
  }

  /** Bytes of memory of what waits to be sent. */
  get waiting(): number {
    return memoryOf(this.#queue);
  }

  /** Bytes of memory of what waits, either way, wherever that is. */
  get held(): number {
    const known = this.events?.held ?? 0;
    const trailers = memoryOfText(this.#trailersIn) + memoryOfText(this.#trailersOut ?? EMPTY);
    return known + this.waiting + memoryOf(this.#early) + trailers + (this.#receiver?.held ?? 0);
  }

  /** Looked at from time to time: true when something has waited since the last look, and the peer took less than `least` bytes. */
  isStalled(least: number): boolean {
    const stalled = this.#waited && this.hasQueue && this.#taken < least;
    this.#waited = this.hasQueue;
    this.#taken = 0;
    return stalled;
  }

  receive(receiver: BodyReceiver): void {
    if (this.#receiver !== undefined) throw new Error("a body can be received once only");
    this.#receiver = receiver;
    for (const chunk of this.#takeEarly()) receiver.data(chunk);
    if (this.remoteEnded) this.#deliverEnd();
    if (this.#aborted !== undefined) receiver.abort(this.#aborted);
  }

  /** Gives credit back to the peer, in pieces worth a frame. */
  consume(bytes: number): void {
    if (bytes === 0 || this.remoteEnded || this.isClosed) return;
    const told = this.window.give(bytes);
    if (told > 0) this.#connection.writer.windowUpdate(this.id, told);
  }

  /** Throws away what the peer still sends. */
  discard(): void {
    this.#discarding = true;
    let bytes = 0;
    for (const chunk of this.#takeEarly()) bytes += chunk.length;
    this.consume(bytes);
  }

  sendHead(
    pseudo: HeaderList,
    fields: HeaderList,
    end: boolean,
    neverIndexed: readonly string[] = EMPTY,
  ): void {
    if (this.isClosed || this.localEnded) return;
    this.#connection.writer.headers(this.id, pseudo, fields, end, neverIndexed);
    if (end) this.#endLocal();
  }

  write(chunk: Buffer): void {
    if (this.isClosed || this.localEnded || this.#trailersOut !== undefined || chunk.length === 0) return;
    if (this.#queue !== undefined) return keep(this.#queue, chunk);
    const sent = this.#send(chunk, 0);
    if (sent < chunk.length) {
      keep((this.#queue = []), chunk.subarray(sent));
      this.#queueAt = 0;
      this.#connection.windows.wait(this);
    }
    if (sent > 0) this.source.consume(sent);
  }

  end(trailers: HeaderList, neverIndexed: readonly string[] = EMPTY): void {
    if (this.isClosed || this.localEnded || this.#trailersOut !== undefined) return;
    this.#trailersOut = trailers;
    this.#neverIndexedOut = neverIndexed;
    if (this.#queue === undefined) this.#sendEnd(trailers);
  }

  /** Resets the stream; nothing more goes out on it, and what still comes is ignored. */
  reset(code: ErrorCode): void {
    if (this.isClosed) return;
    this.#connection.writer.reset(this.id, code);
    this.#close();
  }

  /** Tells the peer that nobody waits any more. */
  cancel(): void {
    this.reset("CANCEL");
  }

  /** Sends what windows and the peer's reading allow; the connection calls when there is more room. */
  pump(): void {
    const queue = this.#queue;
    if (queue === undefined) return;
    let sent = 0;
    for (let chunk = queue[0]; chunk !== undefined; chunk = queue[0]) {
      const bytes = this.#send(chunk, this.#queueAt);
      sent += bytes;
      this.#queueAt += bytes;
      if (this.#queueAt < chunk.length) break;
      queue.shift();
      this.#queueAt = 0;
    }
    if (queue.length > 0) this.#connection.windows.wait(this);
    else this.#queue = undefined;
    if (this.#queue === undefined && this.#trailersOut !== undefined) this.#sendEnd(this.#trailersOut);
    if (sent > 0) this.source.consume(sent);
  }

  /** Sends of a chunk from `from` on what may go out, a frame at a time; answers how many bytes that was. */
  #send(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length) {
      const bytes = this.#connection.sendData(this, chunk, at);
      if (bytes === 0) break;
      at += bytes;
    }
    this.#taken += at - from;
    return at - from;
  }

  /** DATA has come. */
  onData(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    if (this.#discarding) return this.consume(chunk.length);
    if (this.#receiver === undefined) keep((this.#early ??= []), chunk);
    else this.#receiver.data(chunk);
  }

  /** END_STREAM has come, with trailers or without. */
  onEnd(trailers: HeaderList, neverIndexed: readonly string[] = EMPTY): void {
    if (this.remoteEnded) return;
    this.remoteEnded = true;
    this.#trailersIn = trailers;
    this.#neverIndexedIn = neverIndexed;
    this.#deliverEnd();
    if (this.localEnded) this.#close();
  }

  /** RST_STREAM has come, or the connection is gone. */
  onReset(code: number): void {
    if (this.isClosed) return;
    if (!this.#discarding) this.#aborted = this.#connection.abortedBy(code);
    this.#queue = undefined;
    this.#close();
  }

  #takeEarly(): readonly Buffer[] {
    const early = this.#early ?? NO_CHUNKS;
    this.#early = undefined;
    return early;
  }

  #deliverEnd(): void {
    if (this.#receiver === undefined || this.#endDelivered || this.#discarding) return;
    this.#endDelivered = true;
    this.#receiver.end(this.#trailersIn, this.#neverIndexedIn);
  }

  /** Everything before has been sent: only DATA waits for windows, trailers do not (RFC 9113, section 5.2.1). */
  #sendEnd(trailers: HeaderList): void {
    if (this.localEnded || this.isClosed) return;
    if (trailers.length > 0 && this.#connection.allowance?.takes(trailers) === false) {
      this.#aborted = new EdgeError("head_too_large", "the trailers are larger than the worker takes");
      return this.cancel();
    }
    this.#connection.writer.end(this.id, trailers, this.#neverIndexedOut);
    this.#endLocal();
  }

  #endLocal(): void {
    this.localEnded = true;
    if (this.remoteEnded) this.#close();
    else if (this.stopsPeer) this.reset("NO_ERROR");
  }

  /** A receiver hears of an end that is none, unless it has lost its interest; making the error is not free. */
  #close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#connection.forget(this);
    this.events?.closed();
    if (this.#aborted === undefined && this.localEnded && this.remoteEnded) return;
    if (this.#discarding) return;
    this.#aborted ??= this.#connection.abortedBy(0);
    this.#receiver?.abort(this.#aborted);
  }
}

const NO_CHUNKS: readonly Buffer[] = [];
