import type { Socket } from "node:net";
import { EdgeError } from "../errors.ts";
import type { BodyReceiver, Exchange, Holder, Source } from "../exchange.ts";
import { HIGH_WATER, mayGoOn } from "../high-water.ts";
import type { SocketEnd } from "../port/socket-end.ts";
import { writeCopy } from "../port/copies.ts";
import { keep, memoryOf, waitingIn } from "../waiting.ts";
import type { Listener } from "./stand-ins.ts";
import { FrameTracker, closeFrame } from "./websocket-frames.ts";

/** A close code and its reason (RFC 6455, section 7.4.1). */
export interface Goodbye {
  readonly code: number;
  readonly reason: string;
}

/** Milliseconds that one direction may go on after the other has ended, and that both may after a goodbye of ours. */
const HALF_CLOSED_MS = 60_000;

const NOTHING: readonly never[] = [];

/**
 * A WebSocket between its two ends. Bytes go from one to the other untouched, without a stream in between; the worker's frames
 * are followed only so that the edge can close the tunnel with a code of its own, between two of them.
 *
 * To http2-proxy it is the client's socket, which is piped from and to, and written a head of http2-proxy's own making.
 */
export class Tunnel implements BodyReceiver, Holder, Source {
  readonly #exchange: Exchange;
  readonly #frames = new FrameTracker();
  #worker: Socket | undefined;
  #open = false;
  /** What the client sent before the worker had answered; no more than it has credit for. */
  #early: Buffer[] = [];
  #timer: NodeJS.Timeout | undefined;
  #clientEnded = false;
  #workerEnded = false;
  #goodbye: Buffer | undefined;
  #saidGoodbye = false;
  /** Bytes towards the client that have not left yet, and towards the worker that it does not read. */
  #unsent = 0;
  #unread = 0;
  #destroyed = false;
  #onClose: (() => void) | undefined;
  #onError: ((error: EdgeError) => void) | undefined;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    exchange.source = this;
  }

  /** True when both sides had ended by themselves: whatever http2-proxy says then is only the sockets' closing. */
  get finished(): boolean {
    return this.#workerEnded && (this.#clientEnded || this.#exchange.gone);
  }

  /** Bytes of memory of what waits for the worker. */
  get held(): number {
    return memoryOf(this.#early) + (this.#worker === undefined ? 0 : waitingIn(this.#worker));
  }

  /** True when the client has gone, and only the worker has to read what it had sent. */
  get isOrphan(): boolean {
    return this.#exchange.gone;
  }

  /** The worker has answered, whatever it said. */
  answered(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The worker has answered 101: what comes goes straight to the other end from now on. */
  opened(worker: SocketEnd, rest: Buffer): void {
    const { socket } = worker;
    this.answered();
    this.#open = true;
    this.#worker = socket;
    worker.receive((bytes) => this.#fromWorker(bytes));
    socket.on("drain", () => this.#onDrain());
    socket.on("end", () => this.#onWorkerEnd());
    if (rest.length > 0) this.#fromWorker(rest);
    for (const chunk of this.#early.splice(0)) this.#toWorker(chunk);
    if (this.#clientEnded) socket.end();
  }

  /** Says goodbye with a Close frame as soon as the worker's current frame is over; the closing handshake then runs its course. */
  close({ code, reason }: Goodbye): void {
    if (!this.#open || this.#goodbye !== undefined) return;
    this.#goodbye = closeFrame(code, reason);
    if (this.#frames.atBoundary) this.#sayGoodbye();
    else if (!this.#destroyed)
      this.#endSoon(new EdgeError("upstream_reset", "the worker does not end its frame"));
  }

  /** The worker is lost: the client gets a close code if a frame can still be put in, else the end of a broken stream. */
  broken(error: EdgeError): void {
    if (!this.#open || this.#workerEnded || error.row.side === "client") return;
    this.close(goodbyeOf(error));
    if (this.#saidGoodbye) this.#exchange.end(NOTHING);
  }

  /**
   * Listens to the client from now on, so that its leaving is noticed while the worker has not answered; what it sends is
   * held until then. Without an answer within `handshakeMs` milliseconds the tunnel is destroyed with `deadline`.
   */
  start(handshakeMs: number): void {
    this.#timer = setTimeout(
      () => this.destroy(new EdgeError("deadline", "the worker did not answer the handshake in time")),
      handshakeMs,
    );
    this.#exchange.receive(this);
  }

  shed(): void {
    this.destroy(new EdgeError("client_gone"));
  }

  /** Ends both directions; http2-proxy hears of it, with the error if there is one. */
  destroy(error?: EdgeError): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    clearTimeout(this.#timer);
    this.#early = [];
    if (error === undefined) this.#onClose?.();
    else this.#onError?.(error);
  }

  // === what http2-proxy does with the client's socket

  on(event: string, listener: Listener): this {
    if (event === "close") this.#onClose = listener as () => void;
    else if (event === "error") this.#onError = listener as (error: EdgeError) => void;
    return this;
  }

  off(): this {
    this.#onClose = this.#onError = undefined;
    return this;
  }

  /** The exchange has sent the right head already. */
  write(): void {}

  /** The bytes are on their way without it. */
  pipe<T>(to: T): T {
    return to;
  }

  setTimeout(): void {}
  setNoDelay(): void {}
  setKeepAlive(): void {}

  // === client to worker

  data(chunk: Buffer): void {
    if (this.#worker === undefined) keep(this.#early, chunk);
    else this.#toWorker(chunk);
  }

  /** The client has ended its direction. */
  end(): void {
    if (!this.#open) return this.destroy(new EdgeError("client_gone"));
    this.#clientEnded = true;
    this.#worker?.end();
    this.#onEnd();
  }

  /** The client is gone. Once both have ended it is only the closing of its connection: the worker may still have to read what came before. */
  abort(error: EdgeError): void {
    if (this.#clientEnded && this.#workerEnded) return;
    this.destroy(this.finished ? undefined : error);
  }

  #toWorker(chunk: Buffer): void {
    if (this.#worker !== undefined && writeCopy(this.#worker, chunk)) this.#exchange.consume(chunk.length);
    else this.#unread += chunk.length;
  }

  #onDrain(): void {
    const bytes = this.#unread;
    this.#unread = 0;
    this.#exchange.consume(bytes);
  }

  // === worker to client

  #fromWorker(bytes: Buffer): void {
    if (this.#saidGoodbye || this.#destroyed) return;
    if (this.#goodbye !== undefined) return this.#lastFromWorker(bytes);
    this.#frames.push(bytes);
    this.#toClient(bytes);
  }

  /** The edge is about to say goodbye: only the frame under way is passed on. */
  #lastFromWorker(bytes: Buffer): void {
    this.#toClient(bytes.subarray(0, this.#frames.untilBoundary(bytes)));
    if (this.#frames.atBoundary) this.#sayGoodbye();
  }

  #toClient(bytes: Buffer): void {
    if (this.#exchange.gone) return;
    this.#unsent += bytes.length;
    this.#exchange.write(bytes);
    if (this.#unsent > HIGH_WATER) this.#worker?.pause();
  }

  /** What went towards the client has left. */
  consume(bytes: number): void {
    const before = this.#unsent;
    this.#unsent -= bytes;
    if (mayGoOn(before, this.#unsent)) this.#worker?.resume();
  }

  /** Without a Close frame of its own, it has died rather than left: a killed program's connections end in just this way. */
  #onWorkerEnd(): void {
    this.#workerEnded = true;
    if (!this.#clientEnded && !this.#frames.closing) this.close(goodbyeOf(new EdgeError("upstream_reset")));
    this.#exchange.end(NOTHING);
    this.#onEnd();
  }

  #sayGoodbye(): void {
    if (this.#goodbye === undefined || this.#saidGoodbye || this.#frames.closing) return;
    this.#saidGoodbye = true;
    this.#unsent += this.#goodbye.length;
    this.#exchange.write(this.#goodbye);
    if (!this.#destroyed)
      this.#endSoon(new EdgeError("client_gone", "the client does not answer a Close frame"));
  }

  // === ends

  /** A direction has ended. The other may go on for a while, but not for ever. */
  #onEnd(): void {
    clearTimeout(this.#timer);
    if (this.#destroyed) return;
    const worker = this.#worker;
    const hasAll = worker === undefined || worker.writableFinished;
    if (this.#clientEnded && this.#workerEnded && hasAll) return this.destroy();
    if (this.#clientEnded && !hasAll) worker.once("finish", () => this.#workerEnded && this.destroy());
    this.#endSoon(new EdgeError("upstream_reset", "half-closed for too long"));
  }

  #endSoon(error: EdgeError): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.destroy(error), HALF_CLOSED_MS);
  }
}

function goodbyeOf({ row, message }: EdgeError): Goodbye {
  return { code: row.close, reason: message };
}
