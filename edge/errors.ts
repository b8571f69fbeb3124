/**
 * Every failure the edge can meet, and what each protocol sees of it.
 *
 * One failure is one row: whose fault it is, the HTTP status, the gRPC status, the HTTP/2 reset code, the WebSocket
 * close code once a tunnel is open, and whether another endpoint may be tried because the request was not processed.
 */

/** HTTP/2 error codes (RFC 9113, section 7) that a reply which has begun may end with. */
type Reset = "PROTOCOL_ERROR" | "INTERNAL_ERROR" | "REFUSED_STREAM" | "CANCEL";

interface Row {
  readonly side: "client" | "edge" | "upstream";
  readonly http: number;
  readonly grpc: number;
  readonly reset: Reset;
  readonly close: number;
  readonly retry: boolean;
  readonly text: string;
}

const row = (
  side: Row["side"],
  http: number,
  grpc: number,
  reset: Row["reset"],
  close: number,
  text: string,
  retry = false,
): Row => ({ side, http, grpc, reset, close, retry, text });

/** gRPC status codes are those of grpc/doc/statuscodes.md; close codes those of RFC 6455, section 7.4.1, and IANA's registry. */
// prettier-ignore
export const FAILURES = {
  //                       side       http grpc  h2 reset          close  text
  bad_request:         row("client",   400,   3, "PROTOCOL_ERROR",  1002, "the request is malformed"),
  unauthenticated:     row("client",   401,  16, "CANCEL",          1008, "a valid ID token is needed"),
  forbidden:           row("client",   403,   7, "CANCEL",          1008, "this identity is not allowed"),
  origin_not_allowed:  row("client",   403,   7, "CANCEL",          1008, "pages of this origin may not open WebSockets here"),
  method_not_allowed:  row("client",   405,  12, "CANCEL",          1008, "CONNECT is not served here, except for :protocol websocket"),
  head_timeout:        row("client",   408,   4, "CANCEL",          1008, "the request head took too long"),
  expectation_failed:  row("client",   417,   3, "CANCEL",          1008, "100-continue is the only expectation that is met here"),
  head_too_large:      row("client",   431,   8, "CANCEL",          1009, "the request head is too large"),
  not_supported:       row("client",   501,  12, "CANCEL",          1003, "not supported"),
  version_not_supported: row("client", 505,  12, "CANCEL",          1003, "HTTP/1.0 and HTTP/1.1 are served here, and HTTP/2 by prior knowledge"),
  too_much:            row("client",   429,   8, "CANCEL",          1013, "the request is more than the worker takes"),
  client_gone:         row("client",   499,   1, "CANCEL",          1001, "the client went away"),
  keys_unavailable:    row("edge",     503,  14, "CANCEL",          1013, "tokens cannot be verified at the moment"),
  identity_unavailable: row("edge",    503,  14, "CANCEL",          1013, "the edge cannot say who it is to the worker at the moment", true),
  draining:            row("edge",     503,  14, "CANCEL",          1001, "the server is shutting down"),
  overloaded:          row("edge",     503,   8, "CANCEL",          1013, "every worker has as much to do as it may have"),
  out_of_files:        row("edge",     503,   8, "CANCEL",          1013, "there is no room for another connection to a worker"),
  internal:            row("edge",     500,  13, "INTERNAL_ERROR",  1011, "internal error"),
  no_upstream:         row("upstream", 503,  14, "CANCEL",          1013, "no worker is available"),
  upstream_refused:    row("upstream", 503,  14, "CANCEL",          1013, "the worker cannot be reached", true),
  upstream_unprocessed: row("upstream", 503,  14, "REFUSED_STREAM",  1013, "the worker refused the request", true),
  upstream_tls:        row("upstream", 502,  14, "CANCEL",          1014, "no secure connection to the worker could be made", true),
  upstream_reset:      row("upstream", 502,  14, "INTERNAL_ERROR",  1014, "the worker broke off"),
  upstream_garbage:    row("upstream", 502,  13, "INTERNAL_ERROR",  1014, "the worker sent an invalid reply"),
  deadline:            row("upstream", 504,   4, "CANCEL",          1013, "the deadline passed before the worker answered"),
} as const satisfies Record<string, Row>;

