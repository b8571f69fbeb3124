import type { Exchange, HeaderList } from "../exchange.ts";
import { find, framing, withoutFields } from "../headers.ts";
import type { WorkerRequest } from "../upstream/http1/stream.ts";

/** The request that a worker gets for an exchange; `headers` are those of the client that may pass. */
export function workerRequest({ head }: Exchange, headers: HeaderList): WorkerRequest {
  const { method, path, authority, hasBody } = head;
  const length = find(head.headers, "content-length");
  const framed = framing(method, hasBody, length);
  const chunked = hasBody && length === undefined;
  // Trailers go with chunks only, and so does their announcement.
  const fields = chunked ? headers : withoutTrailer(headers);
  return {
    method,
    path,
    headers: ["host", authority, ...framed, ...fields],
    body: chunked ? "chunked" : hasBody ? Number(length) : "none",
    upgrade: false,
    repeatable: !hasBody && isSafe(method),
  };
}

function withoutTrailer(headers: HeaderList): HeaderList {
  return find(headers, "trailer") === undefined ? headers : withoutFields(headers, "trailer");
}

/** RFC 9110, section 9.2.1. */
function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}
