import type { Holder } from "../exchange.ts";
import type { Goodbye, Tunnel } from "./tunnel.ts";

/** What is known of one tunnel. */
interface Entry {
  readonly upstream: object;
  /** On performance.now()'s clock. */
  readonly since: number;
  /** True once the worker has accepted it. */
  isOpen: boolean;
}

/** How often it is looked whose time is over, in milliseconds. */
const LOOK_MS = 1000;
/** How often some are closed at most, when all are to be, in milliseconds. */
const STEP_MS = 50;

/** What a tunnel is told that has lasted as long as it may: the client may open another at once. */
const TIME_IS_UP: Goodbye = { code: 1001, reason: "the connection has lasted as long as it may" };

/** The WebSockets under way, each with the upstream it goes to, so that they can be told to leave. */
export class Tunnels {
  readonly #all = new Map<Tunnel, Entry>();
  /** What those are told that open now, although they should not: by upstream, and for all. */
  readonly #left = new WeakMap<object, Goodbye>();
  #closed: Goodbye | undefined;
  #emptied = (): void => {};
  readonly #clock: NodeJS.Timeout | undefined;
  #steps: NodeJS.Timeout | undefined;

  /** `maxMs` is how long one may last, in milliseconds; 0 is for ever. */
  constructor(maxMs: number) {
    if (maxMs > 0) this.#clock = setInterval(() => this.#closeOld(maxMs), Math.min(LOOK_MS, maxMs)).unref();
  }

  add(tunnel: Tunnel, upstream: object): void {
    this.#all.set(tunnel, { upstream, since: performance.now(), isOpen: false });
  }

  delete(tunnel: Tunnel): void {
    this.#all.delete(tunnel);
    if (this.#all.size === 0) this.#emptied();
  }

  /**
   * Resolves when none is left. That may be after the last client's connection has closed: what it had sent is still on its way
   * to a worker that reads slowly.
   */
  emptied(): Promise<void> {
    if (this.#all.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied = resolve;
    });
  }

  /** Those whose client has gone: nobody's connection holds what their worker has yet to read. */
  orphans(): Holder[] {
    return [...this.#all.keys()].filter(({ isOrphan }) => isOrphan);
  }

  /** Those that are open, handshakes not included. */
  get open(): number {
    return [...this.#all.values()].filter(({ isOpen }) => isOpen).length;
  }

  /** The worker has accepted it. Its handshake may have begun before its upstream was left, and end after it. */
  opened(tunnel: Tunnel): void {
    const entry = this.#all.get(tunnel);
    if (entry !== undefined) entry.isOpen = true;
    const goodbye = this.#closed ?? this.#left.get(entry?.upstream ?? this);
    if (goodbye !== undefined) tunnel.close(goodbye);
  }

  /** Closes those that go to one upstream. */
  leave(upstream: object, goodbye: Goodbye): void {
    this.#left.set(upstream, goodbye);
    for (const [tunnel, entry] of this.#all) if (entry.upstream === upstream) tunnel.close(goodbye);
  }

  /** Closes all, spread evenly over `ms` milliseconds: not all clients shall come to the next server at once. */
  close(goodbye: Goodbye, ms: number): void {
    this.#closed = goodbye;
    const left = [...this.#all.keys()];
    if (left.length === 0) return;
    const stepMs = Math.max(STEP_MS, ms / left.length);
    const share = ms === 0 ? left.length : Math.ceil((left.length * stepMs) / ms);
    const step = (): void => {
      for (const tunnel of left.splice(0, share)) if (this.#all.has(tunnel)) tunnel.close(goodbye);
      if (left.length === 0) clearInterval(this.#steps);
    };
    this.#steps = setInterval(step, stepMs).unref();
    step();
  }

  /** Tells nobody anything any more. */
  destroy(): void {
    clearInterval(this.#clock);
    clearInterval(this.#steps);
  }

  #closeOld(maxMs: number): void {
    const oldest = performance.now() - maxMs;
    for (const [tunnel, { since }] of this.#all) if (since <= oldest) tunnel.close(TIME_IS_UP);
  }
}
