import type { Socket } from "node:net";
import type { Peer } from "../exchange.ts";
import { peerOf } from "../peer.ts";

/** One HTTP/1.1 connection, and what is under way on it: Node tells neither. */
export class Connection {
  readonly peer: Peer;
  /** True once nothing that still comes on it may be read as a request. */
  isDoomed = false;

  readonly #socket: Socket;
  readonly #all: Connections;
  /** Exchanges whose reply has not left yet. */
  #active = 0;

  constructor(socket: Socket, all: Connections) {
    this.#socket = socket;
    this.#all = all;
    this.peer = peerOf(socket);
  }

  get isBusy(): boolean {
    return this.#active > 0;
  }

  /** True when the reply that is being written is the last one. */
  get isClosing(): boolean {
    return this.isDoomed || this.#all.isDraining;
  }

  /** Counts an exchange in. */
  enter(): void {
    this.#active++;
  }

  /** An exchange's last byte has left. */
  leave(): void {
    this.#active--;
    if (this.#active === 0 && this.isClosing) this.#socket.destroySoon();
  }

  /** Takes no further request, and closes when what is under way has been answered. */
  doom(): void {
    this.isDoomed = true;
    if (this.#active === 0) this.#socket.destroySoon();
  }
}

/** The HTTP/1.1 connections. */
export class Connections {
  isDraining = false;

  readonly #all = new Map<Socket, Connection>();
  #emptied = (): void => {};

  add(socket: Socket): void {
    this.#all.set(socket, new Connection(socket, this));
    socket.once("close", () => {
      this.#all.delete(socket);
      if (this.#all.size === 0) this.#emptied();
    });
  }

  /** Undefined once it is closed. */
  of(socket: Socket): Connection | undefined {
    return this.#all.get(socket);
  }

  /** Closes what is idle, and the others as they become so. Resolves when none is left. */
  drain(): Promise<void> {
    this.isDraining = true;
    for (const [socket, { isBusy }] of this.#all) if (!isBusy) socket.destroy();
    if (this.#all.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied = resolve;
    });
  }

  destroy(): void {
    for (const socket of this.#all.keys()) socket.destroy();
  }
}
