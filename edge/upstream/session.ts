import type { OnReadOpts, Socket } from "node:net";
import { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { Allowance } from "../http2/allowance.ts";
import { Connection } from "../http2/connection.ts";
import type { Limits } from "../limits.ts";
import { CONNECTION_WINDOW, FIRST_WINDOW, PREFACE } from "../http2/windows.ts";
import { ReadBuffer } from "../port/read-buffer.ts";
import type { Address } from "../settings/parse.ts";
import type { TlsMemory } from "./connect.ts";
import { connectTo, failedBy, givenUp, readyEvent, unfit } from "./connect.ts";
import type { Origin } from "./origin.ts";
import { Queue } from "./queue.ts";
import { Reply, brokenOff } from "./reply.ts";
import type { ReplyReceiver, UpstreamStream } from "./stream.ts";

export interface UpstreamOptions extends Limits {
  readonly connectMs: number;
  /** Bytes that a reply head may have. */
  readonly headBytes: number;
  /** Connections that take requests at a time; another one is opened when all streams of these are used. */
  readonly maxUpstreamConnections: number;
}

/** A connection that is about to be. */
interface Attempt {
  /** Rejects with why there is none. */
  readonly done: Promise<void>;
  readonly giveUp: (error: EdgeError) => void;
}

/** Milliseconds without another attempt, when a connection beside others could not be opened. */
const PATIENCE_MS = 1000;

const nobody = (): void => {};

/** All workers are read into this one buffer. */
const READ_BUFFER = new ReadBuffer();

/**
 * One gRPC worker, and the HTTP/2 connections to it: one, opened when it is first needed and again after it ended, and more of them
 * while the streams that the worker allows on each (SETTINGS_MAX_CONCURRENT_STREAMS) are all used, or their windows. Without these the
 * calls of a few clients, which may last, would keep everybody else's waiting.
 *
 *            ready()                    SETTINGS, or not yet             GOAWAY, used up, 'close', 'error'
 *   (none) ───────────▶ connecting ──────────────────────────▶ open ─────────────────────────────────────▶ left
 *                            │ 'error': who waits hears of it, where no other is open
 *
 * One that is left takes no more requests, and finishes its streams by itself.
 */
export class Http2Upstream {
  /** Undefined for a worker that gets requests as they came. */
  readonly origin: Origin | undefined;
  readonly #address: Address;
  readonly #options: UpstreamOptions;
  readonly #memory: TlsMemory = {};
  /** Those that take requests. */
  readonly #open: Connection[] = [];
  /** The one of them that got the last request. */
  #current: Connection | undefined;
  #connecting: Attempt | undefined;
  /** What the worker has allowed on the last connection. */
  #allowance: Allowance | undefined;
  /** When another one could not be opened, on performance.now()'s clock. */
  #failedAt = -Infinity;
  #isClosed = false;
  /** Of all connections, those that are left included. */
  readonly #sockets = new Set<Socket>();
  /** Requests that wait for one of the worker's streams to end. */
  readonly #queue = new Queue();
  /** True when some of them are about to be told. */
  #isWaking = false;

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

  /** True when a request can be sent now; else `ready` tells when. */
  get isReady(): boolean {
    const current = this.#current;
    return (current?.isFree === true || this.#select()) && this.origin?.credentials.isReady !== false;
  }

  /**
   * Resolves once a request can be sent. Rejects with `upstream_refused` or `upstream_tls` when the worker cannot be reached, with
   * `identity_unavailable` when it cannot be told who asks, and with `upstream_unprocessed` once it is given up. `leaving` gives up
   * the place among those who wait for a stream; then it resolves as well.
   */
  async ready(leaving?: AbortSignal): Promise<void> {
    await this.origin?.credentials.ready();
    while (!this.#select()) {
      if (this.#isClosed) throw givenUp();
      if (this.#mayConnect) this.#connect();
      if (this.#open.length === 0) await this.#connecting?.done;
      else await this.#queue.turn(leaving);
      if (leaving?.aborted === true) return;
    }
  }

  /**
   * Sends a request head and starts to listen for its reply. Throws `upstream_refused` when no connection is ready, and
   * `head_too_large` for a head that is more than the worker takes.
   */
  open(
    pseudo: HeaderList,
    fields: HeaderList,
    neverIndexed: readonly string[],
    receiver: ReplyReceiver,
  ): UpstreamStream {
    if (this.#isClosed) throw givenUp();
    // It ended between `ready` and now: nothing was sent.
    const connection = this.#current;
    if (connection === undefined) throw new EdgeError("upstream_refused");
    if (connection.allowance?.takes(fields, pseudo) === false)
      throw new EdgeError("head_too_large", "the request head is larger than the worker takes");
    const stream = connection.open(pseudo, fields, neverIndexed);
    stream.events = new Reply(receiver, this.#wake);
    stream.receive(receiver);
    return stream;
  }

  /** Ends every connection, for good: who waits hears that nothing of its request was processed. */
  close(): void {
    this.#isClosed = true;
    this.#current = undefined;
    this.#open.length = 0;
    this.origin?.credentials.close();
    this.#connecting?.giveUp(givenUp());
    for (const socket of this.#sockets) socket.destroy();
    this.#wake();
  }

  /** Makes a connection that takes a request the current one; false when there is none. */
  #select(): boolean {
    this.#leaveUsedUp();
    const [found] = this.#free;
    if (found !== undefined) this.#current = found;
    return found !== undefined;
  }

  /**
   * Connections that take a request. Some workers give a connection's window back only as they read what each call has sent: one
   * call that they do not read then stops all others, and new ones go elsewhere, as long as there may be another connection.
   */
  get #free(): Connection[] {
    const free = this.#open.filter(({ isFree }) => isFree);
    if (free.length > 0 || this.#connecting !== undefined || this.#mayConnect) return free;
    return this.#open.filter(({ hasRoom }) => hasRoom).sort((a, b) => a.streams.size - b.streams.size);
  }

  /** What runs on a connection that is used up finishes there. */
  #leaveUsedUp(): void {
    for (const connection of Array.from(this.#open)) {
      if (connection.isOpen && (connection.isFlowing || connection.streams.size > 0)) continue;
      connection.drain();
      this.#leave(connection);
    }
  }

  /** Whether another connection helps: not where a worker that has nothing to do takes nothing. */
  get #mayConnect(): boolean {
    if (this.#isClosed || this.#connecting !== undefined) return false;
    if (this.#open.length === 0) return true;
    if (this.#open.length >= this.#options.maxUpstreamConnections) return false;
    if (performance.now() - this.#failedAt < PATIENCE_MS) return false;
    return this.#open.every(({ streams }) => streams.size > 0);
  }

  #connect(): void {
    const { connectMs, headBytes } = this.#options;
    let connection: Connection | undefined;
    const onread: OnReadOpts = {
      buffer: READ_BUFFER.bytes,
      callback: (length) => {
        connection?.receive(READ_BUFFER.view(length));
        return true;
      },
    };
    const socket = connectTo(this.#address, connectMs, { onread }, this.#memory);
    this.#sockets.add(socket);
    const opened = Promise.withResolvers<void>();
    // Where others are open nobody may wait for this one.
    opened.promise.catch(nobody);
    const attempt: Attempt = { done: opened.promise, giveUp: opened.reject };
    this.#connecting = attempt;
    const lost = (thrown?: unknown): void => {
      if (this.#connecting === attempt) {
        this.#connecting = undefined;
        this.#failedAt = performance.now();
        opened.reject(failedBy(this.#address, thrown));
      }
      if (connection !== undefined) this.#leave(connection);
      this.#wake();
    };
    socket.once(readyEvent(this.#address), () => {
      const error = unfit(this.#address, socket);
      if (error !== undefined) return void socket.destroy(error);
      socket.write(PREFACE);
      const allowance = (this.#allowance = new Allowance(this.#allowance));
      connection = new Connection(socket, {
        role: "client",
        streamWindow: FIRST_WINDOW,
        connectionWindow: CONNECTION_WINDOW,
        maxStreams: 0,
        allowance,
        maxHeadBytes: headBytes,
        limits: this.#options,
        exceeded: nobody,
        connectProtocol: false,
        abortedBy: brokenOff,
        onState: (state) => (state === "ready" ? this.#wake() : lost()),
      });
      this.#connecting = undefined;
      this.#open.push(connection);
      opened.resolve();
      this.#wake();
    });
    socket.once("error", lost);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      lost();
    });
  }

  /** A connection gets no more requests. */
  #leave(connection: Connection): void {
    const at = this.#open.indexOf(connection);
    if (at >= 0) this.#open.splice(at, 1);
    if (this.#current === connection) this.#current = undefined;
  }

  /** There may be room: who waits hears of it once all that came together has been dealt with. */
  readonly #wake = (): void => {
    if (this.#queue.length === 0 || this.#isWaking) return;
    this.#isWaking = true;
    process.nextTick(this.#wakeNext);
  };

  /**
   * Wakes as many as there is room for, those first that came first: thousands may wait, and to ask each whenever one stream ends
   * would leave time for nothing else. Without a connection it is all of them, since they have to hear why there is none.
   */
  readonly #wakeNext = (): void => {
    this.#isWaking = false;
    this.#leaveUsedUp();
    this.#queue.next(this.#open.length === 0 ? Infinity : this.#room);
    if (this.#queue.length === 0) return;
    if (this.#room === 0) {
      if (this.#mayConnect) this.#connect();
      return;
    }
    // One that was woken may have left, or not begun: then its place is the next one's.
    this.#isWaking = true;
    setImmediate(this.#wakeNext);
  };

  /** Requests that can be sent now. */
  get #room(): number {
    return this.#free.reduce((sum, { room }) => sum + room, 0);
  }
}
