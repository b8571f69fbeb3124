import { ConnectionError } from "./frame.ts";
import type { Limits } from "../limits.ts";
import { EXCEEDED } from "../limits.ts";

/** What a peer may do for free, and which share of it comes back each second. */
const SHARE_PER_SECOND = { resets: 0.25, answers: 0.05, empty: 0.1, updates: 0.5 } as const;

export type Counted = keyof typeof SHARE_PER_SECOND;

interface Bucket {
  left: number;
  /** When it was last filled up, in milliseconds. */
  at: number;
}

/** The buckets of one connection: what costs the peer next to nothing, and us some work, fills up by the second. */
export class Counts {
  readonly #limits: Pick<Limits, Counted>;
  readonly #now: () => number;
  readonly #buckets: Record<Counted, Bucket>;

  /** `now` is in milliseconds, from wherever. */
  constructor(limits: Pick<Limits, Counted>, now: () => number) {
    this.#limits = limits;
    this.#now = now;
    const at = now();
    const { resets, answers, empty, updates } = limits;
    this.#buckets = {
      resets: { left: resets, at },
      answers: { left: answers, at },
      empty: { left: empty, at },
      updates: { left: updates, at },
    };
  }

  /** Throws ENHANCE_YOUR_CALM when there was too much of it. */
  spend(what: Counted): void {
    const bucket = this.#buckets[what];
    if (bucket.left < 1) this.#fill(what, bucket);
    bucket.left--;
  }

  /** Gives one back: who works may ask more. grpc clients measure the bandwidth by a PING for every few frames of data. */
  earn(what: Counted): void {
    const bucket = this.#buckets[what];
    if (bucket.left < this.#limits[what]) bucket.left++;
  }

  #fill(what: Counted, bucket: Bucket): void {
    const most = this.#limits[what];
    const now = this.#now();
    bucket.left = Math.min(most, ((now - bucket.at) / 1000) * most * SHARE_PER_SECOND[what]);
    bucket.at = now;
    if (bucket.left < 1) throw new ConnectionError("ENHANCE_YOUR_CALM", EXCEEDED[what], what);
  }
}
