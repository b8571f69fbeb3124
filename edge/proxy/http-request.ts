import type { Exchange, HeaderList, RequestHead } from "../exchange.ts";
import { find, framing, withoutFields } from "../headers.ts";
import { requestHead } from "../upstream/http1/request-head.ts";
import type { WorkerRequest } from "../upstream/http1/stream.ts";

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
