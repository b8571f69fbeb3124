import type { Exchange, HeaderList, RequestHead } from "../exchange.ts";
import { find, framing, withoutFields } from "../headers.ts";
import { requestHead } from "../upstream/http1/request-head.ts";
import type { WorkerRequest } from "../upstream/http1/stream.ts";
import type { Http1Upstream } from "../upstream/http1/upstream.ts";
import type { Forward } from "./forward.ts";
import type { Attempt } from "./repeatable-body.ts";
import { RepeatableBody } from "./repeatable-body.ts";

/** The request that a worker gets for an exchange; `headers` are those of the client that may pass. Throws `bad_request`. */
export function workerRequest({ head }: Exchange, headers: HeaderList): WorkerRequest {
  const { method, hasBody } = head;
  const length = hasBody ? find(head.headers, "content-length") : undefined;
  return {
    method,
    text: workerText(head, headers),
    body: !hasBody ? "none" : length === undefined ? "chunked" : Number(length),
    upgrade: false,
    repeatable: !hasBody && isSafe(method),
  };
}

/** Sends what follows the head, once the worker is connected. */
export function sendBody(forward: Forward<Http1Upstream>, attempt: Attempt): void {
  const { exchange } = forward;
  const body = (forward.body ??= new RepeatableBody(exchange));
  // Another worker may get the request after all (see Http1Stream), but only without a body.
  if (exchange.head.hasBody) body.forget();
  body.sendTo(attempt);
}

/** The head as it is sent. One that comes again need not be put together again. */
function workerText(head: RequestHead, headers: HeaderList): string {
  const { memo } = head;
  if (memo?.toWorker !== headers) return write(head, headers);
  return (memo.toWorkerText ??= write(head, headers));
}

function write(
  { method, path, authority, hasBody, headers: asked }: RequestHead,
  headers: HeaderList,
): string {
  const length = find(asked, "content-length");
  const framed = framing(method, hasBody, length);
  // Trailers go with chunks only, and so does their announcement.
  const fields = hasBody && length === undefined ? headers : withoutTrailer(headers);
  return requestHead(method, path, ["host", authority, ...framed, ...fields]);
}

function withoutTrailer(headers: HeaderList): HeaderList {
  return find(headers, "trailer") === undefined ? headers : withoutFields(headers, "trailer");
}

/** RFC 9110, section 9.2.1. */
function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}
