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

  /**
   * Not a Set: one that is added to and deleted from all the time leaves a trail of outgrown tables, each linked to the next,
   * and once one of them is old, V8's scavenger keeps all that they name until the next full collection.
   */
  readonly #running: Exchange[] = [];

  get running(): number {
    return this.#running.length;
  }

  /** Counts an exchange in, until its last byte has left. */
  enter(exchange: Exchange): void {
    exchange.place = this.#running.length;
    this.#running.push(exchange);
    exchange.onClosed = this.#leave;
  }

  /** Fails everything that is still under way. */
  failAll(error: EdgeError): void {
    for (const exchange of Array.from(this.#running)) exchange.fail(error);
  }

  /** The last one takes the place of the one that goes. */
  readonly #leave = (exchange: Exchange): void => {
    const last = this.#running.pop();
    if (last === undefined || last === exchange) return;
    last.place = exchange.place;
    this.#running[exchange.place] = last;
  };
}
