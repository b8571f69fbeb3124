import { EdgeError } from "../errors.ts";
import type { HeaderList, RequestHead } from "../exchange.ts";
import { find } from "../headers.ts";
import type { ReplyBody } from "../message/body-reader.ts";
import { fieldLine, fieldLines } from "../message/field-lines.ts";
import { Recall } from "../recall.ts";
import { dateLine } from "./date.ts";
import { statusLine } from "./reasons.ts";

/** How a reply begins. */
export interface ReplyStart {
  readonly status: number;
  readonly method: string;
  readonly version: string;
  /** True when nothing follows the head. */
  readonly end: boolean;
  readonly body: ReplyBody;
  /** As of `replyHead`. */
  readonly head: string;
}

/** The last start that each list of fields has had. */
const STARTS = new Recall<HeaderList, { start?: ReplyStart }>(() => ({}));

/**
 * Where a reply will end, and its head. A worker's replies are a few lists of fields again and again, and what is the same in all
 * else begins as it did before. Throws `upstream_garbage`.
 */
export function replyStart(
  status: number,
  headers: HeaderList,
  { method, version }: RequestHead,
  end: boolean,
): ReplyStart {
  const known = STARTS.of(headers);
  const { start } = known;
  const isSame = start?.status === status && start.method === method;
  if (isSame && start.version === version && start.end === end) return start;
  const body = replyBody(status, headers, method, version, end);
  const made = { status, method, version, end, body, head: replyHead(status, headers, body, method) };
  // Else the time of day is in it.
  if (find(headers, "date") !== undefined) known.start = made;
  return made;
}

/** Where a reply will end (RFC 9112, section 6.3). `end` is true when nothing follows its head. Throws `upstream_garbage`. */
function replyBody(
  status: number,
  headers: HeaderList,
  method: string,
  version: string,
  end: boolean,
): ReplyBody {
  if (end || method === "HEAD" || status === 204 || status === 304) return "none";
  const length = find(headers, "content-length");
  if (length === undefined) return version === "1.0" ? "until-close" : "chunked";
  if (!/^[0-9]{1,15}$/.test(length)) throw unsafe();
  return Number(length);
}

/**
 * A reply's head without the empty line that ends it, in latin1. Nothing but its own framing says where the reply ends, and
 * what could be read as two replies is refused. Throws `upstream_garbage`.
 */
export function replyHead(status: number, headers: HeaderList, body: ReplyBody, method: string): string {
  let text = statusLine(status);
  let isDated = false;
  let isCounted = false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? "";
    if (name === "transfer-encoding") throw unsafe();
    // Trailers go with chunks only, and so does their announcement.
    if (name === "trailer" && body !== "chunked") continue;
    if (name === "date") isDated = true;
    else if (name === "content-length") isCounted = true;
    text += fieldLine(name, headers[i + 1] ?? "", unsafe);
  }
  if (!isDated) text += dateLine();
  if (body === "chunked") text += "transfer-encoding: chunked\r\n";
  else if (body === "none" && !isCounted && mayBeCounted(status, method)) text += "content-length: 0\r\n";
  return text;
}

/** An interim reply (1xx). Throws `upstream_garbage`. */
export function interimHead(status: number, headers: HeaderList): string {
  return `${statusLine(status)}${replyFields(headers)}\r\n`;
}

/** Fields of a reply, or its trailers, as lines. Throws `upstream_garbage`. */
export function replyFields(headers: HeaderList): string {
  return fieldLines(headers, unsafe);
}

/** RFC 9110, section 8.6: 204 must not have a length, and what HEAD and 304 stand for has one of its own. */
function mayBeCounted(status: number, method: string): boolean {
  return status !== 204 && status !== 304 && method !== "HEAD";
}

function unsafe(): EdgeError {
  return new EdgeError("upstream_garbage", "the worker's reply cannot be sent over HTTP/1.1");
}
