/** An ID token, and until when it counts. */
export interface IdToken {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/** What a token is made of; nothing else may get into a header. */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** What looks like a token: no message that holds one goes any further. */
const TOKENS = /[\w-]{16,}\.[\w-]{16,}(\.[\w-]*)?/g;
const MAX_REASON = 300;

/**
 * Fetches the edge's own ID token for an audience: with the key file that GOOGLE_APPLICATION_CREDENTIALS names, else from the
 * metadata server. Rejects with an error whose message may be logged.
 */
export async function fetchIdToken(audience: string): Promise<IdToken> {
  try {
    return read(await fetchToken(audience), audience);
  } catch (thrown) {
    // oxlint-disable-next-line preserve-caught-error -- it may hold what must not be logged
    throw new Error(withoutTokens(describe(thrown)));
  }
}

async function fetchToken(audience: string): Promise<unknown> {
  // Loaded when first needed: an edge that need not say who it is does not pay for it.
  const { Compute, GoogleAuth } = await import("google-auth-library");
  const keyFile = process.env["GOOGLE_APPLICATION_CREDENTIALS"] ?? "";
  // The library would look for a metadata server once, and remember for ever that there was none.
  if (keyFile === "") return new Compute().fetchIdToken(audience);
  const { idTokenProvider } = await new GoogleAuth({ keyFilename: keyFile }).getIdTokenClient(audience);
  return idTokenProvider.fetchIdToken(audience);
}

function read(token: unknown, audience: string): IdToken {
  if (typeof token !== "string" || !TOKEN.test(token)) throw new Error("what came is no ID token");
  const { aud, exp } = claimsOf(token);
  if (aud !== audience) throw new Error("the token is for another audience");
  if (typeof exp !== "number") throw new Error("the token has no exp");
  return { token, expires: exp * 1000 };
}

function claimsOf(token: string): { aud?: unknown; exp?: unknown } {
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  return typeof claims === "object" && claims !== null ? claims : {};
}

/** What the library throws for an HTTP status has the reply's body for its message. */
function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "unknown";
  const { message } = thrown;
  return "status" in thrown && typeof thrown.status === "number"
    ? `HTTP ${thrown.status}, ${message}`
    : message;
}

/** The first line of a message, without anything that looks like a token. */
export function withoutTokens(message: string): string {
  return (message.split("\n", 1)[0] ?? "").replace(TOKENS, "…").slice(0, MAX_REASON);
}
