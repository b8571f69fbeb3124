import { Tally } from "../observe/metrics.ts";
import type { Address } from "../settings/parse.ts";

/** How many checks in a row turn an endpoint. */
export interface CheckPolicy {
  readonly healthFailures: number;
  readonly healthSuccesses: number;
}

/** When an endpoint whose exchanges fail is left out, and for how long. */
export interface EjectPolicy {
  /** Failures in a row; 0 is never. */
  readonly ejectFailures: number;
  /** Milliseconds the first time, doubled each further time. */
  readonly ejectMs: number;
  readonly ejectMaxMs: number;
}

/** Milliseconds in which several failures are one: a connection that is lost takes all of its streams along. */
const ONE_EVENT_MS = 100;

/**
 * One worker, what is open towards it, and whether it gets new requests. No I/O and no clock: `now` is any clock that only
 * goes forwards, in milliseconds.
 *
 * Three states, independent of each other; it is usable while it is on the left in all of them:
 *
 *   reachable ── refused() ──▶ unreachable ── reached() ──▶ reachable
 *   passing ── checked(), often enough ──▶ failing ── checked(), often enough ──▶ passing
 *   trusted ── failed(), often enough, then eject() ──▶ ejected ── back() ──▶ trusted
 */
export class Endpoint<C> {
  readonly address: Address;
  readonly connection: C;
  /** Where exchanges with it are counted. */
  readonly tally: Tally;
  /** Exchanges under way. */
  active = 0;
  /** True once what was open towards it has been closed, for good. */
  isClosed = false;
  /** True while it may have new requests; what it carries goes on in any case. */
  isUsable = true;
  /** False from a refused connection until it accepts connections again. */
  isReachable = true;
  /** Why it is unhealthy by its checks; undefined while it is not. */
  failing: string | undefined;
  /** True while there is something that a good exchange may make forgotten: most exchanges need not ask further. */
  isMarked = false;
  /** When it gets requests again; 0 while it is not ejected. */
  ejectedUntil = 0;
  /** Since it was added. */
  readonly counts: { passed: number; failed: number; ejections: number } = {
    passed: 0,
    failed: 0,
    ejections: 0,
  };
  /** Over once the endpoint was taken out: it finishes what it carries. */
  readonly removed = new AbortController();

  /** Checks in a row that contradict what it is taken for. */
  #turning = 0;
  /** Exchanges in a row that failed, and when the last one that counts did. */
  #failures = 0;
  #failedAt = -Infinity;
  /** Ejections that are not forgotten, how long the last one lasts, and when it was over. */
  #level = 0;
  #outMs = 0;
  #backAt = 0;

  constructor(address: Address, connection: C, tally = new Tally(address.name)) {
    this.address = address;
    this.connection = connection;
    this.tally = tally;
  }

  /** It has refused a connection; true when that is news. */
  refused(): boolean {
    const isNews = this.isReachable;
    this.isReachable = false;
    this.#judge();
    return isNews;
  }

  /** It accepts connections again. */
  reached(): void {
    this.isReachable = true;
    this.#judge();
  }

  /** A check is over, with why it failed; true when the endpoint turned by it. */
  checked(why: string | undefined, { healthFailures, healthSuccesses }: CheckPolicy): boolean {
    const isGood = why === undefined;
    if (isGood) this.counts.passed++;
    else this.counts.failed++;
    const wasGood = this.failing === undefined;
    this.#turning = isGood === wasGood ? 0 : this.#turning + 1;
    const turns = this.#turning >= (isGood ? healthSuccesses : healthFailures);
    if (turns) this.#turning = 0;
    if (turns || !wasGood) this.failing = turns && isGood ? undefined : (why ?? this.failing);
    this.#judge();
    return turns;
  }

  /** An exchange failed by the worker's fault; true when that was one too many. */
  failed(now: number, { ejectFailures }: EjectPolicy): boolean {
    if (this.ejectedUntil !== 0 || now - this.#failedAt < ONE_EVENT_MS) return false;
    this.#failedAt = now;
    this.#failures++;
    this.isMarked = true;
    return ejectFailures > 0 && this.#failures >= ejectFailures;
  }

  /** An exchange went well. An ejection is forgotten when the endpoint has been good for as long as it was out. */
  succeeded(now: number): void {
    this.#failures = 0;
    if (this.ejectedUntil === 0 && now - this.#backAt >= this.#outMs) this.#level = 0;
    this.isMarked = this.#level > 0;
  }

  /** Leaves it out; answers for how many milliseconds. */
  eject(now: number, { ejectMs, ejectMaxMs }: EjectPolicy): number {
    this.#outMs = Math.min(ejectMaxMs, ejectMs * 2 ** this.#level);
    this.#level++;
    this.isMarked = true;
    this.counts.ejections++;
    this.tally.ejections++;
    this.ejectedUntil = now + this.#outMs;
    this.#judge();
    return this.#outMs;
  }

  /** Its time is over. */
  back(now: number): void {
    this.ejectedUntil = 0;
    this.#failures = 0;
    this.#backAt = now;
    this.#judge();
  }

  #judge(): void {
    this.isUsable = this.isReachable && this.failing === undefined && this.ejectedUntil === 0;
  }
}
