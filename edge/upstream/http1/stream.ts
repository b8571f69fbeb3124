import type { Socket } from "node:net";
import { EdgeError, toEdgeError } from "../../errors.ts";
import type { HeaderList, Source } from "../../exchange.ts";
import { NO_SOURCE } from "../../exchange.ts";
import { HIGH_WATER, mayGoOn } from "../../high-water.ts";
import type { RequestBody } from "../../message/body-reader.ts";
import type { ReplyReceiver, UpstreamStream } from "../stream.ts";
import type { SocketEnd } from "../../port/socket-end.ts";
import { writeBetween, writeCopy } from "../../port/copies.ts";
import { waitingIn } from "../../waiting.ts";
import type { Connection, Turn } from "./connection.ts";
import type { Asked } from "./framing.ts";
import { requestFields } from "./request-head.ts";

/** What a worker is asked. */
export interface WorkerRequest extends Asked {
  /** The head as it is sent (see requestHead). */
  readonly text: string;
  /** What the head says of the body. */
  readonly body: RequestBody;
  /** True when nothing may follow it on its connection; the text says so, too. */
  readonly isLast: boolean;
  /** True when sending it twice does no harm: a safe method (RFC 9110, section 9.2.1) without a body. */
  readonly repeatable: boolean;
}

/** What a worker's reply is told to, and how far the request is. */
export interface WorkerReceiver extends ReplyReceiver {
  /** The worker is connected, and the head on its way. Not called when `isConnected` was true as `open` returned. */
  connected(): void;
  /** True when nobody waits for the reply any more; asked before a connection is opened for it. */
  readonly isGone: boolean;
  /** The worker has switched protocols; throws to refuse that. Only called for what asked for it. */
  readonly upgraded?: ((headers: HeaderList, worker: SocketEnd, rest: Buffer) => void) | undefined;
}

/** Where a request gets its connection. */
export interface Connections {
  /** One that is kept open; undefined when there is none. */
  kept(): Connection | undefined;
  /** True when a request may be sent again now; it then counts as one that is. */
  mayRepeat(): boolean;
  connect(halfOpen: boolean): Connection;
}

/** One request to a worker and its reply, on a connection of its own for that time. */
export class Http1Stream implements UpstreamStream, Turn {
  source: Source = NO_SOURCE;
  isConnected = false;
  isSent = false;
  readonly isLast: boolean;

  readonly #connections: Connections;
  readonly #request: WorkerRequest;
  readonly #receiver: WorkerReceiver;
  /** Undefined until the end of the event that brought the request, where none was kept open. */
  #connection: Connection | undefined;
  #over = false;
  #repeated = false;
  /** Bytes of the reply that have not left the edge. */
  #underWay = 0;
  /** Bytes of the request that wait for the worker to read. */
  #unsent = 0;
  /** Bytes that the request's content-length still promises. */
  #left: number;

  constructor(connections: Connections, request: WorkerRequest, receiver: WorkerReceiver) {
    this.#connections = connections;
    this.#request = request;
    this.#receiver = receiver;
    this.isLast = request.isLast;
    this.#left = typeof request.body === "number" ? request.body : 0;
    const kept = request.upgrade ? undefined : connections.kept();
    if (kept === undefined) process.nextTick(connect, this);
    else {
      this.#connection = kept;
      kept.begin(request, this);
      this.#send(kept);
    }
  }

