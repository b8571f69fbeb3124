import type { EdgeError } from "./errors.ts";
import type { HeaderList } from "./exchange.ts";

/** A refusal, ready to be written by either HTTP version. */
export interface Refusal {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Buffer;
}

/** HTTP and WebSocket (before the upgrade): the row's status and a short JSON body (DESIGN: "What a refusal looks like"). */
export function httpRefusal(error: EdgeError): Refusal {
  const body = Buffer.from(JSON.stringify({ error: error.code, message: error.message }) + "\n");
  const headers: string[] = [
    "content-type",
    "application/json",
    "content-length",
    String(body.length),
    "cache-control",
    "no-store",
  ];
  // RFC 6750, section 3: the challenge names the scheme; it says no more than the client needs to know.
  if (error.row.http === 401) headers.push("www-authenticate", 'Bearer realm="oneport"');
  if (error.row.http === 503) headers.push("retry-after", "1");
  return { status: error.row.http, headers, body };
}

/** gRPC, no reply begun: a trailers-only reply is HTTP 200 whose only HEADERS frame carries the status (gRPC over HTTP/2). */
export function grpcRefusal(error: EdgeError): Refusal {
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
