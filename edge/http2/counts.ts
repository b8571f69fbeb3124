import { ConnectionError } from "./frame.ts";

/**
 * What a peer may do for free, and how much of it: each attack has a bucket, which fills up by the second. An empty one ends
 * the connection with ENHANCE_YOUR_CALM.
 */
export const LIMITS = {
  /** Rapid reset (CVE-2023-44487), and resets of ours that the peer provokes (MadeYouReset, CVE-2025-8671). */
  resets: { burst: 1000, perSecond: 50 },
  /** PING and SETTINGS each cost an answer (CVE-2019-9512, CVE-2019-9515). */
  answers: { burst: 1000, perSecond: 50 },
  /** Frames that carry nothing: empty DATA, HEADERS and CONTINUATION, PRIORITY (CVE-2019-9518). */
  empty: { burst: 1000, perSecond: 100 },
  /** WINDOW_UPDATE by the byte. */
  updates: { burst: 20_000, perSecond: 10_000 },
} as const;

export type Counted = keyof typeof LIMITS;

/** CONTINUATION frames of one block (CVE-2024-27316). */
export const MAX_CONTINUATIONS = 64;

interface Bucket {
  left: number;
  /** When it was last filled up, in milliseconds. */
  at: number;
}

/** The buckets of one connection. */
export class Counts {
  readonly #now: () => number;
  readonly #buckets: Record<Counted, Bucket>;

  constructor(now: () => number) {
    this.#now = now;
    const full = (what: Counted): Bucket => ({ left: LIMITS[what].burst, at: now() });
    this.#buckets = {
      resets: full("resets"),
      answers: full("answers"),
      empty: full("empty"),
      updates: full("updates"),
    };
  }

  /** Throws ENHANCE_YOUR_CALM when there was too much of it. */
  spend(what: Counted): void {
    const bucket = this.#buckets[what];
    if (bucket.left < 1) {
      const { burst, perSecond } = LIMITS[what];
      const now = this.#now();
      bucket.left = Math.min(burst, ((now - bucket.at) / 1000) * perSecond);
      bucket.at = now;
      if (bucket.left < 1) throw new ConnectionError("ENHANCE_YOUR_CALM", `too_many_${what}`);
    }
    bucket.left--;
  }
}
