import type { Config } from "./settings/config.ts";
import type { HeaderList, RequestHead } from "./exchange.ts";
import { find, listMembers } from "./headers.ts";
import { TOKEN } from "./message/token.ts";

/** Seconds for which a browser may remember an answer; Chromium keeps none for longer. */
const MAX_AGE = "7200";

/** What a script may always read of a reply (Fetch, "CORS-safelisted response-header name"). */
const SAFELISTED = new Set([
  "cache-control",
  "content-language",
  "content-length",
  "content-type",
  "expires",
  "last-modified",
  "pragma",
]);

/** Where a failed call says why; trailers-only replies have it in the head. */
const STATUS_FIELDS = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

export interface CorsOptions {
  readonly origins: readonly string[];
  readonly credentials: boolean;
}

/** Which pages may call gRPC-Web, as browsers ask for it and are told (Fetch, section 3.3). */
export class Cors {
  readonly #origins: ReadonlySet<string>;
  readonly #credentials: boolean;

  constructor({ origins, credentials }: CorsOptions) {
    this.#origins = new Set(origins);
    this.#credentials = credentials;
  }

  /** The answer to a preflight. It names what was asked for: what may be sent is the worker's to say, and not a secret. */
  preflightFields(head: RequestHead): string[] {
    const origin = find(head.headers, "origin");
    const fields = this.#allowed(origin);
    if (!this.#allows(origin)) return fields;
    const asked = listMembers(head.headers, "access-control-request-headers").filter((name) =>
      TOKEN.test(name),
    );
    fields.push("access-control-allow-methods", "POST");
    fields.push("access-control-allow-headers", asked.join(","));
    fields.push("access-control-max-age", MAX_AGE);
    return fields;
  }

  /** A reply's fields with those that let a page of `origin` read it; without them where it may not. */
  replyFields(origin: string | undefined, headers: HeaderList): string[] {
    const fields: string[] = [];
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? "";
      if (!name.startsWith("access-control-")) fields.push(name, headers[i + 1] ?? "");
    }
    if (!this.#allows(origin)) return [...fields, ...this.#allowed(origin)];
    const names = new Set(STATUS_FIELDS);
    for (let i = 0; i < fields.length; i += 2) names.add(fields[i] ?? "");
    const exposed = [...names].filter((name) => !SAFELISTED.has(name));
    fields.push("access-control-expose-headers", exposed.join(","));
    return [...fields, ...this.#allowed(origin)];
  }

  #allows(origin: string | undefined): boolean {
    return origin !== undefined && (this.#origins.has("*") || this.#origins.has(origin));
  }

  #allowed(origin: string | undefined): string[] {
    if (this.#origins.has("*")) return ["access-control-allow-origin", "*"];
    const fields = ["vary", "origin"];
    if (origin === undefined || !this.#origins.has(origin)) return fields;
    fields.push("access-control-allow-origin", origin);
    if (this.#credentials) fields.push("access-control-allow-credentials", "true");
    return fields;
  }
}

/**
 * True for a browser's question whether a page may make a gRPC-Web call. All gRPC-Web clients send `x-grpc-web`, and nobody
 * else does: other preflights are the HTTP worker's.
 */
export function isGrpcWebPreflight({ method, headers }: RequestHead): boolean {
  return (
    method === "OPTIONS" &&
    find(headers, "origin") !== undefined &&
    find(headers, "access-control-request-method") === "POST" &&
    listMembers(headers, "access-control-request-headers").some((name) => name.toLowerCase() === "x-grpc-web")
  );
}

/** Undefined where pages of no other origin may call. */
export function createCors({
  corsOrigins = [],
  corsCredentials,
}: Pick<Config, "corsOrigins" | "corsCredentials">): Cors | undefined {
  return corsOrigins.length === 0
    ? undefined
    : new Cors({ origins: corsOrigins, credentials: corsCredentials });
}
