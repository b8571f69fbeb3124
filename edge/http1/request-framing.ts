import { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import type { RequestBody } from "../message/body-reader.ts";
import { malformed } from "./malformed.ts";
import type { RequestLine } from "./request-line.ts";

/** What the fields of a request say of its connection, and of where it ends. */
export interface RequestFraming {
  /** "" where HTTP/1.0 names none. */
  readonly host: string;
  readonly body: RequestBody;
  /** True when no request follows on this connection. */
  readonly isLast: boolean;
  /** True when the client holds its body back until it hears 100. */
  readonly awaitsContinue: boolean;
  /** True when the client asks for a WebSocket in place of a reply. */
  readonly isWebSocket: boolean;
}

/**
 * Where a request ends, and what follows it (RFC 9112, sections 6.3 and 9.3). Two readings that differ are refused, never
 * chosen from: throws `bad_request`, `not_supported` for a transfer coding, and `expectation_failed`.
 */
export function requestFraming({ method, version }: RequestLine, fields: HeaderList): RequestFraming {
  let host: string | undefined;
  let length: string | undefined;
  let coding: string | undefined;
  let connection: string | undefined;
  let upgrade: string | undefined;
  let expect: string | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] ?? "";
    switch (fields[i]) {
      case "host":
        if (host !== undefined) throw malformed("more than one Host field");
        host = value;
        break;
      case "content-length":
        if (length !== undefined) throw malformed("more than one content-length");
        length = value;
        break;
      case "transfer-encoding":
        if (coding !== undefined) throw malformed("more than one transfer-encoding");
        coding = value;
        break;
      case "connection":
        connection = join(connection, value);
        break;
      case "upgrade":
        upgrade = join(upgrade, value);
        break;
      case "expect":
        expect = join(expect, value);
        break;
      default:
    }
  }
  const isOld = version === "1.0";
  if (host === undefined && !isOld) throw malformed("no Host field");
  if (coding !== undefined) checkCoding(coding, length, isOld);
  const body = coding === undefined ? countedBody(length) : "chunked";
  const isWebSocket = upgrade !== undefined && method === "GET" && !isOld && upgrades(connection, upgrade);
  if (isWebSocket && body !== "none") throw malformed("a WebSocket handshake with a body");
  return {
    host: host ?? "",
    body,
    isLast: isOld || (connection !== undefined && names(connection, "close")),
    awaitsContinue: expect !== undefined && !isOld && expects(expect),
    isWebSocket,
  };
}

function join(list: string | undefined, value: string): string {
  return list === undefined ? value : `${list},${value}`;
}

/** RFC 9112, section 6.1. Another coding would have to be undone here, or be lost on the way to the worker. */
function checkCoding(coding: string, length: string | undefined, isOld: boolean): void {
  if (length !== undefined) throw malformed("a content-length together with a transfer-encoding");
  if (isOld) throw malformed("a transfer-encoding in an HTTP/1.0 request");
  if (coding.toLowerCase() !== "chunked")
    throw new EdgeError("not_supported", "transfer-encoding must be chunked");
}

/** Digits only, and few enough to be counted exactly (RFC 9110, section 8.6). */
function countedBody(length: string | undefined): RequestBody {
  if (length === undefined || length === "0") return "none";
  if (!/^[0-9]{1,15}$/.test(length)) throw malformed("a content-length that is no plain number");
  const bytes = Number(length);
  return bytes === 0 ? "none" : bytes;
}

/** RFC 9110, section 10.1.1: there is one expectation; HTTP/1.0 has none. */
function expects(value: string): boolean {
  if (value.toLowerCase() !== "100-continue") throw new EdgeError("expectation_failed");
  return true;
}

/** RFC 6455, section 4.2.1. Any other protocol (h2c too) is ignored, as RFC 9110, section 7.8, allows: the request stays one. */
function upgrades(connection: string | undefined, upgrade: string): boolean {
  return connection !== undefined && names(connection, "upgrade") && names(upgrade, "websocket");
}

function names(list: string, member: string): boolean {
  if (list.length < member.length) return false;
  return list.split(",").some((item) => item.trim().toLowerCase() === member);
}