export type FailureCode = keyof typeof FAILURES;

/**
 * The only error that travels inside the edge. Its message may reach a client: it never holds a secret. It has no stack of its own,
 * which nobody would read, and which would cost more than all else that is done for a request that is refused.
 */
export class EdgeError extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string = FAILURES[code].text, cause?: unknown) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, { cause });
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
  }

  get row(): Row {
    return FAILURES[this.code];
  }

  /** What lies behind it, for the log and never for a client. */
  get reason(): string {
    const { cause } = this;
    if (!(cause instanceof Error)) return this.message;
    // What several addresses were tried for has no message of its own.
    return cause.message === "" ? nodeCode(cause) : cause.message;
  }
}

/** Node's codes for a connection that never came to be: nothing was sent, so nothing was processed. */
const UNREACHABLE = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "EACCES",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
]);

/** Node's codes for a process, or a system, that has as many files open as it may. */
const OUT_OF_FILES = new Set(["EMFILE", "ENFILE"]);

/** Turns what a connection to a worker broke off with, before it was there, into one of our rows. */
export function fromConnecting(thrown: unknown): EdgeError {
  if (OUT_OF_FILES.has(nodeCode(thrown))) return new EdgeError("out_of_files", undefined, thrown);
  if (UNREACHABLE.has(nodeCode(thrown))) return new EdgeError("upstream_refused", undefined, thrown);
  return fromUpstream(thrown);
}

/**
 * As fromConnecting, for a connection over TLS: before its handshake is over nothing of a request is sent, so whatever it breaks
 * off with, nothing was processed. What is no matter of the network is one of certificates or protocols.
 */
export function fromSecuring(thrown: unknown): EdgeError {
  if (thrown instanceof EdgeError) return thrown;
  const code = nodeCode(thrown);
  if (OUT_OF_FILES.has(code)) return new EdgeError("out_of_files", undefined, thrown);
  const isNetwork = code === "" || code === "ECONNRESET" || UNREACHABLE.has(code);
  return new EdgeError(isNetwork ? "upstream_refused" : "upstream_tls", undefined, thrown);
}

/**
 * Turns whatever a failed upstream call threw into one of our rows; this file alone reads Node's error codes. A network that
 * fails under a connection has the same codes as one that could not be connected through, but the worker may have had the
 * request by then.
 */
export function fromUpstream(thrown: unknown): EdgeError {
  if (thrown instanceof EdgeError) return thrown;
  const code = nodeCode(thrown);
  if (code.startsWith("HPE_")) return new EdgeError("upstream_garbage", undefined, thrown);
  return new EdgeError("upstream_reset", undefined, thrown);
}

/** What is thrown where nobody foresaw it: an error of ours passes, anything else is a bug and says nothing to the client. */
export function toEdgeError(thrown: unknown): EdgeError {
  return thrown instanceof EdgeError ? thrown : new EdgeError("internal", undefined, thrown);
}

/** True when a kept connection turned out to be closed already: the worker read nothing of what was sent on it. */
export function isStale(thrown: unknown): boolean {
  return ["ECONNRESET", "EPIPE"].includes(nodeCode(thrown));
}

/** Why a port could not be opened, for a person; undefined when it was something else. */
export function whyNotListening(thrown: unknown): string | undefined {
  const code = nodeCode(thrown);
  if (code === "EADDRINUSE") return "is in use by another program";
  return code === "EACCES" ? "may not be opened by this user" : undefined;
}

/** True when a pipe, or a socket, takes nothing at the moment. */
export function isFullPipe(thrown: unknown): boolean {
  return nodeCode(thrown) === "EAGAIN";
}

function nodeCode(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null || !("code" in thrown)) return "";
  return typeof thrown.code === "string" ? thrown.code : "";
}
