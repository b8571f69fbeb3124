import { LRUCache } from "lru-cache";
import type { Caller } from "../exchange.ts";

/** A verified caller, and when the token stops counting (seconds since 1970, as `exp`). */
export interface Verified {
  readonly caller: Caller;
  readonly expires: number;
}

/** Tokens remembered at most; one is about a kilobyte. */
const MAX_TOKENS = 10_000;

/** Remembers who a token belongs to: one verification in flight per token, bounded, and never past `exp`. Failures are not kept. */
export class TokenCache {
  readonly #verify: (token: string) => Promise<Verified>;
  readonly #now: () => number;
  readonly #known = new LRUCache<string, Verified>({ max: MAX_TOKENS });
  readonly #inFlight = new Map<string, Promise<Verified>>();

  /** `now` is in milliseconds since 1970. */
  constructor(verify: (token: string) => Promise<Verified>, now: () => number) {
    this.#verify = verify;
    this.#now = now;
  }

  /** At once when the token is known. Rejects with what is wrong with it. */
  caller(token: string): Caller | Promise<Caller> {
    const known = this.#known.get(token);
    if (known !== undefined) {
      if (this.#now() < known.expires * 1000) return known.caller;
      this.#known.delete(token);
    }
    return (this.#inFlight.get(token) ?? this.#start(token)).then(({ caller }) => caller);
  }

  #start(token: string): Promise<Verified> {
    const work = this.#verify(token)
      .then((verified) => {
        // A copy: a slice would keep the whole head that it was cut from.
        this.#known.set(Buffer.from(token, "latin1").toString("latin1"), verified);
        return verified;
      })
      .finally(() => this.#inFlight.delete(token));
    this.#inFlight.set(token, work);
    return work;
  }
}
