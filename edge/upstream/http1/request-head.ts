import { EdgeError } from "../../errors.ts";
import type { HeaderList } from "../../exchange.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** A target has no white space, which would end it, and no control characters. */
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;
/**
 * What must not be in a value. Not only CR, LF and NUL: a character beyond one byte would be cut to its last one, and
 * U+010A become a line feed.
 */
const UNSAFE = /[^\t\x20-\x7e\x80-\xff]/;

/**
 * The head of a request to a worker, in latin1 (RFC 9112, section 3). Throws `bad_request` rather than write what a worker
 * could read as more than one request.
 */
export function requestHead(method: string, path: string, headers: HeaderList): string {
  if (!TOKEN.test(method)) throw new EdgeError("bad_request", "the method is no token");
  if (!TARGET.test(path)) throw new EdgeError("bad_request", "the request target holds what no target may");
  return `${method} ${path} HTTP/1.1\r\n${fieldLines(headers)}\r\n`;
}

/** Field lines with their CRLFs. Throws `bad_request` like `requestHead`. */
export function fieldLines(headers: HeaderList): string {
  let text = "";
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    const value = headers[i + 1] ?? "";
    if (UNSAFE.test(value)) throw new EdgeError("bad_request", "a field value holds what no value may");
    if (!TOKEN.test(name)) throw new EdgeError("bad_request", "a field name is no token");
    text += `${name}: ${value}\r\n`;
  }
  return text;
}
