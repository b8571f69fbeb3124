import type { Target } from "../smoke/checks.ts";

/** What is being diagnosed, and as whom. */
export interface Site extends Target {
  /** For Cloud Run's own check of callers (`X-Serverless-Authorization`). */
  readonly runToken?: string;
  /** Where the WebSocket worker answers handshakes. */
  readonly wsPath: string;
  /** How long a reply may take before the client's half of a call is closed, to see whether that brings it. */
  readonly patienceMs?: number;
}

/** The fields that say who is calling; `as` says whether the edge is to know. */
export function credentials({ token, runToken }: Site, as: "caller" | "nobody" = "caller"): Fields {
  return {
    ...(token === undefined || as === "nobody" ? {} : { authorization: `Bearer ${token}` }),
    ...(runToken === undefined ? {} : { "x-serverless-authorization": `Bearer ${runToken}` }),
  };
}

export type Fields = Record<string, string>;

export function isTls({ url }: Site): boolean {
  return url.protocol === "https:";
}

export function portOf({ url }: Site): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}

/** The name or address to connect to: an IPv6 address comes in brackets in a URL only. */
export function hostOf({ url }: Site): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}
