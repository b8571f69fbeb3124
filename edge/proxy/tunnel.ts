import { Duplex } from "node:stream";
import { EdgeError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { FrameTracker, closeFrame } from "./websocket-frames.ts";

/** Milliseconds that one direction may go on after the other has ended. */
const HALF_CLOSED_MS = 60_000;

/**
 * The client's end of a WebSocket, as the socket that http2-proxy pipes from and to.
 *
 * Bytes pass untouched. The worker's frames are followed only so that the edge can close the tunnel with a code of its
 * own, between two of them.
 */
export class Tunnel extends Duplex {
  readonly #exchange: Exchange;
  readonly #frames = new FrameTracker();
  #open = false;
  #headDropped = false;
  #held = 0;
  #timer: NodeJS.Timeout | undefined;
  #written: ((error?: Error | null) => void) | undefined;
  #finalize: ((error?: Error | null) => void) | undefined;
  #clientEnded = false;
  #workerEnded = false;
  #goodbye: Buffer | undefined;
  #saidGoodbye = false;
  /** Bytes towards the client that have not left yet. */
  #unsent = 0;

  constructor(exchange: Exchange) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#exchange = exchange;
    exchange.onSent = (bytes) => this.#onSent(bytes);
    // What went wrong is told by forwardWebSocket; http2-proxy's own listener goes when it is done.
    this.on("error", () => {});
  }

  /** True when both sides had ended by themselves: whatever http2-proxy says then is only the sockets' closing. */
  get finished(): boolean {
    return this.#workerEnded && (this.#clientEnded || this.#exchange.gone);
  }

  /** The worker has answered, whatever it said. */
  answered(): void {
    clearTimeout(this.#timer);
  }

  /** The worker has answered 101. */
  opened(): void {
    this.answered();
    this.#open = true;
  }

  /** Says goodbye with a Close frame as soon as the worker's current frame is over; the closing handshake then runs its course. */
  close(code: number, reason: string): void {
    if (!this.#open || this.#goodbye !== undefined) return;
    this.#goodbye = closeFrame(code, reason);
    if (this.#frames.atBoundary) this.#sayGoodbye();
  }

  /** The worker is lost: the client gets a close code if a frame can still be put in, else the end of a broken stream. */
  broken(error: EdgeError): void {
    if (!this.#open || this.#workerEnded || error.row.side === "client") return;
    this.close(error.row.close, error.message);
    if (this.#saidGoodbye) this.#exchange.end([]);
  }

  setTimeout(): void {}
  setNoDelay(): void {}
  setKeepAlive(): void {}

  /**
   * Listens to the client from now on, so that its leaving is noticed while the worker has not answered; what it sends is
   * held until then. Without an answer within `handshakeMs` milliseconds the tunnel is destroyed with `deadline`.
   */
  start(handshakeMs: number): void {
    this.#timer = setTimeout(
      () => this.destroy(new EdgeError("deadline", "the worker did not answer the handshake in time")),
      handshakeMs,
    );
    this.#exchange.receive({
      data: (chunk) => {
        this.#held += chunk.length;
        this.push(chunk);
      },
      end: () => this.#onClientEnd(),
      abort: (error) => this.destroy(this.finished ? undefined : error),
    });
  }

  override _read(): void {
    const bytes = this.#held;
    this.#held = 0;
    this.#exchange.consume(bytes);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    // http2-proxy's first write is an HTTP/1.1 head of its own making; the exchange has already sent the right one.
    if (!this.#headDropped) {
      this.#headDropped = true;
      return done();
    }
    if (this.#saidGoodbye) return done();
    const bytes = this.#goodbye === undefined ? chunk : chunk.subarray(0, this.#frames.untilBoundary(chunk));
    if (this.#goodbye === undefined) this.#frames.push(chunk);
    if (this.#exchange.gone) return done(new EdgeError("client_gone"));
    this.#written = done;
    this.#unsent += bytes.length;
    this.#exchange.write(bytes);
    if (this.#goodbye !== undefined && this.#frames.atBoundary) this.#sayGoodbye();
  }

  /** The worker has ended its direction. http2-proxy takes 'finish' for the end of the tunnel, so it waits for the client's end too. */
  override _final(done: (error?: Error | null) => void): void {
    this.#workerEnded = true;
    this.#exchange.end([]);
    if (this.#clientEnded) return done();
    this.#finalize = done;
    this.#limitHalfClosed();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#written = undefined;
    clearTimeout(this.#timer);
    done(error);
  }

  #onClientEnd(): void {
    if (!this.#open) return void this.destroy(new EdgeError("client_gone"));
    this.#clientEnded = true;
    this.push(null);
    if (this.#finalize === undefined) this.#limitHalfClosed();
    else this.#finalize();
  }

  /** One direction has ended. The other may go on for a while, but not for ever. */
  #limitHalfClosed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.destroy(new EdgeError("upstream_reset", "half-closed for too long")),
      HALF_CLOSED_MS,
    );
  }

  #sayGoodbye(): void {
    if (this.#goodbye === undefined || this.#saidGoodbye || this.#frames.closing) return;
    this.#saidGoodbye = true;
    this.#unsent += this.#goodbye.length;
    this.#exchange.write(this.#goodbye);
  }

  #onSent(bytes: number): void {
    this.#unsent -= bytes;
    if (this.#unsent > 0) return;
    const done = this.#written;
    this.#written = undefined;
    done?.();
  }
}
