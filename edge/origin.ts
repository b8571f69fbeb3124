import type { RequestHead } from "./exchange.ts";
import { findAll } from "./headers.ts";
import { readOrigin } from "./settings/parse.ts";

/**
 * Whether a WebSocket may be opened by the page that asks for it (RFC 6455, section 10.2). A browser lets any page open one
 * anywhere, with the cookies of where it goes, and says whose page it is: nothing else holds such a page back. Who sends no Origin
 * is no browser, and has no cookies of somebody else. `allowed` is as WEBSOCKET_ORIGINS says.
 */
export function mayOpen({ headers, authority }: RequestHead, allowed: readonly string[]): boolean {
  if (allowed.includes("*")) return true;
  const [text, another] = findAll(headers, "origin");
  if (text === undefined) return true;
  // `null` is what sandboxed pages send, and no origin.
  const origin = another === undefined ? readOrigin(text) : undefined;
  return origin !== undefined && allowed.some((rule) => fits(origin, rule, authority));
}

function fits(origin: string, rule: string, authority: string): boolean {
  if (rule === "same") {
    const scheme = origin.slice(0, origin.indexOf(":"));
    // The edge does not know which scheme the client used, so only the host counts, and the port.
    return authority !== "" && origin === readOrigin(`${scheme}://${authority}`);
  }
  const [scheme = "", host] = rule.split("*");
  if (host === undefined) return origin === rule;
  return origin.startsWith(scheme) && origin.endsWith(host) && origin.length > scheme.length + host.length;
}
