import type { OnReadOpts, Socket } from "node:net";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, HeaderList, Outgoing } from "../exchange.ts";
import { Connection } from "../http2/connection.ts";
import { CODE } from "../http2/frame.ts";
import type { Head } from "../http2/header-blocks.ts";
import type { Limits } from "../limits.ts";
import { resetBy } from "../http2/reset.ts";
import type { StreamEvents } from "../http2/stream.ts";
import { CONNECTION_WINDOW, PREFACE, STREAM_WINDOW } from "../http2/windows.ts";
import type { Address } from "../settings/parse.ts";
import type { TlsMemory } from "./connect.ts";
import { connectTo, failedBy, readyEvent, unfit } from "./connect.ts";
import type { Origin } from "./origin.ts";

/** What a worker's reply is told to. */
export interface ReplyReceiver extends BodyReceiver {
  inform(status: number, headers: HeaderList): void;
  /** `end` is true when nothing follows: for gRPC, a trailers-only reply. */
  head(status: number, headers: HeaderList, end: boolean, neverIndexed?: readonly string[]): void;
}

/** One request to a worker: the request's bytes go out, the reply's come in. */
export interface UpstreamStream extends Outgoing {
  /** Gives back credit for `bytes` of the reply that have left the edge. */
  consume(bytes: number): void;
  /** True once all of the request has gone out, or can no longer. */
  readonly isSent: boolean;
  /** Tells the worker that nobody waits any more. */
  cancel(): void;
}

/**
 *            ready()                  'connect'              GOAWAY, 'close', 'error'
 *  closed ───────────▶ connecting ───────────────▶ ready ───────────────────────────▶ closed
 *     ▲                    │ 'error'
 *     └────────────────────┘                       any ── close() ──▶ given up
 *
 * A connection that said GOAWAY finishes its streams by itself; the next request opens another.
 */
type State =
  | { readonly name: "closed" | "given up" }
  | {
      readonly name: "connecting";
      readonly socket: Socket;
      readonly ready: Promise<Connection>;
      readonly giveUp: (error: EdgeError) => void;
    }
  | { readonly name: "ready"; readonly socket: Socket; readonly connection: Connection };

export interface UpstreamOptions extends Limits {
  readonly connectMs: number;
  /** Bytes that a reply head may have. */
  readonly headBytes: number;
}

const nobody = (): void => {};

/** What workers send is read into this one buffer, and handled before the next read: nothing in it outlives the event. */
const READ_BUFFER = Buffer.allocUnsafeSlow(65_536);

/** The HTTP/2 connection to one gRPC worker, opened when it is first needed and again after it ended. */
export class Http2Upstream {
  /** Undefined for a worker that gets requests as they came. */
  readonly origin: Origin | undefined;
  readonly #address: Address;
  readonly #options: UpstreamOptions;
  readonly #memory: TlsMemory = {};
  #state: State = { name: "closed" };
  /** Those that said GOAWAY included. */
  readonly #sockets = new Set<Socket>();
  /** Requests that wait for one of the worker's streams to end. */
  readonly #waiting = new Set<() => void>();

  /** `origin` is that of a worker which is reached by its name. */
  constructor(address: Address, options: UpstreamOptions, origin?: Origin) {
    this.#address = address;
    this.#options = options;
    this.origin = origin;
  }

  /** Connections that are open, or about to be. */
  get connections(): number {
    return this.#sockets.size;
  }

