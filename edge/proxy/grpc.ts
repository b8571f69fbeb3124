import { formatGrpcTimeout, parseGrpcTimeout } from "./deadline.ts";
import type { FailureCode } from "../errors.ts";
import { EdgeError, toEdgeError } from "../errors.ts";
import type { Exchange, HeaderList, RequestHead } from "../exchange.ts";
import { find, interimToClient, toClient, trailersToClient, withoutFields } from "../headers.ts";
import { readGrpcStatus } from "../observe/outcomes.ts";
import { Recall } from "../recall.ts";
import type { Attempt } from "./repeatable-body.ts";
import { RepeatableBody } from "./repeatable-body.ts";
import type { Origin } from "../upstream/origin.ts";
import type { Http2Upstream } from "../upstream/session.ts";
import type { ReplyReceiver, UpstreamStream } from "../upstream/stream.ts";
import { within } from "../within.ts";
import type { Forward } from "./forward.ts";

/** A Node timer holds at most this many milliseconds; a longer deadline is the worker's and the client's to keep. */
const MAX_TIMER_MS = 2_147_483_647;

/** Carries a gRPC call to a worker over HTTP/2; done when its trailers are on their way. */
export function forwardGrpc(forward: Forward<Http2Upstream>): void {
  checkCall(forward);
  new Call(forward, readDeadline(forward)).begin();
}

const NONE: readonly string[] = [];

/** One call under way, as the worker's reply sees it. */
class Call implements ReplyReceiver, Attempt {
  /** On performance.now()'s clock; undefined when the client set none. */
  readonly deadline: number | undefined;

  readonly #forward: Forward<Http2Upstream>;
  readonly #exchange: Exchange;
  #worker: UpstreamStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #over = false;
  #statusSeen = false;

  constructor(forward: Forward<Http2Upstream>, deadline: number | undefined) {
    this.#forward = forward;
    this.#exchange = forward.exchange;
    this.deadline = deadline;
  }

