import type { Socket } from "node:net";
import type { EdgeError } from "../errors.ts";
import type { Exchange, HeaderList } from "../exchange.ts";

/*
 * What http2-proxy is shown in place of Node's request and reply objects: the events and calls it uses, and nothing more.
 * It adds one listener for each event and calls it with the object as `this`, so a property each is all that is needed.
 */

/** What http2-proxy adds; the event it is added for says what it takes. */
export type Listener = (...values: never[]) => void;

/** An address is only asked for to write a Forwarded field, which the edge writes itself. */
const NO_SOCKET = { localAddress: "", remoteAddress: "" } as const;

/** Milliseconds of silence after which the kernel asks whether the worker is still there. */
const KEEP_ALIVE_MS = 60_000;

const CONNECTED = { connecting: false } as const;

/** The client's request. Its body flows by credit, so there is nothing to pause. */
export class RequestStandIn {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly socket: object = NO_SOCKET;
  readonly aborted = false;
  onData: ((chunk: Buffer) => void) | undefined;
  onEnd: (() => void) | undefined;
  onError: ((error: EdgeError) => void) | undefined;

  /** `headers` is what http2-proxy looks at; it gets a copy of its own to edit. */
  constructor({ head }: Exchange, method: string, headers: Readonly<Record<string, string>>) {
    this.method = method;
    this.url = head.path;
    this.httpVersion = head.version;
    this.headers = headers;
  }

  on(event: string, listener: Listener): this {
    if (event === "data") this.onData = listener as (chunk: Buffer) => void;
    else if (event === "end") this.onEnd = listener as () => void;
    else if (event === "error") this.onError = listener as (error: EdgeError) => void;
    return this;
  }

  off(event: string): this {
    if (event === "data") this.onData = undefined;
    else if (event === "end") this.onEnd = undefined;
    else if (event === "error") this.onError = undefined;
    return this;
  }

  pause(): void {}
  resume(): void {}
}

/** The client's reply. http2-proxy only listens for its end. */
export class ReplyStandIn {
  onFinish: (() => void) | undefined;

  on(event: string, listener: Listener): this {
    if (event === "finish") this.onFinish = listener as () => void;
    return this;
  }

  off(event: string): this {
    if (event === "finish") this.onFinish = undefined;
    return this;
  }

  writeHead(): void {}
}

/** It takes names out, and there are none; an object without a prototype is a table, in which that costs least. */
const NO_FIELDS: object = Object.freeze(Object.create(null));

/** The worker's reply. http2-proxy edits the headers it is shown; the real ones are beside it. */
export class WorkerReplyStandIn {
  headers = NO_FIELDS;
  readonly status: number;
  readonly fields: HeaderList;
  /** True when no body follows. */
  readonly isEnd: boolean;
  onError: ((error: EdgeError) => void) | undefined;

  constructor(status: number, fields: HeaderList, isEnd: boolean) {
    this.status = status;
    this.fields = fields;
    this.isEnd = isEnd;
  }

  on(event: string, listener: Listener): this {
    if (event === "error") this.onError = listener as (error: EdgeError) => void;
    return this;
  }

  destroy(): void {}
}

/** The worker's socket, once it has switched protocols. http2-proxy hears of its end; the bytes go past it (see Tunnel). */
export class WorkerSocketStandIn {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setTimeout(0);
  }

  on(event: string, listener: Listener): this {
    this.#socket.on(event, (error: Error) => listener.call(this, error as never));
    return this;
  }

  pipe<T>(to: T): T {
    return to;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  setTimeout(): void {}
  setNoDelay(): void {}

  setKeepAlive(): void {
    this.#socket.setKeepAlive(true, KEEP_ALIVE_MS);
  }
}

/** What the stand-in for the request to the worker is backed by. */
export interface Requester {
  /** Sends the request; called once. */
  open(): void;
  write(chunk: Buffer): void;
  endRequest(): void;
  cancel(): void;
}

/**
 * The request to the worker. It has no `method`: that would make http2-proxy throw away the body of a GET, HEAD or OPTIONS
 * request. Nothing is sent before http2-proxy listens for 'drain', which is the last thing it does: by then it hears errors.
 */
export class WorkerRequestStandIn {
  /** http2-proxy asks whether it is connected, and would wait for it. */
  readonly socket = CONNECTED;
  onError: ((error: EdgeError) => void) | undefined;
  onResponse: ((reply: WorkerReplyStandIn) => void) | undefined;
  onUpgrade: ((reply: object, socket: WorkerSocketStandIn, rest: Buffer) => void) | undefined;

  readonly #requester: Requester;

  constructor(requester: Requester) {
    this.#requester = requester;
  }

  on(event: string, listener: Listener): this {
    if (event === "error") this.onError = listener as (error: EdgeError) => void;
    else if (event === "response") this.onResponse = listener as (reply: WorkerReplyStandIn) => void;
    else if (event === "upgrade") this.onUpgrade = listener as () => void;
    else if (event === "drain") this.#requester.open();
    return this;
  }

  off(): this {
    return this;
  }

  write(chunk: Buffer): boolean {
    this.#requester.write(chunk);
    return true;
  }

  end(): void {
    this.#requester.endRequest();
  }

  destroy(): void {
    this.#requester.cancel();
  }
}
