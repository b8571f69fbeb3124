import { object } from "./answer.ts";

/** Seconds that two clocks may differ; the edge allows as many in `iat`. */
export const SKEW_SECONDS = 30;

/** The claims of a JWT, unverified; undefined for what is none. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  const [, payload, signature, more] = token.split(".");
  if (payload === undefined || signature === undefined || more !== undefined) return undefined;
  return object(Buffer.from(payload, "base64url").toString());
}

export interface Clocks {
  /** Seconds since 1970, here. */
  readonly here: number;
  /** The same at the server, as its Date says; undefined when it says none. */
  readonly there: number | undefined;
}

/**
 * Which mistake made the edge refuse this token: what to change, in one sentence. `message` is the edge's. The claims that
 * are quoted (aud, iss, email, times) are no secrets; the token itself never is.
 */
export function whyRefused(token: string, message: string, clocks: Clocks): string {
  const claims = claimsOf(token);
  const rule = RULES.find(([says]) => message.includes(says));
  // The claims of such a token are right: whoever took the signature away is to blame.
  if (rule?.[0] === "removed this token's signature") return rule[1]({}, clocks);
  if (claims === undefined) return "Give an ID token: what was given is no JWT (an access token, perhaps).";
  return rule?.[1](claims, clocks) ?? "Look for this request in the edge's log.";
}

type Claims = NonNullable<ReturnType<typeof claimsOf>>;

const RULES: readonly (readonly [says: string, change: (claims: Claims, clocks: Clocks) => string])[] = [
  [
    "removed this token's signature",
    () =>
      "Send Cloud Run's token in X-Serverless-Authorization (--run-token) and the edge's in Authorization, or deploy with --allow-unauthenticated.",
  ],
  [
    "another audience",
    ({ aud }) =>
      `Make the token for the edge's AUTH_AUDIENCE, or set AUTH_AUDIENCE to the token's aud, ${quote(aud)}, byte for byte (a slash at the end counts).`,
  ],
  ["expired", expired],
  ["issued in the future", notYet],
  ["not valid yet", notYet],
  ["issuer is not accepted", issuer],
  [
    "names no email",
    () =>
      "Ask for the email when making the token: gcloud auth print-identity-token --include-email, or includeEmail in the API.",
  ],
  ["email is not verified", ({ email }) => `Use an account whose email is verified, not ${quote(email)}.`],
  [
    "key is unknown",
    ({ iss }) => `Check AUTH_CERTS_URL: the edge's keys are not those of the token's issuer, ${quote(iss)}.`,
  ],
  [
    "signature is not valid",
    () => "Give the whole token: its end is missing or changed, or another key signed it.",
  ],
  [
    "the token is malformed",
    () => "Give the whole token, as it was made: its end is missing, or was changed.",
  ],
  ["algorithm is not ES256", ({ iss }) => `Set AUTH_MODE=verify: tokens of ${quote(iss)} are not IAP's.`],
  ["algorithm is not", ({ iss }) => `Give a Google ID token (RS256), not one of ${quote(iss)}.`],
  [
    "no x-goog-iap-jwt-assertion",
    () =>
      "Call the URL that IAP protects, not the service's own, or set AUTH_MODE=verify: with AUTH_MODE=iap only IAP's header counts.",
  ],
  [
    "carries no ID token",
    () =>
      "Let Authorization through in what stands in front of the edge: it was sent, and did not reach the edge.",
  ],
  [
    "more than one token",
    () => "Let only one of them through: something in front of the edge adds an Authorization of its own.",
  ],
];

function expired({ exp }: Claims, { here, there }: Clocks): string {
  const left = seconds(exp) - here;
  if (left <= 0) return `Make a new token: this one expired ${span(-left)} ago.`;
  if (there === undefined || there - here < SKEW_SECONDS)
    return `Make a new token shortly before it is used: this one has ${span(left)} left.`;
  return `Set the clocks: the server's is ${span(there - here)} ahead of this machine's, so the token had expired there.`;
}

function notYet({ iat, nbf }: Claims, { here, there }: Clocks): string {
  const begins = Math.max(seconds(iat), seconds(nbf));
  if (there !== undefined && begins - here <= SKEW_SECONDS)
    return `Set the clocks: the server's is ${span(here - there)} behind this machine's, so the token is not valid there yet.`;
  const ahead = begins - (there ?? here);
  return `Set the clock of whoever makes the token: it is ${span(ahead)} ahead of the server's.`;
}

function issuer({ iss, sub }: Claims): string {
  if (typeof iss === "string" && (iss === sub || iss.endsWith(".gserviceaccount.com")))
    return "Exchange it for an ID token (--key does): a JWT that a service account signed itself is none.";
  return `Set AUTH_ISSUERS and AUTH_CERTS_URL if tokens of ${quote(iss)} are to count, else give one of Google's.`;
}

function seconds(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

/** 90 → "90 s", 7200 → "2 h". */
export function span(of: number): string {
  const rounded = Math.round(of);
  if (Math.abs(rounded) < 180) return `${rounded} s`;
  return Math.abs(rounded) < 7200 ? `${Math.round(rounded / 60)} min` : `${Math.round(rounded / 3600)} h`;
}

/** A claim as text of one line. */
export function quote(value: unknown): string {
  return value === undefined ? "(none)" : JSON.stringify(value).slice(0, 200);
}
