import type { EdgeError } from "./errors.ts";
import type { SocketEnd } from "./port/socket-end.ts";

/** Header fields as a flat `[name, value, name, value, …]` list: order and repetition survive, names are lower-case. */
export type HeaderList = readonly string[];

/** A "preflight" is a browser's question whether a page may make a gRPC-Web call. */
export type Route = "http" | "grpc" | "grpc-web" | "preflight" | "websocket";

/** Who a verified token belongs to. */
export interface Caller {
  readonly email: string;
  readonly subject: string;
}

/**
 * What was worked out from a request head. A client whose header block comes again (HTTP/2) gets the same head again, and so
 * nothing is worked out twice. Each slot is its writer's alone; all of it is true for one connection only.
 */
export class HeadMemo {
  route: Route | undefined;
  token: string | undefined;
  /** The fields a worker gets, for this caller. */
  caller: Caller | undefined;
  toWorker: HeaderList | undefined;
  /** The pseudo-header fields a gRPC worker gets, and the credentials that are among them. */
  pseudo: HeaderList | undefined;
  pseudoWith: HeaderList | undefined;
  /** The request's head as an HTTP/1.1 worker gets it, from `toWorker`, and the credentials that are in it. */
  toWorkerText: string | undefined;
  textWith: HeaderList | undefined;
  /** The part of a log line that says the same each time, for this caller. */
  logCaller: Caller | undefined;
  logText: Buffer | undefined;
}

/** What a client asked, whatever carried it. Pseudo-header fields and `host` are lifted out of `headers`. */
export interface RequestHead {
  readonly version: "1.0" | "1.1" | "2";
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  /** "websocket" for an HTTP/1.1 upgrade (RFC 6455) and for an extended CONNECT (RFC 8441). */
  readonly protocol: string | undefined;
  readonly headers: HeaderList;
  /** False when the head says that no body follows. */
  readonly hasBody: boolean;
  /** Names of fields that no hop may put into a compression table (RFC 7541, section 7.1.3). */
  readonly neverIndexed?: readonly string[];
  /** Present where the same head may come again. */
  readonly memo?: HeadMemo;
}

/** The two ends of the client's connection. */
export interface Peer {
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly localPort: number;
}

/**
 * Takes one direction of a message. `end` comes at most once and nothing but `abort` follows it;
 * `abort` may come at any time until the exchange is over, and nothing follows it.
 */
export interface BodyReceiver {
  /** The chunk's memory is used again after the call: who keeps bytes copies them. */
  data(chunk: Buffer): void;
  /** `neverIndexed` as in RequestHead, of the trailers. */
  end(trailers: HeaderList, neverIndexed?: readonly string[]): void;
  abort(error: EdgeError): void;
  /** Bytes of memory of what it has been given and has not got rid of: asked for where memory runs short (see HeldGuard). */
  readonly held?: number;
}

/** Where bytes come from. It stops at a fixed number of them until they are given back as credit. */
export interface Source {
  /** Gives back credit for `bytes` that have left the edge. */
  consume(bytes: number): void;
}

/** The source of what nobody wants credit for. */
export const NO_SOURCE: Source = { consume() {} };

/** A side that bytes come from. */
export interface Incoming extends Source {
  /** Starts delivery; called at most once. Until then the sender is held back by flow control. */
  receive(receiver: BodyReceiver): void;
}

/** A side that bytes go to. */
export interface Outgoing {
  /** Where that comes from which is written: it gets credit for all that has left. Whoever writes sets it. */
  source: Source;
  /** Sends or copies: the chunk is the caller's again when this returns. */
  write(chunk: Buffer): void;
  /** Bytes of memory of what was written and has not left. */
  readonly waiting?: number;
  /** Throws an EdgeError where trailers do not make a whole message of what was written. */
  end(trailers: HeaderList, neverIndexed?: readonly string[]): void;
}

/**
 * One request and its reply as the client sees them. Bodies are moved by credit, not by streams: who receives bytes
 * says when they have left, and only then may more come.
 *
 * A reply is `inform`* then `respond`, `write`*, `end`; or `accept`, which opens a tunnel whose two directions are
 * then `receive` and `write`; or `fail`. Calls after the reply is over are ignored.
 */
export interface Exchange extends Incoming, Outgoing {
  readonly head: RequestHead;
  readonly peer: Peer;
  /** The status sent, undefined until one was. */
  readonly status: number | undefined;
  /** True once the client can take no more: it left, or it reset the stream. */
  readonly gone: boolean;
  /** Bytes of request body that have come, and of reply body handed to the transport. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** The status in the worker's gRPC reply, for metrics and logs; who forwards it sets it. */
  grpcStatus: number | undefined;
  /** Where it stands among those under way; for the Lifecycle alone. */
  place: number;
  /** Called once, when the last byte of the reply has left, or can no longer leave. */
  onClosed: (exchange: Exchange) => void;

  /** Sends an interim reply (1xx, not 101); dropped where the client's version has none (HTTP/1.0). */
  inform(status: number, headers: HeaderList, neverIndexed?: readonly string[]): void;
  /** Sends the reply head; with `end` the reply is complete. `neverIndexed` as in RequestHead. */
  respond(status: number, headers: HeaderList, end: boolean, neverIndexed?: readonly string[]): void;
  /** Accepts a WebSocket: 101 on HTTP/1.1, 200 on HTTP/2. */
  accept(headers: HeaderList): void;
  /**
   * Ends the exchange with a failure, in the shape its protocol expects. A reply that has begun ends in gRPC trailers
   * or in a reset, never in what looks like a clean end.
   */
  fail(error: EdgeError): void;
  /** Takes back a reply of which nothing has left, so that it can become another one; false when it is too late for that. */
  takeBack?(): boolean;
}

/** Holds bytes for who sent them or for who is to get them, and can be ended. */
export interface Holder {
  /** Bytes of memory. */
  readonly held: number;
  /** Lets go of all of it, for good: its client loses the connection. */
  shed(): void;
}

/** Serves one HTTP version on connections that it is handed. */
export interface ProtocolServer {
  /** What is open: connections, and streams that have a number of their own. */
  open(): { readonly connections: number; readonly streams: number };
  /** Takes over a connection and what has been read from it, valid during the call only. */
  accept(end: SocketEnd, first: Buffer): void;
  /** Its connections. */
  holders(): Iterable<Holder>;
  /** Lets running exchanges finish and takes no further ones. Resolves when the last connection is closed. */
  drain(): Promise<void>;
  /** Ends every connection at once. */
  destroy(): void;
}

/** What a protocol server calls for each request. */
export type Handler = (exchange: Exchange) => void;
