import { fetchIdToken } from "../auth/id-token.ts";
import { Identity } from "../auth/identity.ts";
import type { Config } from "../settings/config.ts";
import type { HeaderList } from "../exchange.ts";
import type { Log } from "../observe/log.ts";
import type { Address } from "../settings/parse.ts";

/** How the edge says to a worker who it is. */
export interface Credentials {
  /** What each request has for it: the same list for as long as it holds. Throws `identity_unavailable` when it has run out. */
  readonly fields: HeaderList;
  /** True when `fields` can be had now; else `ready` tells when. */
  readonly isReady: boolean;
  /** Rejects with `identity_unavailable` when it takes too long, or has just failed. */
  ready(): Promise<void>;
  /** Nobody asks any more. */
  close(): void;
}

/** A worker that is reached by its name: requests name it, and not what the client asked for, and say who sends them. */
export interface Origin {
  readonly authority: string;
  readonly credentials: Credentials;
}

export type OriginConfig = Pick<Config, "upstreamAuth" | "upstreamAudience" | "connectMs">;

/** What Google calls Cloud Run services, and nothing else. */
const CLOUD_RUN = /\.run\.app$/;

/** Undefined for a worker that gets requests as they came: one that shares the machine, or the network, with the edge. */
export function originOf(address: Address, config: OriginConfig, log: Log): Origin | undefined {
  if (address.kind !== "tls") return undefined;
  const { authority, host, name } = address;
  const isAsked =
    config.upstreamAuth === "google" || (config.upstreamAuth === "auto" && CLOUD_RUN.test(host));
  if (!isAsked) return { authority, credentials: noCredentials() };
  const audience = config.upstreamAudience ?? `https://${authority}`;
  const credentials = new Identity({
    fetch: () => fetchIdToken(audience),
    waitMs: config.connectMs,
    now: Date.now,
    failing: (reason) => log.warn({ worker: name, audience, reason }, "no ID token for the worker"),
    recovered: () => log.info({ worker: name, audience }, "ID token for the worker again"),
  });
  return { authority, credentials };
}

function noCredentials(): Credentials {
  // A list of its own for each: what was made with it is then known to be for this worker.
  return { fields: [], isReady: true, ready: async () => {}, close() {} };
}
