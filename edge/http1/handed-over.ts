import type { Socket } from "node:net";
import type { Progress } from "../port/progress.ts";
import type { Connections, Member } from "./connections.ts";

/** A connection that has become a tunnel: its socket is the tunnel's, and it counts as open until that has closed. */
export class HandedOver implements Member {
  place = -1;
  readonly progress: Progress;

  readonly #socket: Socket;

  constructor(socket: Socket, all: Connections, progress: Progress) {
    this.#socket = socket;
    this.progress = progress;
    socket.once("close", () => all.remove(this));
  }

  /** A tunnel may be silent for as long as it likes. */
  tick(): void {}

  /** It is the tunnel that is told to leave. */
  drain(): void {}

  destroy(): void {
    this.#socket.destroy();
  }
}
