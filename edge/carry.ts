import { EdgeError, toEdgeError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Caller } from "./headers.ts";
import { toWorker } from "./headers.ts";
import type { Log } from "./log.ts";
import type { Forward } from "./proxy/forward.ts";
import { untilReachable } from "./upstream/health.ts";
import type { Endpoint, Lease, Pool } from "./upstream/pool.ts";

/** Gets one protocol's exchanges to one of its workers; answers the worker's name. `started` is on performance.now()'s clock. */
export type Carry = (exchange: Exchange, caller: Caller | undefined, started: number) => Promise<string>;

export interface CarryOptions {
  readonly trustedHops: number;
  readonly connectMs: number;
  readonly log: Log;
  /** Ends the waiting for workers that are away. */
  readonly stopping: AbortSignal;
}

/**
 * Leases a worker and forwards to it. One that cannot be reached has seen nothing of the request, so the next is tried,
 * and that one is left out until it accepts connections again.
 */
export function createCarry<C>(
  pool: Pool<C>,
  forward: (forward: Forward<C>) => Promise<void>,
  options: CarryOptions,
): Carry {
  return async (exchange, caller, started) => {
    const headers = toWorker(exchange.head, exchange.peer, { caller, trustedHops: options.trustedHops });
    let tried: Set<Endpoint<C>> | undefined;
    let last: EdgeError | undefined;
    for (let lease: Lease<C> | undefined; (lease = pool.lease(tried)) !== undefined;) {
      const { endpoint } = lease;
      try {
        await forward({ exchange, upstream: endpoint.connection, headers, started });
        return endpoint.address.name;
      } catch (thrown) {
        const error = toEdgeError(thrown);
        if (!error.row.retry) throw error;
        last = error;
        (tried ??= new Set()).add(endpoint);
        void leaveOut(endpoint, options);
      } finally {
        lease.release();
      }
    }
    throw last ?? new EdgeError("no_upstream");
  };
}

async function leaveOut(
  endpoint: Endpoint<unknown>,
  { connectMs, log, stopping }: CarryOptions,
): Promise<void> {
  if (!endpoint.healthy) return;
  endpoint.healthy = false;
  log.warn({ worker: endpoint.address.name }, "worker unreachable");
  try {
    await untilReachable(endpoint.address, connectMs, stopping);
  } catch {
    // The edge is stopping; nobody will ask for this worker again.
    return;
  }
  endpoint.healthy = true;
  log.info({ worker: endpoint.address.name }, "worker reachable again");
}
