import type { Config } from "../settings/config.ts";
import type { Caller, RequestHead } from "../exchange.ts";
import { readToken } from "./bearer.ts";
import { TokenCache } from "./cache.ts";
import type { Policy } from "./google.ts";
import { verifyToken } from "./google.ts";
import { KeyStore } from "./keys.ts";

/** Who sent this request, at once where the token is known; undefined when nobody needs to be known. Throws, or rejects with, what the request is refused with. */
export type Authenticate = (head: RequestHead) => Caller | Promise<Caller> | undefined;

const GOOGLE = {
  verify: {
    certsUrl: "https://www.googleapis.com/oauth2/v1/certs",
    issuers: ["https://accounts.google.com", "accounts.google.com"],
  },
  iap: {
    certsUrl: "https://www.gstatic.com/iap/verify/public_key",
    issuers: ["https://cloud.google.com/iap"],
  },
} as const;

export interface AuthenticateDeps {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly warn: (message: string) => void;
}

/** The one door: every protocol passes it, before any worker hears of the request. */
export function createAuthenticate(config: Config, deps: AuthenticateDeps): Authenticate {
  const mode = config.authMode;
  if (mode === "off") return () => undefined;
  // config.ts has refused to start without both; this keeps the door shut should it ever not.
  if (config.audience === undefined || config.accounts === undefined)
    throw new Error("authentication needs an audience and accounts");
  const policy: Policy = {
    algorithm: mode === "iap" ? "ES256" : "RS256",
    audience: config.audience,
    issuers: config.issuers ?? GOOGLE[mode].issuers,
    accounts: config.accounts,
    needsEmailVerified: mode === "verify",
  };
  const keys = new KeyStore({ url: config.certsUrl ?? GOOGLE[mode].certsUrl, ...deps });
  const cache = new TokenCache((token) => verifyToken(token, policy, keys, deps.now), deps.now);
  const isPublic = new Set(config.publicPaths);
  return (head) => {
    // Not for a WebSocket: what goes through a tunnel has nothing to do with the path it was opened on.
    if (head.protocol === undefined && isPublic.has(pathOf(head.path))) return undefined;
    const { memo } = head;
    return cache.caller(memo === undefined ? readToken(head, mode) : (memo.token ??= readToken(head, mode)));
  };
}

/** The path without its query, byte for byte: no decoding, no normalising, so that no spelling of another path gets in. */
function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query === -1 ? target : target.slice(0, query);
}