  /**
   * Opens a connection of its own. Not before all is dealt with that came together with the request: where that was its
   * cancellation, too, and those of a hundred others, none of them costs a connection (CVE-2023-44487).
   */
  connect(): void {
    if (this.#over) return;
    if (this.#receiver.isGone) return this.#fail(new EdgeError("client_gone"));
    try {
      this.#connection = this.#connections.connect(this.#request.upgrade);
      this.#connection.begin(this.#request, this);
    } catch (thrown) {
      this.#fail(toEdgeError(thrown));
    }
  }

  write(chunk: Buffer): void {
    if (this.#over || this.isSent || chunk.length === 0) return;
    const socket = this.#connection?.socket;
    if (socket === undefined) return;
    if (this.#request.body === "chunked") return this.#give(chunk.length, writeChunk(socket, chunk));
    this.#left -= chunk.length;
    // What is beyond the length would be the next request on this connection.
    if (this.#left < 0)
      return this.#fail(new EdgeError("bad_request", "more body than the content-length says"));
    this.#give(chunk.length, writeCopy(socket, chunk));
  }

  end(trailers: HeaderList): void {
    if (this.#over || this.isSent) return;
    if (this.#left > 0)
      return this.#fail(new EdgeError("bad_request", "less body than the content-length says"));
    try {
      if (this.#request.body === "chunked") {
        this.#connection?.socket.write(`0\r\n${requestFields(trailers)}\r\n`, "latin1");
      }
      this.isSent = true;
    } catch (thrown) {
      this.#fail(toEdgeError(thrown));
    }
  }

  /** Bytes of memory of what waits for the worker to read. */
  get waiting(): number {
    const socket = this.#over ? undefined : this.#connection?.socket;
    return socket === undefined ? 0 : waitingIn(socket);
  }

  consume(bytes: number): void {
    const before = this.#underWay;
    this.#underWay -= bytes;
    if (!this.#over && mayGoOn(before, this.#underWay)) this.#connection?.socket.resume();
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#connection?.destroy();
  }

  // === what the connection tells

  connected(): void {
    if (this.#over || this.#connection === undefined) return;
    this.#send(this.#connection);
    // What is repeated was told of its connection before.
    if (!this.#repeated) this.#receiver.connected();
  }

  inform(status: number, headers: HeaderList): void {
    if (!this.#over) this.#receiver.inform(status, headers);
  }

  head(status: number, headers: HeaderList, end: boolean): void {
    if (!this.#over) this.#receiver.head(status, headers, end);
  }

  data(view: Buffer): void {
    if (this.#over) return;
    this.#underWay += view.length;
    if (this.#underWay > HIGH_WATER) this.#connection?.socket.pause();
    this.#receiver.data(view);
  }

  upgraded(headers: HeaderList, worker: SocketEnd, rest: Buffer): void {
    this.#over = true;
    try {
      this.#receiver.upgraded?.(headers, worker, rest);
    } catch (thrown) {
      worker.socket.destroy();
      this.#receiver.abort(toEdgeError(thrown));
    }
  }

  replied(trailers: HeaderList): void {
    if (this.#over) return;
    this.#over = true;
    try {
      this.#receiver.end(trailers);
    } catch (thrown) {
      this.#receiver.abort(toEdgeError(thrown));
    }
  }

  lost(error: EdgeError, stale: boolean): void {
    if (this.#over) return;
    // A kept connection may have been closed by the worker just as it was used again.
    const mayRepeat = stale && this.#request.repeatable && !this.#repeated;
    if (mayRepeat && this.#connections.mayRepeat()) return this.#repeat();
    this.#over = true;
    this.#receiver.abort(error);
  }

  #repeat(): void {
    this.#repeated = true;
    this.isConnected = this.isSent = false;
    this.connect();
  }

  /** Sends the head; what of the body is there in this turn leaves with it, in one write. */
  #send({ socket }: Connection): void {
    this.isConnected = true;
    this.isSent = this.#request.body === "none";
    if (!this.isSent) {
      socket.cork();
      process.nextTick(uncork, socket);
    }
    socket.write(this.#request.text, "latin1");
  }

  /** The worker has read what it was behind with. */
  drained(): void {
    const bytes = this.#unsent;
    this.#unsent = 0;
    if (bytes > 0 && !this.#over) this.source.consume(bytes);
  }

  /** Gives credit for bytes that the socket has taken; once it is full, when it has drained. */
  #give(bytes: number, mayGoOn: boolean): void {
    if (mayGoOn) this.source.consume(bytes);
    else this.#unsent += bytes;
  }

  #fail(error: EdgeError): void {
    this.cancel();
    this.#receiver.abort(error);
  }
}

/** Writes a copy as a chunk (RFC 9112, section 7.1). Answers what `socket.write` does. */
function writeChunk(socket: Socket, bytes: Buffer): boolean {
  return writeBetween(socket, `${bytes.length.toString(16)}\r\n`, bytes, "\r\n");
}

function connect(stream: Http1Stream): void {
  stream.connect();
}

function uncork(socket: Socket): void {
  socket.uncork();
}
