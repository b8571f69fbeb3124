import { isGrpcWebPreflight } from "./cors.ts";
import type { RequestHead, Route } from "./exchange.ts";
import { find } from "./headers.ts";

/** Picks where a request goes. Same head, same answer. */
export function route(head: RequestHead): Route {
  const { memo } = head;
  return memo === undefined ? decide(head) : (memo.route ??= decide(head));
}

function decide(head: RequestHead): Route {
  if (head.protocol === "websocket") return "websocket";
  const type = find(head.headers, "content-type");
  if (type === undefined) return isGrpcWebPreflight(head) ? "preflight" : "http";
  if (isMediaType(type, "application/grpc-web") || isMediaType(type, "application/grpc-web-text"))
    return "grpc-web";
  if (head.version === "2" && isMediaType(type, "application/grpc")) return "grpc";
  return "http";
}

/** True for exactly `name`, or `name` followed by `+` (a message format) or `;` (parameters). Types are case-insensitive (RFC 9110, section 8.3.1). */
function isMediaType(value: string, name: string): boolean {
  if (value.length < name.length || value.slice(0, name.length).toLowerCase() !== name) return false;
  const next = value.charAt(name.length);
  return next === "" || next === "+" || next === ";" || next === " ";
}
