import { EdgeError, toEdgeError } from "./errors.ts";
import type { Caller, Exchange, HeaderList } from "./exchange.ts";
import { toWorker } from "./headers.ts";
import type { Tally } from "./observe/metrics.ts";
import { mayOpen } from "./origin.ts";
import type { Forward } from "./proxy/forward.ts";
import { route } from "./route.ts";
import type { RepeatableBody } from "./proxy/repeatable-body.ts";
import type { Endpoint } from "./upstream/endpoint.ts";
import { isOutOfReach } from "./upstream/health-watch.ts";
import type { Lease, Pool } from "./upstream/pool.ts";
import type { Upstream, Workers } from "./upstream/workers.ts";

/** An exchange that is to get to a worker. */
export interface Passenger {
  readonly exchange: Exchange;
  readonly caller: Caller | undefined;
  /** When it began, on performance.now()'s clock. */
  readonly started: number;
  /** Called once: how it ended, and the tally of the worker it got to, if it got to one. */
  settled(error: EdgeError | undefined, tally: Tally | undefined): void;
}

/** Gets one protocol's exchanges to one of its workers. */
export type Carry = (passenger: Passenger) => void;

/**
 * A deadline that left a worker less than this, in milliseconds, says nothing about the worker: clients choose theirs. Less than
 * a second, since timers may be a little early.
 */
const FAIR_MS = 900;

/** Leases a worker and forwards to it. */
export function createCarry<C extends Upstream>(
  workers: Workers<C>,
  forward: (forward: Forward<C>) => void,
  trustedHops: number,
): Carry {
  return (passenger) => new Carriage(passenger, workers, forward, trustedHops).next();
}

/** Refuses WebSockets of pages that may not open them, before a worker is looked for; `allowed` as in `mayOpen`. */
export function fromOrigins(allowed: readonly string[], carry: Carry): Carry {
  return (passenger) => {
    if (mayOpen(passenger.exchange.head, allowed)) carry(passenger);
    else passenger.settled(new EdgeError("origin_not_allowed"), undefined);
  };
}

/**
 * One exchange's way to one worker, or to several: one that cannot be reached has seen nothing of the request, so the next is
 * tried, and that one is left out until it accepts connections again. One that refused the request, or was about to leave, has
 * not processed it: the next is tried as well, and the same one if there is no other, once. All that within the retry budget.
 */
class Carriage<C extends Upstream> implements Forward<C> {
  readonly exchange: Exchange;
  readonly headers: HeaderList;
  readonly started: number;
  body: RepeatableBody | undefined;

  readonly #passenger: Passenger;
  readonly #workers: Workers<C>;
  readonly #forward: (forward: Forward<C>) => void;
  #lease: Lease<C> | undefined;
  #tried: Set<Endpoint<C>> | undefined;
  #last: EdgeError | undefined;
  #again = false;

  constructor(
    passenger: Passenger,
    workers: Workers<C>,
    forward: (forward: Forward<C>) => void,
    trustedHops: number,
  ) {
    this.exchange = passenger.exchange;
    this.started = passenger.started;
    this.headers = workerHeaders(passenger, trustedHops);
    workers.retries.count();
    this.#passenger = passenger;
    this.#workers = workers;
    this.#forward = forward;
  }

  get upstream(): C {
    if (this.#lease === undefined) throw new Error("there is no lease");
    return this.#lease.endpoint.connection;
  }

  next(): void {
    this.#lease = this.#workers.pool.lease(this.#tried) ?? this.#secondChance();
    if (this.#last !== undefined) this.#payForRetry();
    if (this.#lease === undefined)
      return this.#passenger.settled(this.#last ?? whyNone(this.#workers.pool), undefined);
    try {
      this.#forward(this);
    } catch (thrown) {
      this.done(toEdgeError(thrown));
    }
  }

  done(error: EdgeError | undefined): void {
    const lease = this.#lease;
    if (lease === undefined) return;
    this.#lease = undefined;
    lease.release();
    const { endpoint } = lease;
    if (error !== undefined) return this.#failed(error, endpoint);
    if (endpoint.isMarked) endpoint.succeeded(performance.now());
    this.#passenger.settled(undefined, endpoint.tally);
  }

  /** What failed is the doing of the worker that was tried before. */
  notSent(error: EdgeError): void {
    this.#lease?.release();
    this.#lease = undefined;
    this.#passenger.settled(error, Array.from(this.#tried ?? []).at(-1)?.tally);
  }

  opened(): void {
    const endpoint = this.#lease?.endpoint;
    if (endpoint?.isMarked === true) endpoint.succeeded(performance.now());
  }

  #failed(error: EdgeError, endpoint: Endpoint<C>): void {
    const { health } = this.#workers;
    if (isOutOfReach(error)) health.refused(endpoint, error);
    else if (this.#isWorkersFault(error)) health.failed(endpoint, error);
    if (!error.row.retry) return this.#passenger.settled(error, endpoint.tally);
    endpoint.tally.retries++;
    this.#last = error;
    (this.#tried ??= new Set()).add(endpoint);
    this.next();
  }

  /** Whether a failure speaks against the worker. How a WebSocket ends does not: it may have lasted, or its client vanished. */
  #isWorkersFault({ code, row }: EdgeError): boolean {
    const { status, head } = this.exchange;
    if (row.side !== "upstream" || (head.protocol === "websocket" && status !== undefined)) return false;
    // A worker may refuse a body by breaking off while it comes, and its reply is lost with that: as easily the client's fault.
    if (code === "upstream_reset" && status === undefined && head.hasBody && route(head) === "http")
      return false;
    return code !== "deadline" || (status === undefined && performance.now() - this.started >= FAIR_MS);
  }

  /** What may not be sent again after all has failed. */
  #payForRetry(): void {
    if (this.#lease === undefined || this.#workers.retries.take(performance.now())) return;
    this.#lease.release();
    this.#lease = undefined;
  }

  #secondChance(): Lease<C> | undefined {
    if (this.#again || this.#last?.code !== "upstream_unprocessed") return undefined;
    this.#again = true;
    return this.#workers.pool.lease();
  }
}

/** Why nobody could be leased. */
function whyNone({ isNone, isBusy }: Pick<Pool<unknown>, "isNone" | "isBusy">): EdgeError {
  if (isNone) return new EdgeError("not_supported", "this protocol is not served here");
  return new EdgeError(isBusy ? "overloaded" : "no_upstream");
}

function workerHeaders({ exchange, caller }: Passenger, trustedHops: number): HeaderList {
  const { head, peer } = exchange;
  const { memo } = head;
  if (memo?.toWorker !== undefined && memo.caller === caller) return memo.toWorker;
  const headers = toWorker(head, peer, { caller, trustedHops });
  if (memo !== undefined) {
    memo.caller = caller;
    memo.toWorker = headers;
    memo.toWorkerText = undefined;
  }
  return headers;
}
