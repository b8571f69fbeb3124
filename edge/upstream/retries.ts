export interface RetryPolicy {
  /** Of the requests of the last seconds, how many percent may be sent again. */
  readonly retryPercent: number;
  /** And so many a second in any case, for those who have few requests. */
  readonly retryPerSecond: number;
}

/** Milliseconds that count as recent: up to two halves, the one that runs and the one before. */
const HALF_MS = 5000;

/**
 * How many requests of one pool may be sent again, as a share of those that were sent at all: when much fails, sending
 * everything twice is what the workers need least. No clock of its own, and none for a request that goes well: how many of
 * the requests since the last retry are recent is taken from their mean rate.
 */
export class RetryBudget {
  /** Requests sent again, and requests that were not because the budget was used up. */
  sent = 0;
  denied = 0;

  readonly #policy: RetryPolicy;
  #since: number;
  #requests = 0;
  #requestsBefore = 0;
  #retries = 0;
  #retriesBefore = 0;

  constructor(policy: RetryPolicy, now: number) {
    this.#policy = policy;
    this.#since = now;
  }

  /** Counts a request in. */
  count(): void {
    this.#requests++;
  }

  /** Takes a retry out of the budget; false when there is none left. */
  take(now: number): boolean {
    if (now - this.#since >= HALF_MS) this.#turn(now);
    if (this.#retries + this.#retriesBefore >= this.#allowed) {
      this.denied++;
      return false;
    }
    this.#retries++;
    this.sent++;
    return true;
  }

  get #allowed(): number {
    const { retryPercent, retryPerSecond } = this.#policy;
    const requests = this.#requests + this.#requestsBefore;
    return Math.floor((requests * retryPercent) / 100) + (retryPerSecond * 2 * HALF_MS) / 1000;
  }

  /** A half is over, or many were: then the one before had its share of the requests, and no retries. */
  #turn(now: number): void {
    const halves = (now - this.#since) / HALF_MS;
    this.#requestsBefore = this.#requests / halves;
    this.#retriesBefore = halves >= 2 ? 0 : this.#retries;
    this.#requests = this.#retries = 0;
    this.#since = now;
  }
}
