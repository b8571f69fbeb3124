import type { IncomingMessage } from "node:http";
import { EdgeError } from "../errors.ts";
import type { RequestHead } from "../exchange.ts";
import { fromRaw, listMembers } from "../headers.ts";

/** The head of an HTTP/1.x request. Throws bad_request where two readings are possible. */
export function readHead(req: IncomingMessage): RequestHead {
  const headers: string[] = [];
  let host: string | undefined;
  let coding: string | undefined;
  let length = 0;
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    const name = (req.rawHeaders[i] ?? "").toLowerCase();
    const value = req.rawHeaders[i + 1] ?? "";
    headers.push(name, value);
    if (name === "host") {
      if (host !== undefined) throw new EdgeError("bad_request", "more than one Host field");
      host = value;
    } else if (name === "transfer-encoding") coding = coding === undefined ? value : `${coding},${value}`;
    else if (name === "content-length") length = Number(value);
  }
  // RFC 9112, section 6.1. Another coding would have to be undone here, or be lost on the way to the worker.
  if (coding !== undefined && coding.trim().toLowerCase() !== "chunked") {
    throw new EdgeError("not_supported", "transfer-encoding must be chunked");
  }
  const target = splitTarget(req.url ?? "/", host ?? "");
  return {
    version: req.httpVersionMinor === 0 ? "1.0" : "1.1",
    method: req.method ?? "GET",
    scheme: "http",
    authority: target.authority,
    path: target.path,
    // Node asked shouldUpgradeCallback already; most requests do not even name a protocol.
    protocol: req.headers.upgrade !== undefined && isWebSocketUpgrade(req) ? "websocket" : undefined,
    headers,
    hasBody: coding !== undefined || length > 0,
  };
}

/** RFC 6455, section 4.2.1: an upgrade is a GET over HTTP/1.1 whose Upgrade names websocket. Everything else (h2c too) stays a request. */
export function isWebSocketUpgrade(req: IncomingMessage): boolean {
  if (req.method !== "GET" || req.httpVersionMinor === 0) return false;
  const headers = fromRaw(req.rawHeaders);
  const connection = listMembers(headers, "connection").some((token) => token.toLowerCase() === "upgrade");
  return connection && listMembers(headers, "upgrade").some((token) => token.toLowerCase() === "websocket");
}

/** RFC 9112, section 3.2: the absolute form's authority wins over Host, and the worker gets the origin form. */
function splitTarget(url: string, host: string): { path: string; authority: string } {
  if (url.startsWith("/") || url === "*") return { path: url, authority: host };
  const match = /^https?:\/\/([^/?#]*)([/?].*)?$/i.exec(url);
  if (match === null)
    throw new EdgeError("bad_request", "the request target is neither a path nor an absolute URL");
  const rest = match[2] ?? "/";
  return { path: rest.startsWith("?") ? `/${rest}` : rest, authority: match[1] ?? "" };
}
