import type { Route } from "../exchange.ts";
import type { LimitName } from "../limits.ts";
import { EXCEEDED } from "../limits.ts";
import { OUTCOMES } from "./outcomes.ts";

/** Upper bounds of how long exchanges take, in milliseconds; the last one is for WebSockets. */
export const BOUNDS_MS = [1, 5, 25, 100, 500, 2500, 10_000, 60_000, 600_000] as const;

/** Workers that are no longer asked, of one protocol, and still have counts of their own. */
const MAX_GONE = 100;

function increase(counts: Float64Array, at: number, by: number): void {
  counts[at] = (counts[at] ?? 0) + by;
}

/** How exchanges with one worker ended. Plain numbers: counting must cost a request next to nothing. */
export class Tally {
  readonly worker: string;
  /** How often each of OUTCOMES. */
  readonly outcomes = new Float64Array(OUTCOMES.length);
  /** How many took as long as each of BOUNDS_MS at most and longer than the one before; the last, longer than all. */
  readonly durations = new Float64Array(BOUNDS_MS.length + 1);
  /** How long all took together. */
  ms = 0;
  /** Attempts after which another one was made. */
  retries = 0;
  /** How often it was left out because its exchanges failed. */
  ejections = 0;
  /** What a log line says of the worker's usual answer, and which that is; for ExchangeLog alone. */
  logOutcome = -1;
  logStatus = -1;
  logRoute: Route | undefined;
  logText: Buffer | undefined;
  /** Endpoints that count here; for Tallies alone. */
  users = 0;

  constructor(worker = "") {
    this.worker = worker;
  }

  count(outcome: number, ms: number): void {
    let at = 0;
    while (at < BOUNDS_MS.length && ms > (BOUNDS_MS[at] ?? 0)) at++;
    increase(this.outcomes, outcome, 1);
    increase(this.durations, at, 1);
    this.ms += ms;
  }

  get total(): number {
    return this.outcomes.reduce((sum, count) => sum + count, 0);
  }

  /** Takes over what another has counted. */
  add(other: Tally): void {
    for (const [at, count] of other.outcomes.entries()) increase(this.outcomes, at, count);
    for (const [at, count] of other.durations.entries()) increase(this.durations, at, count);
    this.ms += other.ms;
    this.retries += other.retries;
    this.ejections += other.ejections;
  }
}

/**
 * What is counted of one protocol, by worker. A worker that is taken out keeps its counts, so that none ever falls; when there are
 * many of these, the oldest become one.
 */
export class Tallies {
  /** Exchanges that have begun. */
  begun = 0;
  /** Of exchanges that got to no worker. */
  readonly nowhere = new Tally();
  readonly #gone = new Tally("gone");
  readonly #byWorker = new Map<string, Tally>();

  /** The tally of a worker, for one endpoint; to be given back by `leave`. */
  join(worker: string): Tally {
    const tally = this.#byWorker.get(worker) ?? new Tally(worker);
    this.#byWorker.set(worker, tally);
    tally.users++;
    return tally;
  }

  /** The endpoint has finished what it carried, and is closed. */
  leave(tally: Tally): void {
    tally.users--;
    if (tally.users > 0) return;
    // Among those that left, the last one is the youngest.
    this.#byWorker.delete(tally.worker);
    this.#byWorker.set(tally.worker, tally);
    const left = [...this.#byWorker.values()].filter(({ users }) => users === 0);
    for (const oldest of left.slice(0, Math.max(0, left.length - MAX_GONE))) {
      this.#gone.add(oldest);
      this.#byWorker.delete(oldest.worker);
    }
  }

  all(): Tally[] {
    return [this.nowhere, ...this.#byWorker.values(), this.#gone];
  }
}

/** What one process counts. */
export class Metrics {
  readonly http = new Tallies();
  readonly grpc = new Tallies();
  readonly ws = new Tallies();
  /** By route; what is to become a gRPC call counts as one. */
  readonly byRoute: Readonly<Record<Route, Tallies>> = {
    http: this.http,
    preflight: this.http,
    grpc: this.grpc,
    "grpc-web": this.grpc,
    websocket: this.ws,
  };
  /** How often clients exceeded each limit. */
  readonly exceeded: Record<LimitName, number> = Object.assign(
    Object.create(null),
    Object.fromEntries(Object.keys(EXCEEDED).map((limit) => [limit, 0])),
  ) as Record<LimitName, number>;

  countExceeded(limit: LimitName): void {
    this.exceeded[limit]++;
  }
}
