import { EdgeError } from "../../errors.ts";
import type { HeaderList } from "../../exchange.ts";
import { fieldLines } from "../../message/field-lines.ts";
import { TOKEN } from "../../message/token.ts";

/** A target has no white space, which would end it, and no control characters. */
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;

/**
 * The head of a request to a worker, in latin1 (RFC 9112, section 3). Throws `bad_request` rather than write what a worker
 * could read as more than one request.
 */
export function requestHead(method: string, path: string, headers: HeaderList): string {
  if (!TOKEN.test(method)) throw unsafe("the method is no token");
  if (!TARGET.test(path)) throw unsafe("the request target holds what no target may");
  return `${method} ${path} HTTP/1.1\r\n${requestFields(headers)}\r\n`;
}

/** Fields of a request, or its trailers, as lines. Throws `bad_request` like `requestHead`. */
export function requestFields(headers: HeaderList): string {
  return fieldLines(headers, unsafe);
}

function unsafe(why: string): EdgeError {
  return new EdgeError("bad_request", why);
}
