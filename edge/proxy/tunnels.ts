import type { Tunnel } from "./tunnel.ts";

/** A close code and its reason (RFC 6455, section 7.4.1). */
export interface Goodbye {
  readonly code: number;
  readonly reason: string;
}

/** The WebSockets under way, each with the upstream it goes to, so that they can be told to leave. */
export class Tunnels {
  readonly #all = new Map<Tunnel, object>();
  /** What those are told that open now, although they should not: by upstream, and for all. */
  readonly #left = new WeakMap<object, Goodbye>();
  #closed: Goodbye | undefined;

  add(tunnel: Tunnel, upstream: object): void {
    this.#all.set(tunnel, upstream);
  }

  delete(tunnel: Tunnel): void {
    this.#all.delete(tunnel);
  }

  /** The worker has accepted it. Its handshake may have begun before its upstream was left, and end after it. */
  opened(tunnel: Tunnel): void {
    const goodbye = this.#closed ?? this.#left.get(this.#all.get(tunnel) ?? this);
    if (goodbye !== undefined) tunnel.close(goodbye.code, goodbye.reason);
  }

  /** Closes those that go to one upstream. */
  leave(upstream: object, goodbye: Goodbye): void {
    this.#left.set(upstream, goodbye);
    for (const [tunnel, to] of this.#all) if (to === upstream) tunnel.close(goodbye.code, goodbye.reason);
  }

  /** Closes all. */
  close(goodbye: Goodbye): void {
    this.#closed = goodbye;
    for (const tunnel of this.#all.keys()) tunnel.close(goodbye.code, goodbye.reason);
  }
}
