import type { HeaderList } from "../../exchange.ts";
import type { ReplyBody } from "../../message/body-reader.ts";
import { garbage } from "./garbage.ts";

/** Milliseconds an idle connection is kept of which the worker says nothing: less than the 5 s after which many servers close theirs. */
const IDLE_MS = 4000;
/** The same, at most, where the worker promises more: a burst after a quiet time finds them open. */
const MAX_IDLE_MS = 60_000;

/** How a reply ends, and what its connection is good for afterwards. */
export interface ReplyFraming {
  readonly body: ReplyBody;
  /** Milliseconds the connection may stay idle and still be used again; 0 when it must not be. */
  readonly idleMs: number;
}

/** What was asked, as far as it changes how the reply is read. */
export interface Asked {
  readonly method: string;
  /** True when a 101 is welcome. */
  readonly upgrade: boolean;
}

/** Where a final reply ends (RFC 9112, section 6.3). Two readings that differ are refused, never chosen from. */
export function replyFraming(
  minorVersion: number,
  status: number,
  headers: HeaderList,
  method: string,
): ReplyFraming {
  let length: string | undefined;
  let coding: string | undefined;
  // RFC 9112, section 9.3: HTTP/1.0 closes unless it says otherwise, and then it may be wrong about it.
  let mayStay = minorVersion > 0;
  let promisedMs: number | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] ?? "";
    switch (headers[i]) {
      case "content-length":
        if (length !== undefined) throw garbage("more than one content-length");
        length = value;
        break;
      case "transfer-encoding":
        if (coding !== undefined) throw garbage("more than one transfer-encoding");
        coding = value;
        break;
      case "connection":
        if (saysClose(value)) mayStay = false;
        break;
      case "keep-alive":
        promisedMs = Math.min(promisedMs ?? MAX_IDLE_MS, promisedIdleMs(value));
        break;
      default:
    }
  }
  checkCoding(coding, length, minorVersion);
  const idleMs = mayStay ? (promisedMs ?? IDLE_MS) : 0;
  const bytes = length === undefined ? 0 : readLength(length);
  if (method === "HEAD" || status === 204 || status === 304) {
    // A worker that announces a body may send it although none belongs here, and later: it would be the next request's reply.
    return { body: "none", idleMs: coding !== undefined || bytes > 0 ? 0 : idleMs };
  }
  if (coding !== undefined) return { body: "chunked", idleMs };
  if (length === undefined) return { body: "until-close", idleMs: 0 };
  return { body: bytes === 0 ? "none" : bytes, idleMs };
}

/** RFC 9112, section 6.1. Any other coding would have to be undone here, or be lost on the way to the client. */
function checkCoding(coding: string | undefined, length: string | undefined, minorVersion: number): void {
  if (coding === undefined) return;
  if (length !== undefined) throw garbage("a content-length together with a transfer-encoding");
  if (minorVersion === 0) throw garbage("a transfer-encoding in an HTTP/1.0 reply");
  if (coding.toLowerCase() !== "chunked") throw garbage("a transfer-encoding other than chunked");
}

/** Digits only, and few enough to be counted exactly (RFC 9110, section 8.6). */
function readLength(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw garbage("a content-length that is no plain number");
  return Number(text);
}

function saysClose(value: string): boolean {
  if (value === "keep-alive") return false;
  return value.split(",").some((option) => option.trim().toLowerCase() === "close");
}

/** `timeout=N` is in seconds; one is left for what is on its way while the worker closes. */
function promisedIdleMs(value: string): number {
  const seconds = /(?:^|[\s,;])timeout\s*=\s*"?([0-9]{1,9})/i.exec(value)?.[1];
  return seconds === undefined ? IDLE_MS : Math.max(0, (Number(seconds) - 1) * 1000);
}
