import type { EdgeError } from "../errors.ts";
import type { BodyReceiver, HeaderList, Incoming, Outgoing } from "../exchange.ts";
import type { Connection } from "./connection.ts";
import { ReceiveWindow } from "./flow.ts";
import type { ErrorCode } from "./frame.ts";

/** What a stream tells beyond its body. */
export interface StreamEvents {
  /** A reply head, interim or final (client role). */
  head(fields: string[], end: boolean): void;
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
  onSent: (bytes: number) => void = () => {};
  events: StreamEvents | undefined;
  localEnded = false;
  remoteEnded = false;
  isClosed = false;
  /** True when the peer is told to stop once our direction has ended (RFC 9113, section 8.1). */
  stopsPeer = false;
  /** True once the final head of a reply has come (client role). */
  headSeen = false;
  /** Bytes the peer lets us send. */
  sendWindow: number;
  /** What the peer may send. */
  readonly window: ReceiveWindow;
  /** Bytes that the request's content-length still promises (RFC 9113, section 8.1.1). */
  promised: number | undefined;

  readonly #connection: Connection;
  readonly #abortedBy: (code: number) => EdgeError;
  #receiver: BodyReceiver | undefined;
  /** What came before anybody received it; at most a window. */
  #early: Buffer[] = [];
  #trailersIn: HeaderList = EMPTY;
  #endDelivered = false;
  #aborted: EdgeError | undefined;
  #discarding = false;
  #queue: Buffer[] = [];
  #queueAt = 0;
  #trailersOut: HeaderList | undefined;

  /** `abortedBy` makes the error that a receiver hears when the peer resets the stream or vanishes. */
  constructor(
    connection: Connection,
    id: number,
    sendWindow: number,
    {
      streamWindow,
      abortedBy,
    }: { readonly streamWindow: number; readonly abortedBy: (code: number) => EdgeError },
  ) {
    this.#connection = connection;
    this.id = id;
    this.sendWindow = sendWindow;
    this.window = new ReceiveWindow(streamWindow);
    this.#abortedBy = abortedBy;
  }

  /** True while something waits to be sent. */
  get hasQueue(): boolean {
    return this.#queue.length > 0 || (this.#trailersOut !== undefined && !this.localEnded);
  }

  receive(receiver: BodyReceiver): void {
    if (this.#receiver !== undefined) throw new Error("a body can be received once only");
    this.#receiver = receiver;
    for (const chunk of this.#early.splice(0)) receiver.data(chunk);
    if (this.remoteEnded) this.#deliverEnd();
    if (this.#aborted !== undefined) receiver.abort(this.#aborted);
  }

  /** Gives credit back to the peer, in pieces worth a frame. */
  consume(bytes: number): void {
    if (bytes === 0 || this.remoteEnded || this.isClosed) return;
    const told = this.window.give(bytes);
    if (told > 0) this.#connection.sendWindowUpdate(this.id, told);
  }

  /** Throws away what the peer still sends. */
  discard(): void {
    this.#discarding = true;
    let bytes = 0;
    for (const chunk of this.#early.splice(0)) bytes += chunk.length;
    this.consume(bytes);
  }

  sendHead(fields: HeaderList, end: boolean, neverIndexed: readonly string[] = EMPTY): void {
    if (this.isClosed || this.localEnded) return;
    this.#connection.sendHeaders(this.id, fields, end, neverIndexed);
    if (end) this.#endLocal();
  }

  write(chunk: Buffer): void {
    if (this.isClosed || this.localEnded || this.#trailersOut !== undefined || chunk.length === 0) return;
    this.#queue.push(chunk);
    if (this.#queue.length === 1) this.pump();
  }

  end(trailers: HeaderList): void {
    if (this.isClosed || this.localEnded || this.#trailersOut !== undefined) return;
    this.#trailersOut = trailers;
    this.pump();
  }

  /** Resets the stream; nothing more goes out on it, and what still comes is ignored. */
  reset(code: ErrorCode): void {
    if (this.isClosed) return;
    this.#connection.sendReset(this.id, code);
    this.#close();
  }

  /** Sends what windows and the peer's reading allow; the connection calls again when there is more room. */
  pump(): void {
    let sent = 0;
    for (let chunk = this.#queue[0]; chunk !== undefined; chunk = this.#queue[0]) {
      const bytes = this.#connection.sendData(this, chunk, this.#queueAt);
      if (bytes === 0) break;
      sent += bytes;
      this.#queueAt += bytes;
      if (this.#queueAt < chunk.length) continue;
      this.#queue.shift();
      this.#queueAt = 0;
    }
    if (this.#queue.length === 0 && this.#trailersOut !== undefined && !this.localEnded) {
      this.#connection.sendEnd(this, this.#trailersOut);
      this.#endLocal();
    }
    if (this.#queue.length > 0) this.#connection.waitForRoom(this);
    if (sent > 0) this.onSent(sent);
  }

  /** DATA has come: `chunk` is a view that may be kept. */
  onData(chunk: Buffer): void {
    if (this.#discarding) return this.consume(chunk.length);
    if (this.#receiver === undefined) this.#early.push(chunk);
    else this.#receiver.data(chunk);
  }

  /** END_STREAM has come, with trailers or without. */
  onEnd(trailers: HeaderList): void {
    if (this.remoteEnded) return;
    this.remoteEnded = true;
    this.#trailersIn = trailers;
    if (this.#early.length === 0) this.#deliverEnd();
    if (this.localEnded) this.#close();
  }

  /** RST_STREAM has come, or the connection is gone. */
  onReset(code: number): void {
    if (this.isClosed) return;
    if (!this.#discarding) this.#aborted = this.#abortedBy(code);
    this.#queue = [];
    this.#close();
  }

  #deliverEnd(): void {
    if (this.#receiver === undefined || this.#endDelivered || this.#discarding) return;
    this.#endDelivered = true;
    this.#receiver.end(this.#trailersIn);
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
    this.#aborted ??= this.#abortedBy(0);
    this.#receiver?.abort(this.#aborted);
  }
}
