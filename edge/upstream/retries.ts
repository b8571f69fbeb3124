export interface RetryPolicy {
  /** Of the requests of the last seconds, how many percent may be sent again. */
  readonly retryPercent: number;
  /** And so many a second in any case, for those who have few requests. */
  readonly retryPerSecond: number;
}

/** What is remembered is two halves of so many milliseconds, the one that runs and the one before. */
const HALF_MS = 5000;

/**
 * How many requests of one pool may be sent again, as a share of those that were sent at all: when much fails, sending
 * everything twice is what the workers need least. No clock of its own.
 */
export class RetryBudget {
  /** Requests sent again, and requests that were not because the budget was used up. */
  sent = 0;
  denied = 0;

  readonly #policy: RetryPolicy;
  #until = -Infinity;
  #requests = 0;
  #requestsBefore = 0;
  #retries = 0;
  #retriesBefore = 0;

  constructor(policy: RetryPolicy) {
    this.#policy = policy;
  }

  /** Counts a request in. */
  count(now: number): void {
    if (now >= this.#until) this.#turn(now);
    this.#requests++;
  }

  /** Takes a retry out of the budget; false when there is none left. */
  take(now: number): boolean {
    if (now >= this.#until) this.#turn(now);
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

  /** A half is over: it is the one before, unless it was over long ago. */
  #turn(now: number): void {
    const isLongAgo = now - this.#until >= HALF_MS;
    this.#requestsBefore = isLongAgo ? 0 : this.#requests;
    this.#retriesBefore = isLongAgo ? 0 : this.#retries;
    this.#requests = this.#retries = 0;
    this.#until = now + HALF_MS;
  }
}
