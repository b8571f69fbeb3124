import type { Connection } from "./connection.ts";

/** Idle connections kept to one worker. */
const MAX_IDLE = 256;

/** How often it is looked whether an idle connection has had its time, in milliseconds. */
const SWEEP_MS = 1000;

/** The connections of one worker that wait for a request. The last one put in is the first one taken: the others may grow old. */
export class IdleConnections {
  #all: Connection[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** A connection that may still be used; undefined when there is none. */
  take(): Connection | undefined {
    const now = performance.now();
    for (let found = this.#all.pop(); found !== undefined; found = this.#all.pop()) {
      if (found.idleUntil > now) return found;
      found.destroy();
    }
    return undefined;
  }

  /** Keeps a connection for `idleMs` milliseconds; beyond MAX_IDLE the one that has waited longest is closed. */
  put(connection: Connection, idleMs: number): void {
    connection.idleUntil = performance.now() + idleMs;
    this.#all.push(connection);
    if (this.#all.length > MAX_IDLE) this.#all.shift()?.destroy();
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
      this.#timer.unref();
    }
  }

  /** Forgets a connection that has closed. */
  remove(connection: Connection): void {
    const at = this.#all.indexOf(connection);
    if (at >= 0) this.#all.splice(at, 1);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const connection of this.#all.splice(0)) connection.destroy();
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of Array.from(this.#all)) if (connection.idleUntil <= now) connection.destroy();
    if (this.#all.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
