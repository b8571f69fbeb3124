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
  #idle: (() => void)[] = [];

  get running(): number {
    return this.#running.size;
  }

  /** Counts an exchange in; call what it returns when the exchange is over. */
  enter(exchange: Exchange): () => void {
    this.#running.add(exchange);
    return () => {
      if (!this.#running.delete(exchange) || this.#running.size > 0) return;
      for (const resolve of this.#idle.splice(0)) resolve();
    };
  }

  /** Resolves true once nothing is under way, false when `ms` milliseconds are over first. */
  async idle(ms: number): Promise<boolean> {
    if (this.#running.size === 0) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), ms);
    this.#idle.push(() => resolve(true));
    return promise.finally(() => clearTimeout(timer));
  }

  /** Fails everything that is still under way. */
  failAll(error: EdgeError): void {
    for (const exchange of this.#running) exchange.fail(error);
  }
}
