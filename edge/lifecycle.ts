import type { EdgeError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";

export type Phase = "starting" | "ready" | "draining" | "closed";

/**
 * What the edge is doing, and the exchanges under way.
 *
 *   starting ──▶ ready ──▶ draining ──▶ closed
 */
export class Lifecycle {
  phase: Phase = "starting";

  readonly #running = new Set<Exchange>();
  readonly #leave = (exchange: Exchange): void => void this.#running.delete(exchange);

  get running(): number {
    return this.#running.size;
  }

  /** Counts an exchange in, until its last byte has left. */
  enter(exchange: Exchange): void {
    this.#running.add(exchange);
    exchange.onClosed = this.#leave;
  }

  /** Fails everything that is still under way. */
  failAll(error: EdgeError): void {
    for (const exchange of this.#running) exchange.fail(error);
  }
}
