import { EdgeError } from "../errors.ts";
import type { Verified } from "./cache.ts";
import type { KeyStore } from "./keys.ts";

/** Seconds a clock may be off when a token says when it begins. Nothing is added to `exp`. */
const SKEW_SECONDS = 30;
/** A Google ID token is about a kilobyte. */
const MAX_TOKEN_BYTES = 16_384;

export interface Policy {
  readonly algorithm: "RS256" | "ES256";
  readonly audience: string;
  readonly issuers: readonly string[];
  /** Lower-case emails, or `*`. */
  readonly accounts: readonly string[];
  /** Google ID tokens say whether the email was verified; IAP's assertions hold verified ones only and do not say. */
  readonly needsEmailVerified: boolean;
}

interface Claims {
  readonly iss?: unknown;
  readonly aud?: unknown;
  readonly azp?: unknown;
  readonly sub?: unknown;
  readonly email?: unknown;
  readonly email_verified?: unknown;
  readonly exp?: unknown;
  readonly iat?: unknown;
  readonly nbf?: unknown;
}

/**
 * Verifies one token. The signature is google-auth-library's affair, and so are the claims it knows; checked here is what
 * it leaves out (`alg`, `nbf`, `iat` in the future, `azp`, `email_verified`) or allows 300 s of (`exp`).
 */
export async function verifyToken(
  token: string,
  policy: Policy,
  keys: KeyStore,
  now: () => number,
): Promise<Verified> {
  if (token.length > MAX_TOKEN_BYTES) throw refused("the token is too long");
  if (token.endsWith(".SIGNATURE_REMOVED_BY_GOOGLE")) {
    throw refused(
      "Cloud Run has removed this token's signature: send its own token in X-Serverless-Authorization, and this one in Authorization",
    );
  }
  const [header, claims] = decode(token);
  if (header.alg !== policy.algorithm) throw refused(`the token's algorithm is not ${policy.algorithm}`);
  if (typeof header.kid !== "string") throw refused("the token names no key");
  // Cheap checks first: they say what is wrong, and spare a signature.
  const verified = checkClaims(claims, policy, now() / 1000);
  await checkSignature(token, header.kid, policy, keys);
  // Only now: whoever writes a token of his own could try out who may call.
  if (!mayCall(verified.caller.email, policy)) throw new EdgeError("forbidden");
  return verified;
}

async function checkSignature(token: string, id: string, policy: Policy, keys: KeyStore): Promise<void> {
  const pem = await keys.get(id);
  // Loaded when first needed: an edge without authentication does not pay for it.
  const { OAuth2Client } = await import("google-auth-library");
  try {
    await new OAuth2Client().verifySignedJwtWithCertsAsync(token, { [id]: pem }, policy.audience, [
      ...policy.issuers,
    ]);
  } catch {
    // The library's message holds the whole token: it goes no further.
    throw refused("the token's signature is not valid");
  }
}

function checkClaims(claims: Claims, policy: Policy, now: number): Verified {
  const { iss, aud, azp, sub, email, exp, iat, nbf } = claims;
  if (typeof exp !== "number" || typeof iat !== "number") throw refused("the token has no exp or iat");
  if (now >= exp) throw refused("the token has expired");
  if (iat > now + SKEW_SECONDS) throw refused("the token was issued in the future");
  if (nbf !== undefined && !(typeof nbf === "number" && nbf <= now + SKEW_SECONDS))
    throw refused("the token is not valid yet");
  if (typeof iss !== "string" || !policy.issuers.includes(iss))
    throw refused("the token's issuer is not accepted here");
  // One audience only: a token for several could be replayed to us by any of the others.
  if (aud !== policy.audience) throw refused("the token was made for another audience");
  if (azp !== undefined && typeof azp !== "string") throw refused("the token's azp is malformed");
  if (typeof sub !== "string" || sub === "") throw refused("the token names no subject");
  if (typeof email !== "string" || !isPlain(email) || !isPlain(sub))
    throw refused("the token names no email: ask for it (includeEmail)");
  if (policy.needsEmailVerified && claims.email_verified !== true)
    throw refused("the token's email is not verified");
  return { caller: { email, subject: sub }, expires: exp };
}

function mayCall(email: string, { accounts }: Policy): boolean {
  return accounts.includes("*") || accounts.includes(email.toLowerCase());
}

/** Fit for a header value. */
function isPlain(value: string): boolean {
  return /^[\x21-\x7e]{1,320}$/.test(value);
}

function decode(token: string): [header: { alg?: unknown; kid?: unknown }, claims: Claims] {
  const parts = token.split(".");
  const [header, claims] = parts.slice(0, 2).map(parsePart);
  if (parts.length !== 3 || header === undefined || claims === undefined || !parts.every(isBase64Url))
    throw refused("the token is malformed");
  return [header, claims];
}

/**
 * RFC 7515, section 2. Decoders take more for the same bytes, and one token could be written in ways without number: each of them
 * would be remembered.
 */
function isBase64Url(part: string): boolean {
  return Buffer.from(part, "base64url").toString("base64url") === part;
}

function parsePart(part: string): object | undefined {
  try {
    const value = JSON.parse(Buffer.from(part, "base64url").toString()) as unknown;
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function refused(message: string): EdgeError {
  return new EdgeError("unauthenticated", message);
}
