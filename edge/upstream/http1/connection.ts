import type { Socket } from "node:net";
import { EdgeError, fromUpstream, isStale, toEdgeError } from "../../errors.ts";
import type { HeaderList } from "../../exchange.ts";
import type { Address } from "../../settings/parse.ts";
import type { SocketEnd } from "../../port/socket-end.ts";
import { failedBy, readyEvent } from "../connect.ts";
import type { Asked } from "./framing.ts";
import type { ReplyEvents, ReplyParser } from "./reply-parser.ts";

/** The request under way on a connection, as the connection sees it. */
export interface Turn extends ReplyEvents {
  /** The connection is there: the request may be sent. */
  connected(): void;
  /** The reply is complete. */
  replied(trailers: HeaderList): void;
  /** 101: the connection is the request's own now. `rest` is what has already come behind the head, valid during the call. */
  upgraded(headers: HeaderList, worker: SocketEnd, rest: Buffer): void;
  /** Nothing more comes. `stale` is true when the worker had given up the connection before it saw the request. */
  lost(error: EdgeError, stale: boolean): void;
  /** What was written has left. */
  drained(): void;
  /** True once nothing more of the request will be sent. */
  readonly isSent: boolean;
  /** True when the connection must not be used again. */
  readonly isLast: boolean;
}

/** Where what a worker sends goes: to its Connection, until that has handed it over. */
export interface Inlet {
  to: { receive(bytes: Buffer): void } | undefined;
}

/** Whom a connection belongs to. */
export interface Owner {
  readonly address: Address;
  /** It may be used again for `idleMs` milliseconds. */
  idle(connection: Connection, idleMs: number): void;
  /** It is gone. */
  closed(connection: Connection): void;
}

/**
 * One HTTP/1.1 connection to a worker: one request at a time, and the reply to it.
 *
 *               ready           begin()           reply complete, may be used again
 *  connecting ──────────▶ idle ─────────▶ busy ──────────────────────────────────▶ idle
 *       │                  │ bytes, FIN     │ 101 ─▶ handed over
 *       └──────────────────┴────────────────┴─▶ closed
 */
export class Connection {
  /** On performance.now()'s clock. */
  idleUntil = 0;
  /** True once a reply has come on it. */
  isReused = false;

  /** What was written when it was last looked, of which request, and for how many milliseconds nothing has happened since. */
  #written = 0;
  #watched: Turn | undefined;
  #quietMs = 0;

  readonly #socket: Socket;
  readonly #inlet: Inlet;
  readonly #parser: ReplyParser;
  readonly #owner: Owner;
  #turn: Turn | undefined;
  #isConnected = false;
  #closed = false;

  constructor(socket: Socket, inlet: Inlet, owner: Owner, parser: ReplyParser) {
    inlet.to = this;
    this.#socket = socket;
    this.#inlet = inlet;
    this.#owner = owner;
    this.#parser = parser;
    socket.once(readyEvent(owner.address), () => this.#onConnect());
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  /** Where the request is written to. */
  get socket(): Socket {
    return this.#socket;
  }

  /** Takes a request; its reply is what comes next. */
  begin(asked: Asked, turn: Turn): void {
    this.#turn = turn;
    this.#parser.begin(asked, turn);
  }

  /** Bytes have come. They are only valid during the call. */
  receive(bytes: Buffer): void {
    const turn = this.#turn;
    // Nobody asked: whatever it is, the next request's reply it is not.
    if (turn === undefined) return this.destroy();
    let taken: number;
    try {
      taken = this.#parser.push(bytes);
    } catch (thrown) {
      return this.#lose(toEdgeError(thrown), false);
    }
    if (this.#turn !== turn) return;
    if (this.#parser.isDone) this.#finish(turn, taken === bytes.length);
    else if (this.#parser.isUpgraded) this.#handOver(turn, bytes.subarray(taken));
  }

  /**
   * `ms` milliseconds have passed. A worker that has had what there is of a request, or does not read it, and does not begin a reply
   * either, loses it after `limitMs`.
   */
  tick(ms: number, limitMs: number): void {
    const turn = this.#turn;
    if (turn === undefined || !this.#isConnected || !this.#parser.awaitsHead) {
      this.#watched = undefined;
      return;
    }
    const { bytesWritten } = this.#socket;
    if (turn !== this.#watched || bytesWritten !== this.#written) {
      this.#watched = turn;
      this.#written = bytesWritten;
      this.#quietMs = 0;
      return;
    }
    this.#quietMs += ms;
    if (this.#quietMs >= limitMs)
      this.#lose(
        new EdgeError("deadline", `the worker has not begun a reply within ${limitMs / 1000} s`),
        false,
      );
  }

  destroy(): void {
    this.#turn = undefined;
    this.#socket.destroy();
    this.#forget();
  }

  /**
   * The reply is complete. Only a connection on which both messages ended exactly where they should may be used again;
   * what lies behind a reply would be taken for the next one.
   */
  #finish(turn: Turn, exact: boolean): void {
    const { idleMs, trailers } = this.#parser;
    this.#turn = undefined;
    if (exact && idleMs > 0 && turn.isSent && !turn.isLast) {
      this.isReused = true;
      // Nothing more comes, unless the worker closes: that must be heard.
      if (this.#socket.isPaused()) this.#socket.resume();
      this.#owner.idle(this, idleMs);
    } else this.destroy();
    turn.replied(trailers);
  }

  #handOver(turn: Turn, rest: Buffer): void {
    this.#turn = undefined;
    this.#forget();
    this.#socket.off("drain", this.#onDrain);
    this.#socket.off("end", this.#onEnd);
    this.#socket.off("error", this.#onError);
    this.#socket.off("close", this.#onClose);
    turn.upgraded(this.#parser.upgradeHeaders, handedOver(this.#socket, this.#inlet), rest);
  }

  #onConnect(): void {
    this.#isConnected = true;
    try {
      this.#turn?.connected();
    } catch (thrown) {
      // An exception must not leave an event handler: it would end the process.
      this.#lose(toEdgeError(thrown), false);
    }
  }

  readonly #onDrain = (): void => this.#turn?.drained();

  readonly #onEnd = (): void => {
    // In the middle of a TLS handshake: the error that says so follows.
    if (!this.#isConnected) return;
    const turn = this.#turn;
    if (turn !== undefined && this.#parser.finish()) return this.#finish(turn, true);
    this.#lose(new EdgeError("upstream_reset"), true);
  };

  readonly #onError = (thrown: unknown): void => {
    const error = this.#isConnected ? fromUpstream(thrown) : failedBy(this.#owner.address, thrown);
    this.#lose(error, isStale(thrown));
  };

  readonly #onClose = (): void => {
    const error = this.#isConnected
      ? new EdgeError("upstream_reset")
      : failedBy(this.#owner.address, undefined);
    this.#lose(error, true);
  };

  #lose(error: EdgeError, stale: boolean): void {
    const turn = this.#turn;
    this.destroy();
    turn?.lost(error, stale && this.isReused && !this.#parser.hasBegun);
  }

  #forget(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.closed(this);
  }
}

/** What is left of a connection that is somebody's own now: it knows nothing of the one it was, which may have hours to be forgotten. */
function handedOver(socket: Socket, inlet: Inlet): SocketEnd {
  inlet.to = undefined;
  return {
    socket,
    receive(onBytes) {
      inlet.to = { receive: onBytes };
    },
  };
}
