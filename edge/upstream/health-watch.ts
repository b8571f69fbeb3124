import { setTimeout as sleep } from "node:timers/promises";
import type { EdgeError } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import type { CheckPolicy, EjectPolicy, Endpoint } from "./endpoint.ts";
import type { Check, Verdict } from "./health-probe.ts";
import { probe } from "./health-probe.ts";
import { untilReachable } from "./reachable.ts";
import type { Origin } from "./origin.ts";
import type { Pool } from "./pool.ts";

export interface HealthOptions extends CheckPolicy, EjectPolicy {
  readonly connectMs: number;
  readonly healthIntervalMs: number;
  readonly healthTimeoutMs: number;
  readonly log: Log;
  /** False before there is anything to check for. */
  readonly isOpen: () => boolean;
  /** Ends all checks, and all waiting for workers that are away. */
  readonly stopping: AbortSignal;
}

/** The part of the interval by which a pause is shorter or longer, so that checks do not come all at once. */
const JITTER = 0.2;
/** A verdict that is so much later than its time limit, in milliseconds, says that this process stood still, and no more. */
const LATE_MS = 500;

/** True for a failure before a connection was there. */
export function isOutOfReach({ code }: EdgeError): boolean {
  return code === "upstream_refused" || code === "upstream_tls";
}

/** Knows which workers of one pool are well: by their checks, by who refused a connection, by what became of exchanges. */
export class HealthWatch<C extends { readonly origin: Origin | undefined }> {
  readonly #pool: Pool<C>;
  readonly #asks: Check;
  readonly #options: HealthOptions;
  readonly #watched = new WeakSet<Endpoint<C>>();

  /** Without `asks` there are no checks, and no timers for them. */
  constructor(pool: Pool<C>, asks: Check, options: HealthOptions) {
    this.#pool = pool;
    this.#asks = asks;
    this.#options = options;
    this.begin();
  }

  /** Begins to check what is new in the pool. What was taken out of it is not checked any more. */
  begin(): void {
    const asks = this.#asks;
    if (asks === undefined) return;
    for (const endpoint of this.#pool.endpoints) {
      if (this.#watched.has(endpoint)) continue;
      this.#watched.add(endpoint);
      void this.#check(endpoint, asks);
    }
  }

  /** No connection to a worker could be made: it is left out until one can. */
  refused(endpoint: Endpoint<C>, error: EdgeError): void {
    if (endpoint.refused()) void this.#untilReached(endpoint, error);
  }

  /** An exchange has failed by the worker's fault. */
  failed(endpoint: Endpoint<C>, { code }: EdgeError): void {
    const now = performance.now();
    if (!endpoint.failed(now, this.#options)) return;
    // What is left may be as bad, but whoever is last has to do.
    if (endpoint.removed.signal.aborted || !this.#pool.hasOther(endpoint)) return;
    const ms = endpoint.eject(now, this.#options);
    this.#options.log.warn({ worker: endpoint.address.name, error: code, ms }, "worker ejected");
    void this.#untilBack(endpoint, ms);
  }

  async #untilBack(endpoint: Endpoint<C>, ms: number): Promise<void> {
    if (!(await this.#pause(ms, this.#endOf(endpoint)))) return;
    endpoint.back(performance.now());
    this.#options.log.info({ worker: endpoint.address.name }, "worker back");
  }

  async #untilReached(endpoint: Endpoint<C>, { reason }: EdgeError): Promise<void> {
    const { connectMs, log } = this.#options;
    log.warn({ worker: endpoint.address.name, reason }, "worker unreachable");
    try {
      await untilReachable(endpoint.address, connectMs, this.#endOf(endpoint));
    } catch {
      // The edge is stopping, or was given other workers; nobody will ask for this one again.
      return;
    }
    endpoint.reached();
    log.info({ worker: endpoint.address.name }, "worker reachable again");
  }

  async #check(endpoint: Endpoint<C>, asks: NonNullable<Check>): Promise<void> {
    const { healthIntervalMs, healthTimeoutMs, isOpen } = this.#options;
    const signal = this.#endOf(endpoint);
    while (await this.#pause(healthIntervalMs * (1 - JITTER + Math.random() * 2 * JITTER), signal)) {
      // One that is unreachable is asked all the time until it is not.
      if (!isOpen() || !endpoint.isReachable) continue;
      const started = performance.now();
      const verdict = await probe(
        asks(endpoint.address, endpoint.connection.origin),
        healthTimeoutMs,
        signal,
      );
      if (signal.aborted) return;
      if (performance.now() - started < healthTimeoutMs + LATE_MS) this.#heed(endpoint, verdict);
    }
  }

  #heed(endpoint: Endpoint<C>, verdict: Verdict): void {
    // No file left for its connection, or no token for it: that the edge could not ask says nothing about the worker.
    if (verdict?.row.side === "edge") return;
    if (verdict !== undefined && isOutOfReach(verdict)) this.refused(endpoint, verdict);
    const turned = endpoint.checked(verdict?.message, this.#options);
    if (!turned) return;
    const { log } = this.#options;
    const worker = endpoint.address.name;
    if (verdict === undefined) log.info({ worker }, "worker healthy again");
    else log.warn({ worker, why: verdict.message }, "worker unhealthy");
  }

  #endOf({ removed }: Endpoint<C>): AbortSignal {
    return AbortSignal.any([this.#options.stopping, removed.signal]);
  }

  /** False when the signal was over first. */
  async #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    try {
      await sleep(ms, undefined, { signal, ref: false });
      return true;
    } catch {
      return false;
    }
  }
}
