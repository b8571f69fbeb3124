import { EdgeError } from "../errors.ts";
import type { RequestHead } from "../exchange.ts";
import { findAll, listMembers } from "../headers.ts";

/**
 * What a browser offers to send a token with a WebSocket, whose headers it cannot set: a subprotocol named this,
 * something, a dot, and the token in base64url without padding (Kubernetes' convention).
 */
export const BEARER_PROTOCOL = "base64url.bearer.authorization.";

/** Where IAP puts its signed header. */
const IAP_HEADER = "x-goog-iap-jwt-assertion";

/** The one token of a request. Throws `unauthenticated` when there is none, or more than one to choose from. */
export function readToken(head: RequestHead, mode: "verify" | "iap"): string {
  const tokens =
    mode === "iap" ? findAll(head.headers, IAP_HEADER) : [...authorization(head), ...subprotocol(head)];
  const [token, another] = tokens;
  if (another !== undefined)
    throw new EdgeError("unauthenticated", "the request carries more than one token");
  if (token === undefined || token === "")
    throw new EdgeError(
      "unauthenticated",
      mode === "iap" ? `the request carries no ${IAP_HEADER}` : "the request carries no ID token",
    );
  return token;
}

function authorization(head: RequestHead): string[] {
  return findAll(head.headers, "authorization").map((value) => {
    const match = /^Bearer +([A-Za-z0-9\-._~+/]+=*) *$/i.exec(value);
    if (match?.[1] === undefined)
      throw new EdgeError("unauthenticated", "authorization must be: Bearer <ID token>");
    return match[1];
  });
}

function subprotocol(head: RequestHead): string[] {
  if (head.protocol !== "websocket") return [];
  const offered = listMembers(head.headers, "sec-websocket-protocol");
  const bearers = offered.filter((name) => name.startsWith(BEARER_PROTOCOL));
  // A browser fails a connection whose server picks none of the subprotocols offered, and the token is not one to pick.
  if (bearers.length > 0 && bearers.length === offered.length) {
    throw new EdgeError(
      "unauthenticated",
      "offer a second subprotocol beside the one that carries the token",
    );
  }
  return bearers.map((name) =>
    Buffer.from(name.slice(name.lastIndexOf(".") + 1), "base64url").toString("latin1"),
  );
}
