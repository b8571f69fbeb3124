import type { Socket } from "node:net";

interface Connection {
  /** Exchanges whose reply has not left yet. */
  active: number;
  /** True once nothing that still comes on this connection may be read as a request. */
  doomed: boolean;
}

/** The HTTP/1.1 connections, and what is under way on each: Node tells neither. */
export class Connections {
  readonly #all = new Map<Socket, Connection>();
  #draining = false;
  #emptied = (): void => {};

  add(socket: Socket): void {
    this.#all.set(socket, { active: 0, doomed: false });
    socket.once("close", () => {
      this.#all.delete(socket);
      if (this.#all.size === 0) this.#emptied();
    });
  }

  /** Counts an exchange in; call what it returns when its last byte has left. */
  enter(socket: Socket): () => void {
    const connection = this.#all.get(socket);
    if (connection === undefined) return () => {};
    connection.active++;
    return () => {
      connection.active--;
      if (connection.active === 0 && (connection.doomed || this.#draining)) socket.destroySoon();
    };
  }

  isBusy(socket: Socket): boolean {
    return (this.#all.get(socket)?.active ?? 0) > 0;
  }

  /** Takes no further request from a connection, and closes it when what is under way has been answered. */
  doom(socket: Socket): void {
    const connection = this.#all.get(socket);
    if (connection === undefined) return;
    connection.doomed = true;
    if (connection.active === 0) socket.destroySoon();
  }

  isDoomed(socket: Socket): boolean {
    return this.#all.get(socket)?.doomed === true;
  }

  /** True when the reply that is being written is the last one on its connection. */
  isClosing(socket: Socket): boolean {
    return this.#draining || this.isDoomed(socket);
  }

  /** Closes what is idle, and the others as they become so. Resolves when none is left. */
  drain(): Promise<void> {
    this.#draining = true;
    for (const [socket, { active }] of this.#all) if (active === 0) socket.destroy();
    if (this.#all.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied = resolve;
    });
  }

  destroy(): void {
    for (const socket of this.#all.keys()) socket.destroy();
  }
}
