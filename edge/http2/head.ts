import { EdgeError } from "../errors.ts";
import type { RequestHead } from "../exchange.ts";
import { HeadMemo } from "../exchange.ts";
import { findAll, withoutFields } from "../headers.ts";

/** The head of a request on one HTTP/2 stream, from its decoded fields (names are lower-case by RFC 9113, section 8.2). */
export function readHead(
  raw: readonly string[],
  endStream: boolean,
  neverIndexed: readonly string[],
): RequestHead {
  const pseudo: Record<string, string> = {};
  const headers: string[] = [];
  let host: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    if (name.startsWith(":")) pseudo[name] = value;
    else if (name === "host") host = value;
    else headers.push(name, value);
  }
  const protocol = pseudo[":protocol"];
  return {
    version: "2",
    method: pseudo[":method"] ?? "GET",
    scheme: pseudo[":scheme"] ?? "http",
    authority: pseudo[":authority"] ?? host ?? "",
    path: pseudo[":path"] ?? "/",
    protocol: protocol?.toLowerCase() === "websocket" ? "websocket" : protocol,
    headers: joinCookies(headers),
    hasBody: !endStream,
    neverIndexed,
    memo: new HeadMemo(),
  };
}

/** RFC 9113, section 8.2.3: cookie crumbs are put together before they go where HTTP/1.1 may be spoken. */
function joinCookies(headers: string[]): string[] {
  const crumbs = findAll(headers, "cookie");
  return crumbs.length < 2 ? headers : [...withoutFields(headers, "cookie"), "cookie", crumbs.join("; ")];
}

/** What is wrong with a request head that HTTP/2's own rules let through; undefined when nothing is. */
export function checkHead({ method, scheme, path, protocol }: RequestHead): EdgeError | undefined {
  // Methods are case-sensitive (RFC 9110, section 9.1), but what comes after us may think otherwise of `connect`.
  if (method !== method.toUpperCase()) return new EdgeError("bad_request", "the method is not in upper case");
  if (method === "CONNECT" && protocol !== "websocket") return new EdgeError("method_not_allowed");
  // RFC 9113, section 8.3.1. With another scheme a path may be anything, and would become a worker's request target.
  if (scheme !== "http" && scheme !== "https")
    return new EdgeError("bad_request", ":scheme must be http or https");
  if (!path.startsWith("/") && !(path === "*" && method === "OPTIONS")) {
    return new EdgeError("bad_request", ":path must begin with a slash");
  }
  return undefined;
}
