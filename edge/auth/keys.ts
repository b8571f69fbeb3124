import { createPublicKey } from "node:crypto";
import type { JsonWebKey } from "node:crypto";
import { EdgeError } from "../errors.ts";
import { within } from "../within.ts";

/** Milliseconds a fetch may take. */
const FETCH_MS = 5000;
/** Milliseconds a caller waits for newer keys when the last good ones have his. */
const NEWER_MS = 500;
/** Milliseconds between two fetches for key ids that nobody knows: such ids can be made up. */
const UNKNOWN_COOLDOWN_MS = 10_000;
/** Milliseconds between two fetches while they fail. */
const FAILURE_COOLDOWN_MS = 1000;
/** Milliseconds keys are kept when the reply does not say. */
const DEFAULT_AGE_MS = 300_000;
/** Milliseconds keys are kept at least and at most, whatever the reply says: without the least, made-up ids cause a fetch each. */
const MIN_AGE_MS = 10_000;
const MAX_AGE_MS = 86_400_000;
const MAX_BODY_BYTES = 1_048_576;

/** Key id → PEM. */
type Keys = ReadonlyMap<string, string>;

export interface KeyStoreOptions {
  readonly url: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Hears of fetches that failed; the store goes on with what it has. */
  readonly warn: (message: string) => void;
}

/**
 * Verification keys from an HTTP endpoint. One fetch at a time, whoever waits; the last good keys serve while the
 * endpoint is down or slow; an unknown key id causes one fetch, then no other until the cooldown is over.
 */
export class KeyStore {
  readonly #options: KeyStoreOptions;
  #keys: Keys | undefined;
  #freshUntil = 0;
  #nextUnknown = 0;
  #nextTry = 0;
  #inFlight: Promise<void> | undefined;

  constructor(options: KeyStoreOptions) {
    this.#options = options;
  }

  /** The PEM for a key id. Throws `keys_unavailable` when no keys were ever fetched, `unauthenticated` when the id is unknown. */
  async get(id: string): Promise<string> {
    const isKnown = this.#keys?.has(id) === true;
    if (this.#options.now() >= this.#freshUntil)
      await (isKnown ? within(NEWER_MS, this.#refresh()) : this.#refresh());
    else if (!isKnown) await this.#lookForUnknown();
    if (this.#keys === undefined) throw new EdgeError("keys_unavailable");
    const pem = this.#keys.get(id);
    if (pem === undefined) throw new EdgeError("unauthenticated", "the token's key is unknown");
    return pem;
  }

  /** Who comes while keys are being fetched waits for them: they may bring his, too. */
  async #lookForUnknown(): Promise<void> {
    if (this.#inFlight === undefined) {
      if (this.#options.now() < this.#nextUnknown) return;
      this.#nextUnknown = this.#options.now() + UNKNOWN_COOLDOWN_MS;
    }
    await this.#refresh();
  }

  async #refresh(): Promise<void> {
    if (this.#options.now() < this.#nextTry) return;
    this.#inFlight ??= this.#fetch().finally(() => {
      this.#inFlight = undefined;
    });
    await this.#inFlight;
  }

  async #fetch(): Promise<void> {
    try {
      const { keys, ageMs } = await fetchKeys(this.#options.url);
      this.#keys = keys;
      this.#freshUntil = this.#options.now() + ageMs;
    } catch (thrown) {
      this.#nextTry = this.#options.now() + FAILURE_COOLDOWN_MS;
      this.#options.warn(
        `verification keys could not be fetched from ${this.#options.url}: ${reason(thrown)}`,
      );
    }
  }
}

async function fetchKeys(url: string): Promise<{ keys: Keys; ageMs: number }> {
  const reply = await fetch(url, {
    signal: AbortSignal.timeout(FETCH_MS),
    headers: { accept: "application/json" },
  });
  if (!reply.ok) {
    // A body that nobody reads would keep its connection until it is collected as garbage.
    await reply.body?.cancel();
    throw new Error(`status ${reply.status}`);
  }
  const text = await readBounded(reply);
  const keys = parseKeys(JSON.parse(text) as unknown);
  if (keys.size === 0) throw new Error("the reply holds no keys");
  const age = /max-age=([0-9]{1,10})/.exec(reply.headers.get("cache-control") ?? "")?.[1];
  const ageMs =
    age === undefined ? DEFAULT_AGE_MS : Math.max(MIN_AGE_MS, Math.min(Number(age) * 1000, MAX_AGE_MS));
  return { keys, ageMs };
}

async function readBounded(reply: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of reply.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error("the reply is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Google's PEM map (`{ "kid": "-----BEGIN …" }`) or a JWK set (RFC 7517, section 5). */
function parseKeys(body: unknown): Keys {
  if (typeof body !== "object" || body === null) throw new Error("the reply is no JSON object");
  if ("keys" in body && Array.isArray(body.keys)) return new Map(body.keys.flatMap(fromJwk));
  return new Map(
    Object.entries(body).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string" && isPem(entry[1]),
    ),
  );
}

/** Nothing for what is no public key that can be read: a set may hold other kinds, and the rest of it counts (RFC 7517, section 5). */
function fromJwk(jwk: unknown): [string, string][] {
  if (typeof jwk !== "object" || jwk === null || !("kid" in jwk) || typeof jwk.kid !== "string") return [];
  try {
    const key = createPublicKey({ format: "jwk", key: jwk as JsonWebKey });
    return [[jwk.kid, key.export({ type: "spki", format: "pem" }).toString()]];
  } catch {
    return [];
  }
}

function isPem(text: string): boolean {
  return text.startsWith("-----BEGIN CERTIFICATE") || text.startsWith("-----BEGIN PUBLIC KEY");
}

function reason(thrown: unknown): string {
  if (!(thrown instanceof Error)) return "unknown";
  return thrown.cause instanceof Error ? thrown.cause.message : thrown.message;
}
