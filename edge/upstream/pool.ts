import { Tallies } from "../observe/metrics.ts";
import type { Address } from "../settings/parse.ts";
import { Endpoint } from "./endpoint.ts";

/** An endpoint for one exchange, and its release. */
export interface Lease<C> {
  readonly endpoint: Endpoint<C>;
  release(): void;
}

/** The workers of one protocol. No I/O: what opens and closes connections is handed in. */
export class Pool<C> {
  readonly #open: (address: Address) => C;
  readonly #close: (connection: C) => void;
  readonly #maxActive: number;
  readonly #tallies: Tallies;
  #endpoints: Endpoint<C>[] = [];
  #isNone = false;
  /** Where the next search begins. */
  #next = 0;

  /** `maxActive` is how many leases an endpoint may have at a time. */
  constructor(
    maxActive: number,
    open: (address: Address) => C,
    close: (connection: C) => void,
    tallies = new Tallies(),
  ) {
    this.#maxActive = maxActive;
    this.#tallies = tallies;
    this.#open = open;
    this.#close = close;
  }

  get endpoints(): readonly Endpoint<C>[] {
    return this.#endpoints;
  }

  /** Replaces the endpoint list. Removed endpoints, which are answered, finish what they carry, then close. */
  swap(addresses: readonly Address[]): Endpoint<C>[] {
    this.#isNone = addresses.length === 0;
    const known = new Map(this.#endpoints.map((endpoint) => [endpoint.address.name, endpoint]));
    this.#endpoints = addresses.map((address) => known.get(address.name) ?? this.#newEndpoint(address));
    const live = new Set(this.#endpoints);
    const removed = [...known.values()].filter((endpoint) => !live.has(endpoint));
    for (const endpoint of removed) {
      endpoint.removed.abort();
      if (endpoint.active === 0) this.#end(endpoint);
    }
    return removed;
  }

  #newEndpoint(address: Address): Endpoint<C> {
    return new Endpoint(address, this.#open(address), this.#tallies.join(address.name));
  }

  /** Once: a busy one that is closed with its pool is released later. */
  #end(endpoint: Endpoint<C>): void {
    if (endpoint.isClosed) return;
    endpoint.isClosed = true;
    this.#close(endpoint.connection);
    this.#tallies.leave(endpoint.tally);
  }

  /** True when it was given no worker at all: the protocol is not served. */
  get isNone(): boolean {
    return this.#isNone;
  }

  /** True when an endpoint that could be leased has as much to do as it may have. */
  get isBusy(): boolean {
    const inNeed = this.#isInNeed;
    return this.#endpoints.some(
      ({ isUsable, isReachable, active }) => (inNeed ? isReachable : isUsable) && active >= this.#maxActive,
    );
  }

  /** True when `endpoint` is not the last one that is usable. */
  hasOther(endpoint: Endpoint<C>): boolean {
    return this.#endpoints.some((other) => other !== endpoint && other.isUsable);
  }

  /**
   * The least loaded usable endpoint that is not in `tried` and has room; equals take turns. Undefined when there is none. Where
   * no endpoint is usable, those count that are reachable: a worker that fails now and then is better than none.
   */
  lease(tried?: ReadonlySet<Endpoint<C>>): Lease<C> | undefined {
    return this.#lease(tried, false) ?? (this.#isInNeed ? this.#lease(tried, true) : undefined);
  }

  #lease(tried: ReadonlySet<Endpoint<C>> | undefined, inNeed: boolean): Lease<C> | undefined {
    const count = this.#endpoints.length;
    let best: Endpoint<C> | undefined;
    let next = 0;
    for (let i = 0; i < count; i++) {
      const at = (this.#next + i) % count;
      const endpoint = this.#endpoints[at];
      if (endpoint === undefined || !(inNeed ? endpoint.isReachable : endpoint.isUsable)) continue;
      if (tried?.has(endpoint) === true) continue;
      if (endpoint.active >= (best?.active ?? this.#maxActive)) continue;
      best = endpoint;
      next = at + 1;
    }
    if (best === undefined) return undefined;
    this.#next = next;
    best.active++;
    return new PoolLease(best, this.#released);
  }

  get #isInNeed(): boolean {
    return !this.#endpoints.some(({ isUsable }) => isUsable);
  }

  /** Closes every endpoint, whatever it carries. */
  close(): void {
    for (const endpoint of this.#endpoints) this.#end(endpoint);
    this.#endpoints = [];
  }

  readonly #released = (endpoint: Endpoint<C>): void => {
    endpoint.active--;
    if (endpoint.active === 0 && !this.#endpoints.includes(endpoint)) this.#end(endpoint);
  };
}

class PoolLease<C> implements Lease<C> {
  readonly endpoint: Endpoint<C>;
  readonly #released: (endpoint: Endpoint<C>) => void;
  #isOver = false;

  constructor(endpoint: Endpoint<C>, released: (endpoint: Endpoint<C>) => void) {
    this.endpoint = endpoint;
    this.#released = released;
  }

  /** Counts once, however often it is called. */
  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#released(this.endpoint);
  }
}
