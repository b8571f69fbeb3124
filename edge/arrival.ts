import type { Exchange, RequestHead } from "./exchange.ts";
import { find, listMembers } from "./headers.ts";
import { jsonReply } from "./refusal.ts";
import { TRACE_FIELDS } from "./observe/trace.ts";

/** Where the edge itself says how a request has come to it, with DOCTOR=on (RFC 8615 reserves the prefix for such things). */
export const ARRIVAL_PATH = "/.well-known/oneport";

/** How a request came, for whoever sent it. Nothing of it is a secret, and nothing of it is about anybody else. */
export interface Arrival {
  /** What the edge read from the connection, whatever the client had sent to a proxy in front. */
  readonly protocol: string;
  readonly as: "request" | "upgrade" | "extended CONNECT";
  /** Entries in x-forwarded-for: one for each proxy in front that adds them, when the client sent none. */
  readonly forwardedFor: number;
  readonly trustedHops: number;
  /** Which fields for tracing came: a platform may add them, so that what it does can be followed. Not what they say. */
  readonly trace: readonly string[];
  /** The edge's clock, in milliseconds since 1970. */
  readonly now: number;
}

export function arrival(head: RequestHead, trustedHops: number, now: number): Arrival {
  return {
    protocol: `HTTP/${head.version}`,
    as: head.protocol === undefined ? "request" : head.version === "2" ? "extended CONNECT" : "upgrade",
    forwardedFor: listMembers(head.headers, "x-forwarded-for").length,
    trustedHops,
    trace: TRACE_FIELDS.filter((name) => find(head.headers, name) !== undefined),
    now,
  };
}

/** Answers a request for ARRIVAL_PATH. To a WebSocket handshake that is a refusal: there is nothing to connect to. */
export function tellArrival(exchange: Exchange, trustedHops: number): void {
  const { head } = exchange;
  // 2xx would accept an extended CONNECT.
  const status = head.protocol === undefined ? 200 : 400;
  const { headers, body } = jsonReply(status, arrival(head, trustedHops, Date.now()));
  const bodiless = head.method === "HEAD";
  exchange.respond(status, headers, bodiless);
  if (bodiless) return;
  exchange.write(body);
  exchange.end([]);
}