  /**
   * Resolves once a request can be sent. Rejects with `upstream_refused` or `upstream_tls` when the worker cannot be reached, with
   * `identity_unavailable` when it cannot be told who asks, and with `upstream_unprocessed` once it is given up. `leaving` gives up
   * the place among those who wait for a stream; then it resolves as well.
   */
  async ready(leaving?: AbortSignal): Promise<void> {
    await this.origin?.credentials.ready();
    while (!(await this.#connection()).hasRoom) {
      await this.#room(leaving);
      if (leaving?.aborted === true) return;
    }
  }

  #room(leaving: AbortSignal | undefined): Promise<void> {
    if (leaving?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const goOn = (): void => {
        this.#waiting.delete(goOn);
        leaving?.removeEventListener("abort", goOn);
        resolve();
      };
      this.#waiting.add(goOn);
      leaving?.addEventListener("abort", goOn);
    });
  }

  /** True when a request can be sent now; else `ready` tells when. */
  get isReady(): boolean {
    const state = this.#state;
    return (
      state.name === "ready" &&
      state.connection.isOpen &&
      state.connection.hasRoom &&
      this.origin?.credentials.isReady !== false
    );
  }

  /** Sends a request head and starts to listen for its reply. Throws `upstream_refused` when the connection is not ready. */
  open(
    pseudo: HeaderList,
    fields: HeaderList,
    neverIndexed: readonly string[],
    receiver: ReplyReceiver,
  ): UpstreamStream {
    const state = this.#state;
    if (state.name === "given up") throw givenUp();
    // It ended between `ready` and now: nothing was sent.
    if (state.name !== "ready") throw new EdgeError("upstream_refused");
    const stream = state.connection.open(pseudo, fields, neverIndexed);
    stream.events = new Reply(receiver, this.#wake);
    stream.receive(receiver);
    return stream;
  }

  /** Ends every connection, for good: who waits hears that nothing of its request was processed. */
  close(): void {
    const state = this.#state;
    this.#state = { name: "given up" };
    this.origin?.credentials.close();
    if (state.name === "connecting") state.giveUp(givenUp());
    for (const socket of this.#sockets) socket.destroy();
    this.#wake();
  }

  #connection(): Promise<Connection> {
    const state = this.#state;
    if (state.name === "given up") return Promise.reject(givenUp());
    if (state.name === "ready") {
      if (state.connection.isOpen) return Promise.resolve(state.connection);
      // It has said GOAWAY, or is used up: what runs on it finishes there.
      state.connection.drain();
      return this.#connect();
    }
    return state.name === "connecting" ? state.ready : this.#connect();
  }

  #connect(): Promise<Connection> {
    const { connectMs, headBytes } = this.#options;
    let connection: Connection | undefined;
    const onread: OnReadOpts = {
      buffer: READ_BUFFER,
      callback: (length, buffer) => {
        connection?.receive((buffer as Buffer).subarray(0, length));
        return true;
      },
    };
    const socket = connectTo(this.#address, connectMs, { onread }, this.#memory);
    this.#sockets.add(socket);
    const opened = Promise.withResolvers<Connection>();
    const lost = (thrown?: unknown): void => {
      if ("socket" in this.#state && this.#state.socket === socket) this.#state = { name: "closed" };
      opened.reject(failedBy(this.#address, thrown));
      this.#wake();
    };
    socket.once(readyEvent(this.#address), () => {
      const error = unfit(this.#address, socket);
      if (error !== undefined) return void socket.destroy(error);
      socket.write(PREFACE);
      connection = new Connection(socket, {
        role: "client",
        streamWindow: STREAM_WINDOW,
        connectionWindow: CONNECTION_WINDOW,
        maxStreams: 0,
        maxHeadBytes: headBytes,
        limits: this.#options,
        exceeded: nobody,
        connectProtocol: false,
        abortedBy: brokenOff,
        onState: (state) => (state === "ready" ? this.#wake() : lost()),
      });
      this.#state = { name: "ready", socket, connection };
      opened.resolve(connection);
    });
    socket.once("error", lost);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      lost();
    });
    this.#state = { name: "connecting", socket, ready: opened.promise, giveUp: opened.reject };
    return opened.promise;
  }

  readonly #wake = (): void => {
    if (this.#waiting.size > 0) for (const goOn of this.#waiting) goOn();
  };
}

/** Tells a receiver of reply heads. */
class Reply implements StreamEvents {
  readonly closed: () => void;
  readonly #receiver: ReplyReceiver;

  constructor(receiver: ReplyReceiver, closed: () => void) {
    this.#receiver = receiver;
    this.closed = closed;
  }

  replied(head: Head, end: boolean): void {
    const status = Number(head.fields[1]);
    const headers = (head.reply ??= head.fields.slice(2));
    if (status < 200) this.#receiver.inform(status, headers);
    else this.#receiver.head(status, headers, end, head.neverIndexed);
  }
}

function givenUp(): EdgeError {
  return new EdgeError("upstream_unprocessed", "the worker is no longer asked");
}

function brokenOff(code: number): EdgeError {
  // RFC 9113, section 8.7: nothing of the request was processed.
  if (code === CODE.REFUSED_STREAM) return new EdgeError("upstream_unprocessed");
  // What a worker finds to be too much is its client's doing: nobody shall have a worker left out by asking for it.
  if (code === CODE.ENHANCE_YOUR_CALM) return new EdgeError("too_much");
  return resetBy(code, new EdgeError("upstream_reset"));
}
