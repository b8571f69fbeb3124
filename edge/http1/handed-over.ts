import type { Socket } from "node:net";
import type { Progress } from "../port/progress.ts";
import type { Connections, Member } from "./connections.ts";

/** A connection that has become a tunnel: its socket is the tunnel's, and it counts as open until that has closed. */
export class HandedOver implements Member {
  place = -1;
  readonly progress: Progress;

  readonly #socket: Socket;
  readonly #exchange: { readonly held: number };

  constructor(socket: Socket, all: Connections, progress: Progress, exchange: { readonly held: number }) {
    this.#socket = socket;
    this.#exchange = exchange;
    this.progress = progress;
    socket.on("close", () => all.remove(this));
  }

  get held(): number {
    return this.#exchange.held;
  }

  shed(): void {
    this.#socket.resetAndDestroy();
  }

  /** A tunnel may be silent for as long as it likes. */
  tick(): void {}

  /** It is the tunnel that is told to leave. */
  drain(): void {}

  destroy(): void {
    this.#socket.destroy();
  }
}
