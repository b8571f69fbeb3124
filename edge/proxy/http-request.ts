import { EdgeError } from "../errors.ts";
import type { Exchange, HeaderList, RequestHead } from "../exchange.ts";
import { find, findAll, framing, usuallyHasBody, withoutFields } from "../headers.ts";
import { requestHead } from "../upstream/http1/request-head.ts";
import type { WorkerRequest } from "../upstream/http1/stream.ts";
import type { Http1Upstream } from "../upstream/http1/upstream.ts";
import type { Origin } from "../upstream/origin.ts";
import type { Forward } from "./forward.ts";
import type { Attempt } from "./repeatable-body.ts";
import { RepeatableBody } from "./repeatable-body.ts";

/**
 * The request that a worker gets for an exchange; `headers` are those of the client that may pass, `origin` what the worker is
 * called. Throws `bad_request`, and `identity_unavailable`.
 */
export function workerRequest(
  { head }: Exchange,
  headers: HeaderList,
  origin: Origin | undefined,
): WorkerRequest {
  const { method, hasBody } = head;
  const length = hasBody ? find(head.headers, "content-length") : undefined;
  return {
    method,
    text: workerText(head, headers, origin),
    body: !hasBody ? "none" : length === undefined ? "chunked" : Number(length),
    upgrade: false,
    isLast: hasBody && mayBeLeftUnread(head),
    repeatable: !hasBody && isSafe(method),
  };
}

const NOTHING: HeaderList = [];

/** Sends what follows the head, once the worker is connected. */
export function sendBody(forward: Forward<Http1Upstream>, attempt: Attempt): void {
  const { exchange } = forward;
  const body = (forward.body ??= new RepeatableBody(exchange));
  // Another worker may get the request after all (see Http1Stream), but only without a body.
  if (exchange.head.hasBody) body.forget();
  body.sendTo(attempt);
}

/** The head as it is sent. One that comes again need not be put together again. */
function workerText(head: RequestHead, headers: HeaderList, origin: Origin | undefined): string {
  const { memo } = head;
  const credentials = origin?.credentials.fields;
  if (memo?.toWorker !== headers) return write(head, headers, origin?.authority, credentials);
  if (memo.toWorkerText !== undefined && memo.textWith === credentials) return memo.toWorkerText;
  memo.textWith = credentials;
  memo.toWorkerText = write(head, headers, origin?.authority, credentials);
  return memo.toWorkerText;
}

function write(
  head: RequestHead,
  headers: HeaderList,
  host: string = head.authority,
  credentials: HeaderList = NOTHING,
): string {
  const { method, path, hasBody, headers: asked } = head;
  const length = find(asked, "content-length");
  if (findAll(headers, "expect").some((value) => value.toLowerCase() !== "100-continue"))
    // HTTP/1.1 has refused it; HTTP/2 lets it through, and nobody here could say what a worker makes of it.
    throw new EdgeError("expectation_failed");
  const framed = framing(method, hasBody, length);
  // Trailers go with chunks only, and so does their announcement; nothing is to be expected of a request without a body.
  let fields = hasBody && length === undefined ? headers : without(headers, "trailer");
  if (!hasBody) fields = without(fields, "expect");
  else if (mayBeLeftUnread(head)) framed.push("connection", "close");
  return requestHead(method, path, ["host", host, ...framed, ...fields, ...credentials]);
}

function without(headers: HeaderList, name: string): HeaderList {
  return find(headers, name) === undefined ? headers : withoutFields(headers, name);
}

/**
 * True when a worker might answer and take the body for the next request: where bodies are unusual (RFC 9110, section 9.3.1), and
 * where the client said it would wait for a 100, which the worker need not send. No request may then follow on that connection.
 */
function mayBeLeftUnread({ method, headers }: RequestHead): boolean {
  return !usuallyHasBody(method) || find(headers, "expect") !== undefined;
}

/** RFC 9110, section 9.2.1. */
function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}
