import type { OnReadOpts } from "node:net";
import { FieldReader } from "../../message/fields.ts";
import { KnownHeads } from "../../message/known-heads.ts";
import { ReadBuffer } from "../../port/read-buffer.ts";
import type { Address } from "../../settings/parse.ts";
import type { TlsMemory } from "../connect.ts";
import { connectTo, givenUp } from "../connect.ts";
import type { Origin } from "../origin.ts";
import type { RetryBudget } from "../retries.ts";
import type { Inlet, Owner } from "./connection.ts";
import { Connection } from "./connection.ts";
import { WORKER_FAULTS } from "./garbage.ts";
import { IdleConnections } from "./idle.ts";
import type { FinalHead } from "./reply-parser.ts";
import { ReplyParser } from "./reply-parser.ts";
import type { Connections, WorkerReceiver, WorkerRequest } from "./stream.ts";
import { Http1Stream } from "./stream.ts";

export interface Http1UpstreamOptions {
  /** Milliseconds a worker has to accept a connection. */
  readonly connectMs: number;
  /** Bytes that a reply head may have. */
  readonly headBytes: number;
  /** Seconds in which a worker has to begin its reply; none, or 0: as long as it likes. */
  readonly replySeconds?: number;
  /** What says whether a request may be sent again; without it each one may, once. */
  readonly retries?: RetryBudget;
}

/** Milliseconds between two looks at who waits for a reply. */
const TICK_MS = 500;
/** Reply heads that are remembered. */
const KNOWN_HEADS = 4;

/** One HTTP/1.1 worker, and the connections that are kept open to it. */
export class Http1Upstream implements Owner, Connections {
  readonly address: Address;
  /** Undefined for a worker that gets requests as they came. */
  readonly origin: Origin | undefined;
  readonly #options: Http1UpstreamOptions;
  readonly #memory: TlsMemory = {};
  readonly #idle = new IdleConnections();
  readonly #all = new Set<Connection>();
  readonly #fields = new FieldReader(WORKER_FAULTS);
  readonly #known = new KnownHeads<FinalHead>(KNOWN_HEADS);
  /** All connections are read into this one buffer. */
  readonly #buffer = new ReadBuffer();
  /** Runs while there are connections. */
  #clock: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `origin` is that of a worker which is reached by its name. */
  constructor(address: Address, options: Http1UpstreamOptions, origin?: Origin) {
    this.address = address;
    this.#options = options;
    this.origin = origin;
  }

  /** Connections that are open, or about to be. */
  get connections(): number {
    return this.#all.size;
  }

  /**
   * Sends a request: at once on a kept connection, else as soon as a new one is there, which `receiver.connected` tells.
   * The receiver hears nothing before this returns. Throws `upstream_unprocessed` once the worker is given up.
   */
  open(request: WorkerRequest, receiver: WorkerReceiver): Http1Stream {
    if (this.#isClosed) throw givenUp();
    return new Http1Stream(this, request, receiver);
  }

  /** Ends every connection, whatever it carries, for good. */
  close(): void {
    this.#isClosed = true;
    this.origin?.credentials.close();
    this.#idle.close();
    clearInterval(this.#clock);
    for (const connection of this.#all) connection.socket.destroy();
  }

  kept(): Connection | undefined {
    return this.#idle.take();
  }

  mayRepeat(): boolean {
    return !this.#isClosed && this.#options.retries?.take(performance.now()) !== false;
  }

  /**
   * Opens a connection. With `halfOpen` it is for an upgrade: its two directions may end one by one. Throws `upstream_unprocessed`
   * once the worker is given up.
   */
  connect(halfOpen: boolean): Connection {
    if (this.#isClosed) throw givenUp();
    const { connectMs, headBytes } = this.#options;
    const inlet: Inlet = { to: undefined };
    const onread: OnReadOpts = {
      buffer: this.#buffer.bytes,
      callback: (length) => {
        inlet.to?.receive(this.#buffer.view(length));
        return true;
      },
    };
    const options = { allowHalfOpen: halfOpen, onread };
    const socket = connectTo(this.address, connectMs, options, this.#memory);
    // RFC 9112, section 9.8: anybody on the way can end a connection, and Node does not tell that from TLS's own end.
    const parser = new ReplyParser(headBytes, this.#fields, this.#known, this.address.kind !== "tls");
    const connection = new Connection(socket, inlet, this, parser);
    this.#all.add(connection);
    this.#clock ??= this.#startClock();
    return connection;
  }

  #startClock(): NodeJS.Timeout | undefined {
    const limitMs = (this.#options.replySeconds ?? 0) * 1000;
    if (limitMs === 0) return undefined;
    return setInterval(() => {
      for (const connection of this.#all) connection.tick(TICK_MS, limitMs);
    }, TICK_MS).unref();
  }

  idle(connection: Connection, idleMs: number): void {
    if (this.#isClosed) connection.destroy();
    else this.#idle.put(connection, idleMs);
  }

  closed(connection: Connection): void {
    this.#all.delete(connection);
    this.#idle.remove(connection);
    if (this.#all.size > 0) return;
    clearInterval(this.#clock);
    this.#clock = undefined;
  }
}
