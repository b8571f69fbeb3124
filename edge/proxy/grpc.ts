import { formatGrpcTimeout, parseGrpcTimeout } from "../deadline.ts";
import type { FailureCode } from "../errors.ts";
import { EdgeError, toEdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { find, toClient, trailersToClient, trailersToWorker, withoutFields } from "../headers.ts";
import type { Http2Upstream, UpstreamStream } from "../upstream/session.ts";
import type { Forward } from "./forward.ts";

/** A Node timer holds at most this many milliseconds; a longer deadline is the worker's and the client's to keep. */
const MAX_TIMER_MS = 2_147_483_647;

/** Carries a gRPC call to a worker over HTTP/2. Resolves when its trailers are on their way, rejects with an EdgeError. */
export async function forwardGrpc(forward: Forward<Http2Upstream>): Promise<void> {
  const { exchange, upstream } = forward;
  const deadline = readDeadline(forward);
  const call = new Call(forward);
  // Connecting first: a worker that cannot be reached has seen nothing, and another one may be tried.
  await within(deadline, upstream.ready());
  if (exchange.gone) throw new EdgeError("client_gone");
  const stream = upstream.open(requestHeaders(forward, deadline), exchange.head.neverIndexed ?? [], call);
  call.start(stream, deadline);
  return call.done;
}

/** One call under way, as the worker's reply sees it. */
class Call {
  readonly done: Promise<void>;

  readonly #forward: Forward<Http2Upstream>;
  readonly #settle: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  #stream: UpstreamStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #over = false;
  #requestEnded = false;
  #statusSeen = false;

  constructor(forward: Forward<Http2Upstream>) {
    this.#forward = forward;
    this.done = this.#settle.promise;
  }

  start(stream: UpstreamStream, deadline: number | undefined): void {
    const { exchange } = this.#forward;
    this.#stream = stream;
    if (deadline !== undefined) this.#armDeadline(deadline);
    exchange.onSent = (bytes) => stream.consume(bytes);
    stream.onSent = (bytes) => exchange.consume(bytes);
    exchange.receive({
      data: (chunk) => stream.write(chunk),
      end: (trailers) => {
        this.#requestEnded = true;
        stream.end(trailersToWorker(trailers));
      },
      abort: (error) => this.#fail(error),
    });
  }

  inform(status: number, headers: HeaderList): void {
    this.#forward.exchange.inform(status, toClient(headers));
  }

  head(status: number, headers: HeaderList, end: boolean): void {
    if (this.#over) return;
    const isGrpc = status === 200 && (find(headers, "content-type") ?? "").startsWith("application/grpc");
    if (!isGrpc) return this.#fail(notGrpc(status));
    this.#statusSeen = find(headers, "grpc-status") !== undefined;
    if (end && !this.#statusSeen) return this.#fail(withoutStatus());
    try {
      this.#forward.exchange.respond(status, toClient(headers), end);
    } catch (thrown) {
      this.#fail(toEdgeError(thrown));
    }
  }

  data(chunk: Buffer): void {
    if (!this.#over) this.#forward.exchange.write(chunk);
  }

  end(trailers: HeaderList): void {
    if (this.#over) return;
    this.#statusSeen ||= find(trailers, "grpc-status") !== undefined;
    // An HTTP/2 reply may end cleanly and still be cut short: only grpc-status says that the worker was done (grpc-node#2569).
    if (!this.#statusSeen) return this.#fail(withoutStatus());
    this.#finish();
    // The worker has answered before it had all of the request: it shall not wait for the rest.
    if (!this.#requestEnded) this.#stream?.cancel();
    this.#forward.exchange.end(trailersToClient(trailers));
    this.#settle.resolve();
  }

  abort(error: EdgeError): void {
    this.#fail(error);
  }

  #armDeadline(deadline: number): void {
    const ms = deadline - performance.now();
    if (ms > MAX_TIMER_MS) return;
    this.#timer = setTimeout(() => this.#fail(new EdgeError("deadline")), Math.max(0, ms));
  }

  #fail(error: EdgeError): void {
    if (this.#over) return;
    this.#finish();
    this.#stream?.cancel();
    this.#settle.reject(error);
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }
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

/** On performance.now()'s clock; undefined when the client set none. */
function readDeadline({ headers, started }: Forward<Http2Upstream>): number | undefined {
  const value = find(headers, "grpc-timeout");
  if (value === undefined) return undefined;
  const ms = parseGrpcTimeout(value);
  if (ms === undefined) throw new EdgeError("bad_request", "grpc-timeout is malformed");
  return started + ms;
}

async function within<T>(deadline: number | undefined, work: Promise<T>): Promise<T> {
  if (deadline === undefined) return work;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const ms = Math.min(MAX_TIMER_MS, Math.max(0, deadline - performance.now()));
    timer = setTimeout(() => reject(new EdgeError("deadline")), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function requestHeaders(
  { exchange, headers }: Forward<Http2Upstream>,
  deadline: number | undefined,
): HeaderList {
  const { method, authority, path } = exchange.head;
  // te is hop-by-hop, so it was dropped; gRPC servers insist on it (gRPC over HTTP/2, "Requests").
  const fields = [
    ":method",
    method,
    ":scheme",
    "http",
    ":authority",
    authority,
    ":path",
    path,
    "te",
    "trailers",
    ...headers,
  ];
  if (deadline === undefined) return fields;
  // The worker gets the time that is left, so that its deadline and the client's are the same moment.
  return [
    ...withoutFields(fields, "grpc-timeout"),
    "grpc-timeout",
    formatGrpcTimeout(deadline - performance.now()),
  ];
}
