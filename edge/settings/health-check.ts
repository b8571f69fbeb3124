import type { Parse } from "./parse.ts";
import { fail } from "./parse.ts";

/** How it is found out whether a worker can do its work. */
export type HealthCheck =
  | { readonly kind: "off" }
  /** It accepts a connection. */
  | { readonly kind: "tcp" }
  /** It answers a GET over HTTP/1.1 with a 2xx. */
  | { readonly kind: "http"; readonly path: string }
  /** It answers grpc.health.v1.Health/Check with SERVING; an empty name asks for the server as a whole. */
  | { readonly kind: "grpc"; readonly service: string }
  /** It accepts a WebSocket. */
  | { readonly kind: "websocket"; readonly path: string };

export type HealthKind = HealthCheck["kind"];

/** A request target with nothing in it that ends a line or a target. */
const PATH = /^\/[\x21\x22\x24-\x7e]{0,999}$/;
const SERVICE = /^[A-Za-z0-9_.]{1,100}$/;

const FORMS: Readonly<Record<HealthKind, string>> = {
  off: "off",
  tcp: "tcp",
  http: "http:/path",
  grpc: "grpc or grpc:service",
  websocket: "websocket:/path",
};

/** A check of one of the kinds that suit a protocol: `off`, `tcp`, `http:/path`, `grpc`, `grpc:service` or `websocket:/path`. */
export function healthCheck<const K extends HealthKind>(
  ...kinds: readonly K[]
): Parse<Extract<HealthCheck, { kind: K }>> {
  const rule = kinds.map((kind) => FORMS[kind]).join(" or ");
  const suits = (check: HealthCheck): check is Extract<HealthCheck, { kind: K }> =>
    kinds.some((kind) => kind === check.kind);
  return (text) => {
    const check = read(text);
    return check !== undefined && suits(check) ? check : fail(rule, text);
  };
}

function read(text: string): HealthCheck | undefined {
  const colon = text.indexOf(":");
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? undefined : text.slice(colon + 1);
  if (kind === "off" || kind === "tcp") return rest === undefined ? { kind } : undefined;
  if (kind === "http" || kind === "websocket")
    return rest !== undefined && PATH.test(rest) ? { kind, path: rest } : undefined;
  if (kind === "grpc" && (rest === undefined || SERVICE.test(rest))) return { kind, service: rest ?? "" };
  return undefined;
}
