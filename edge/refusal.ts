import type { EdgeError } from "./errors.ts";
import type { HeaderList } from "./exchange.ts";

/** A reply of the edge's own, ready to be written by either HTTP version. */
export interface OwnReply {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer;
}

/** A line of JSON, for this request alone: no cache may keep it. */
export function jsonReply(status: number, value: object): OwnReply {
  const body = Buffer.from(JSON.stringify(value) + "\n");
  const headers = [
    "content-type",
    "application/json",
    "content-length",
    String(body.length),
    "cache-control",
    "no-store",
  ];
  return { status, headers, body };
}

/** HTTP and WebSocket (before the upgrade): the row's status and a short JSON body (docs/failures.md). */
export function httpRefusal(error: EdgeError): OwnReply {
  const reply = jsonReply(error.row.http, { error: error.code, message: error.message });
  // RFC 6750, section 3: the challenge names the scheme; it says no more than the client needs to know.
  if (reply.status === 401) reply.headers.push("www-authenticate", 'Bearer realm="oneport"');
  if (reply.status === 503) reply.headers.push("retry-after", "1");
  return reply;
}

/** gRPC, no reply begun: a trailers-only reply is HTTP 200 whose only HEADERS frame carries the status (gRPC over HTTP/2). */
export function grpcRefusal(error: EdgeError): OwnReply {
  return {
    status: 200,
    headers: ["content-type", "application/grpc", ...grpcStatus(error)],
    body: Buffer.alloc(0),
  };
}

/** gRPC, reply begun: the trailers that end it. */
export function grpcStatus(error: EdgeError): HeaderList {
  return ["grpc-status", String(error.row.grpc), "grpc-message", encodeGrpcMessage(error.message)];
}

/** Percent-encodes all but printable ASCII, and `%` itself (gRPC over HTTP/2, "Status-Message"). */
export function encodeGrpcMessage(message: string): string {
  let encoded = "";
  for (const byte of Buffer.from(message)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
