import { EventEmitter } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent, request } from "node:http";
import type { Socket } from "node:net";
import { EdgeError, fromUpstream, isStale, toEdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { fromRaw, toObject } from "../headers.ts";
import { flushHead } from "../node-streams.ts";
import type { Address } from "../parse.ts";
import { connectTo } from "./connect.ts";

/** One HTTP worker: its address and the connections that are kept open to it. */
export class HttpUpstream {
  readonly address: Address;
  readonly connectMs: number;
  /** Bytes that a reply head may have. */
  readonly headBytes: number;
  readonly agent: Agent;

  constructor(
    address: Address,
    { connectMs, headBytes }: { readonly connectMs: number; readonly headBytes: number },
  ) {
    this.address = address;
    this.connectMs = connectMs;
    this.headBytes = headBytes;
    this.agent = new Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE, timeout: IDLE_MS });
    this.agent.createConnection = () => connectTo(address, connectMs);
  }

  close(): void {
    this.agent.destroy();
  }
}

/** Idle connections kept to one worker. */
const MAX_IDLE = 256;

/** Milliseconds an idle connection is kept: less than the 5 s after which Node's HTTP servers close theirs. */
const IDLE_MS = 4000;

export interface WorkerRequest {
  readonly method: string;
  readonly path: string;
  /** Complete: host, framing and all. */
  readonly headers: HeaderList;
  /** Asked when the request ends. */
  readonly trailers: () => HeaderList;
  readonly inform: (status: number, headers: HeaderList) => void;
  /** True when sending it twice does no harm: a safe method (RFC 9110, section 9.2.1) without a body. */
  readonly repeatable: boolean;
  /** Given for a WebSocket handshake, which has a connection of its own. Judges the worker's 101: throws to refuse it. */
  readonly upgraded?: (headers: HeaderList) => void;
  /** Called once connected, before anything is sent. */
  readonly connected?: () => void;
}

/** What http2-proxy is given as the worker's reply. It edits the headers it is shown; these are for it alone, or the Agent would lose its `keep-alive` hint. */
export class WorkerReply extends EventEmitter {
  readonly headers = {};
  readonly message: IncomingMessage;

  constructor(message: IncomingMessage) {
    super();
    this.message = message;
    message.on("error", (thrown) => this.emit("error", fromUpstream(thrown)));
  }

  get status(): number {
    return this.message.statusCode ?? 0;
  }

  destroy(): void {
    if (!this.message.complete) this.message.destroy();
  }
}

/**
 * What http2-proxy is given as the request to the worker: it has the events and calls http2-proxy uses, and not the
 * `method`, which would make http2-proxy throw away the body of a GET, HEAD or OPTIONS request.
 *
 * Nothing is sent before http2-proxy asks for 'socket', which is the last thing it does: by then it hears errors.
 */
export class UpstreamRequest extends EventEmitter {
  readonly #upstream: HttpUpstream;
  readonly #wanted: WorkerRequest;
  #request: ClientRequest | undefined;
  #answered = false;
  #destroyed = false;

  constructor(upstream: HttpUpstream, wanted: WorkerRequest) {
    super();
    this.#upstream = upstream;
    this.#wanted = wanted;
    this.on("newListener", (event) => {
      if (event === "socket")
        this.#request ??= this.#send(wanted.upgraded === undefined ? upstream.agent : undefined);
    });
  }

  write(chunk: Buffer): boolean {
    return this.#request?.write(chunk) ?? false;
  }

  end(): void {
    const trailers = this.#wanted.trailers();
    if (trailers.length > 0) this.#request?.addTrailers(toObject(trailers) as Record<string, string>);
    this.#request?.end();
  }

  /** Gives the request up; harmless once the reply has been read to its end, whose connection is then kept. */
  destroy(): void {
    this.#destroyed = true;
    this.#request?.destroy();
  }

  #send(agent: Agent | undefined): ClientRequest {
    const { address, connectMs, headBytes } = this.#upstream;
    const outgoing = request({
      method: this.#wanted.method,
      path: this.#wanted.path,
      headers: [...this.#wanted.headers],
      setDefaultHeaders: false,
      maxHeaderSize: headBytes,
      ...(agent === undefined
        ? {
            createConnection: () =>
              connectTo(address, connectMs, { allowHalfOpen: this.#wanted.upgraded !== undefined }),
          }
        : { agent }),
    });
    outgoing.on("socket", (socket: Socket) => this.#onSocket(socket));
    outgoing.on("drain", () => this.emit("drain"));
    outgoing.on("information", ({ statusCode, rawHeaders }: { statusCode: number; rawHeaders: string[] }) =>
      this.#wanted.inform(statusCode, fromRaw(rawHeaders)),
    );
    outgoing.on("response", (reply: IncomingMessage) => {
      this.#answered = true;
      this.emit("response", new WorkerReply(reply));
    });
    outgoing.on("upgrade", (reply: IncomingMessage, socket: Socket, head: Buffer) => {
      this.#answered = true;
      try {
        if (this.#wanted.upgraded === undefined) throw new EdgeError("upstream_garbage");
        this.#wanted.upgraded(fromRaw(reply.rawHeaders));
        this.emit("upgrade", reply, socket, head);
      } catch (thrown) {
        socket.destroy();
        this.emit("error", toEdgeError(thrown));
      }
    });
    outgoing.on("error", (thrown) => this.#onError(outgoing, thrown));
    // Node may end a request without a word, such as a CONNECT that nobody listens for.
    outgoing.on("close", () => {
      if (outgoing === this.#request && !this.#answered) this.#onError(outgoing, undefined);
    });
    if (this.#wanted.repeatable) outgoing.end();
    else flushHead(outgoing);
    return outgoing;
  }

  #onSocket(socket: Socket): void {
    const connected = (): void => {
      this.#wanted.connected?.();
      this.emit("socket", { connecting: false });
    };
    if (socket.connecting) socket.once("connect", connected);
    else connected();
  }

  /**
   * A kept connection may have been closed by the worker just as it was used again. What is repeatable is sent once
   * more, on a new connection; http2-proxy does not do so itself.
   */
  #onError(failed: ClientRequest, thrown: unknown): void {
    if (this.#destroyed || failed !== this.#request) return;
    const stale = failed.reusedSocket && !this.#answered && isStale(thrown);
    if (stale && this.#wanted.repeatable) {
      this.#request = this.#send(undefined);
      return;
    }
    this.emit("error", fromUpstream(thrown));
  }
}