  /** Where it goes; only once it has started. */
  get worker(): UpstreamStream {
    if (this.#worker === undefined) throw new Error("the call has not started");
    return this.#worker;
  }

  /** Goes on as soon as the worker takes another call: at once, or when others have left it room, which they all hear of. */
  begin(): void {
    if (this.#over) return;
    const { upstream } = this.#forward;
    if (upstream.isReady) return this.#start();
    // Connecting first: a worker that cannot be reached has seen nothing, and another one may be tried.
    this.#wait(upstream)
      .then(() => this.begin())
      .catch((thrown: unknown) => this.abort(toEdgeError(thrown)));
  }

  /** Nobody reads the request meanwhile, and so nobody but the exchange itself could tell that the client has left. */
  async #wait(upstream: Http2Upstream): Promise<void> {
    const exchange = this.#exchange;
    const { onClosed } = exchange;
    const leaving = new AbortController();
    exchange.onClosed = (closed) => {
      onClosed(closed);
      this.abort(new EdgeError("client_gone"));
      leaving.abort();
    };
    try {
      await untilReady(upstream, this.deadline, leaving.signal);
    } finally {
      exchange.onClosed = onClosed;
      leaving.abort();
    }
  }

  #start(): void {
    const exchange = this.#exchange;
    if (exchange.gone) return this.abort(new EdgeError("client_gone"));
    // More has come since the last attempt than is kept for another.
    if (this.#forward.body?.isWhole === false) return this.#notSent();
    const fields =
      this.deadline === undefined ? this.#forward.headers : timed(this.#forward.headers, this.deadline);
    const { head } = exchange;
    const { upstream } = this.#forward;
    const stream = upstream.open(
      pseudoFields(head, upstream.origin),
      fields,
      head.neverIndexed ?? NONE,
      this,
    );
    this.#worker = stream;
    if (this.deadline !== undefined) this.#armDeadline(this.deadline);
    exchange.source = stream;
    (this.#forward.body ??= new RepeatableBody(exchange)).sendTo(this);
  }

  inform(status: number, headers: HeaderList, neverIndexed?: readonly string[]): void {
    if (this.#over) return;
    this.#forward.body?.forget();
    this.#exchange.inform(status, interimToClient(headers), neverIndexed);
  }

  head(status: number, headers: HeaderList, end: boolean, neverIndexed: readonly string[] = NONE): void {
    if (this.#over) return;
    this.#forward.body?.forget();
    const reply = REPLIES.of(headers);
    if (status !== 200 || !reply.isGrpc) return this.abort(notGrpc(status));
    this.#statusSeen = reply.status !== undefined;
    this.#exchange.grpcStatus = reply.status;
    if (end && !this.#statusSeen) return this.abort(withoutStatus());
    try {
      this.#exchange.respond(status, reply.toClient, end, neverIndexed);
    } catch (thrown) {
      this.abort(toEdgeError(thrown));
    }
  }

  data(chunk: Buffer): void {
    if (!this.#over) this.#exchange.write(chunk);
  }

  end(trailers: HeaderList, neverIndexed?: readonly string[]): void {
    if (this.#over) return;
    const last = TRAILERS.of(trailers);
    // An HTTP/2 reply may end cleanly and still be cut short: only grpc-status says that the worker was done (grpc-node#2569).
    if (!this.#statusSeen && last.status === undefined) return this.abort(withoutStatus());
    this.#finish();
    // The worker has answered, perhaps before it had all of the request: it shall not wait for the rest.
    if (this.#worker?.isSent === false) this.#worker.cancel();
    this.#exchange.grpcStatus ??= last.status;
    // Only what is behind the exchange knows whether this makes a whole reply (grpc-web/exchange.ts).
    try {
      this.#exchange.end(last.toClient, neverIndexed);
    } catch (thrown) {
      return this.#forward.done(toEdgeError(thrown));
    }
    this.#forward.done(undefined);
  }

  /** Nothing comes of this call any more, whoever's fault it is. */
  abort(error: EdgeError): void {
    if (this.#over) return;
    this.#finish();
    this.#worker?.cancel();
    this.#forward.done(this.#mayRepeat(error) ? error : new EdgeError("upstream_reset", error.message));
  }

  #notSent(): void {
    this.#finish();
    this.#forward.notSent(
      new EdgeError("upstream_reset", "the worker refused a request that was too large to be sent again"),
    );
  }

  /** False for what the worker has not processed, but can no longer be sent to another. */
  #mayRepeat(error: EdgeError): boolean {
    return error.code !== "upstream_unprocessed" || this.#forward.body?.isWhole !== false;
  }

  #armDeadline(deadline: number): void {
    const ms = deadline - performance.now();
    if (ms > MAX_TIMER_MS) return;
    this.#timer = setTimeout(() => this.abort(new EdgeError("deadline")), Math.max(0, ms));
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }
}

/** What a reply's head or trailers mean. */
interface ReplyFields {
  readonly isGrpc: boolean;
  /** Its grpc-status; undefined when it has none. */
  readonly status: number | undefined;
  readonly toClient: HeaderList;
}

const REPLIES = new Recall<HeaderList, ReplyFields>((headers) => ({
  isGrpc: (find(headers, "content-type") ?? "").startsWith("application/grpc"),
  status: statusIn(headers),
  // Should the worker not keep it, the client still shall be able to read the status that says so.
  toClient: withoutFields(toClient(headers), "content-length"),
}));

const TRAILERS = new Recall<HeaderList, ReplyFields>((trailers) => ({
  isGrpc: true,
  status: statusIn(trailers),
  toClient: trailersToClient(trailers),
}));

function statusIn(fields: HeaderList): number | undefined {
  const status = find(fields, "grpc-status");
  return status === undefined ? undefined : readGrpcStatus(status);
}

/** A reply that is no gRPC, as the status that gRPC clients would make of it (grpc/doc/http-grpc-status-mapping.md). */
function notGrpc(status: number): EdgeError {
  const codes: Readonly<Record<number, FailureCode>> = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not_supported",
    429: "upstream_reset",
    502: "upstream_reset",
    503: "upstream_reset",
    504: "upstream_reset",
  };
  return new EdgeError(
    codes[status] ?? "upstream_garbage",
    `the worker answered HTTP ${status}, and not gRPC`,
  );
}

function withoutStatus(): EdgeError {
  return new EdgeError("upstream_reset", "the worker ended the reply without a grpc-status");
}

/** What names no host, servers take for malformed and may not bear for long: nobody shall have a worker left out by asking so. */
function checkCall({ exchange, upstream: { origin } }: Forward<Http2Upstream>): void {
  // gRPC over HTTP/2, "Requests". A worker would answer an error, which would speak against it.
  if (exchange.head.method !== "POST") throw new EdgeError("bad_request", "a gRPC call is a POST");
  if (exchange.head.authority === "" && origin === undefined)
    throw new EdgeError("bad_request", "the call names no host");
}

/** On performance.now()'s clock; undefined when the client set none. */
function readDeadline({ headers, started }: Forward<Http2Upstream>): number | undefined {
  const value = find(headers, "grpc-timeout");
  if (value === undefined) return undefined;
  const ms = parseGrpcTimeout(value);
  if (ms === undefined) throw new EdgeError("bad_request", "grpc-timeout is malformed");
  return started + ms;
}

/** Resolves when the worker takes another call, or the caller is `leaving`; rejects with `deadline` when that comes first. */
async function untilReady(
  upstream: Http2Upstream,
  deadline: number | undefined,
  leaving: AbortSignal,
): Promise<void> {
  const ready = upstream.ready(leaving);
  if (deadline === undefined) return ready;
  const ms = Math.min(MAX_TIMER_MS, Math.max(0, deadline - performance.now()));
  if (!(await within(ms, ready))) throw new EdgeError("deadline");
}

function pseudoFields(head: RequestHead, origin: Origin | undefined): HeaderList {
  const { memo } = head;
  const credentials = origin?.credentials.fields;
  if (memo?.pseudo !== undefined && memo.pseudoWith === credentials) return memo.pseudo;
  const { method, path } = head;
  const scheme = origin === undefined ? "http" : "https";
  const authority = origin?.authority ?? head.authority;
  // te is hop-by-hop, so it was dropped; gRPC servers insist on it (gRPC over HTTP/2, "Requests").
  // prettier-ignore
  const pseudo = [":method", method, ":scheme", scheme, ":authority", authority, ":path", path, "te", "trailers"];
  if (credentials !== undefined) pseudo.push(...credentials);
  if (memo === undefined) return pseudo;
  memo.pseudoWith = credentials;
  memo.pseudo = pseudo;
  return pseudo;
}

/** The worker gets the time that is left, so that its deadline and the client's are the same moment. */
function timed(headers: HeaderList, deadline: number): HeaderList {
  const fields = withoutFields(headers, "grpc-timeout");
  fields.push("grpc-timeout", formatGrpcTimeout(deadline - performance.now()));
  return fields;
}
