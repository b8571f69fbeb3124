import type { Socket } from "node:net";
import { createServer } from "node:net";
import type { Config } from "../settings/config.ts";
import type { Handler, Holder, ProtocolServer } from "../exchange.ts";
import type { Clients } from "../observe/families.ts";
import { createHttp1 } from "../http1/server.ts";
import type { LimitName } from "../limits.ts";
import { createHttp2 } from "../http2/server.ts";
import { listen } from "./listen.ts";
import { connectionsFor, mostOpenFiles } from "./open-files.ts";
import { sniff } from "./sniff.ts";
import type { SocketEnd } from "./socket-end.ts";
import { adopt } from "./socket-end.ts";

const NOTHING = Buffer.alloc(0);

/** The one port: tells each connection's protocol from its first bytes and hands it to that protocol's server. */
export interface EdgeServer {
  /** Resolves with the port once listening; rejects when it cannot. */
  listen(port: number): Promise<number>;
  /** What has come and is open. */
  clients(): Omit<Clients, "tunnels" | "held">;
  /** All connections whose protocol is clear. */
  holders(): Iterable<Holder>;
  /** Takes a connection that was accepted elsewhere, before anything was read from it; closes it when there are too many. */
  accept(end: SocketEnd): void;
  /** Takes no new connection; running exchanges go on. Resolves when the last connection is closed. */
  drain(): Promise<void>;
  /** Ends every connection at once. */
  destroy(): void;
}

/** `exceeded` hears of each limit that a client exceeded. */
export function createEdgeServer(
  config: Config,
  handle: Handler,
  exceeded: (limit: LimitName) => void = () => {},
): EdgeServer {
  const http1 = createHttp1(config, handle, exceeded);
  const http2 = createHttp2(config, handle, exceeded);
  const undecided = new Set<Socket>();
  const most = config.connections ?? connectionsFor(mostOpenFiles());
  let open = 0;
  const traffic = new Traffic();
  const accept = (end: SocketEnd): void => {
    const { socket } = end;
    if (open >= most) {
      exceeded("connections");
      return void socket.destroy();
    }
    open++;
    undecided.add(socket);
    traffic.add(socket);
    socket.on("close", () => {
      open--;
      undecided.delete(socket);
      traffic.delete(socket);
    });
    const decided = (protocol: "http1" | "http2", first: Buffer): void => {
      undecided.delete(socket);
      (protocol === "http2" ? http2 : http1).accept(end, first);
    };
    detect(end, config, decided, exceeded);
  };
  const server = createServer({ noDelay: true }, (socket) => accept(adopt(socket)));
  const all: readonly ProtocolServer[] = [http1, http2];
  return {
    clients() {
      const { connections, streams } = http2.open();
      const open = { 1: http1.open().connections, 2: connections, undecided: undecided.size };
      return { ...traffic.sums(), open, streams };
    },
    listen: (port) => listen(server, port),
    *holders() {
      for (const protocol of all) yield* protocol.holders();
    },
    accept,
    async drain() {
      server.close();
      for (const socket of undecided) socket.destroy();
      await Promise.all(all.map((protocol) => protocol.drain()));
    },
    destroy() {
      server.close();
      for (const socket of undecided) socket.destroy();
      for (const protocol of all) protocol.destroy();
    },
  };
}

/**
 * Reads until the protocol is clear; `decided` gets what was read, valid during the call only. A connection that says too little for
 * too long is closed, and `exceeded` hears of it.
 */
function detect(
  { socket, receive }: SocketEnd,
  { headMs, idleMs }: Config,
  decided: (protocol: "http1" | "http2", first: Buffer) => void,
  exceeded: (limit: LimitName) => void,
): void {
  let before = NOTHING;
  // A connection may stay silent for long (browsers open some in advance), but not for ever; a head that has begun may not.
  let timer = setTimeout(() => onLate("idle"), idleMs);
  const done = (): void => {
    clearTimeout(timer);
    socket.off("error", onGone);
    socket.off("end", onGone);
    socket.off("close", done);
  };
  const onGone = (): void => {
    done();
    socket.destroy();
  };
  const onLate = (limit: LimitName): void => {
    exceeded(limit);
    onGone();
  };
  receive((bytes) => {
    const seen = before.length === 0 ? bytes : Buffer.concat([before, bytes]);
    const protocol = sniff(seen);
    if (protocol !== "more") {
      done();
      return decided(protocol, seen);
    }
    if (before.length === 0) {
      clearTimeout(timer);
      timer = setTimeout(() => onLate("head_time"), headMs);
    }
    before = Buffer.from(seen);
  });
  socket.on("error", onGone);
  socket.on("end", onGone);
  socket.once("close", done);
}

/** Connections, and the bytes to and from them: counted when somebody asks and when one closes, not when they come. */
class Traffic {
  readonly #sockets = new Set<Socket>();
  #accepted = 0;
  #received = 0;
  #sent = 0;

  add(socket: Socket): void {
    this.#accepted++;
    this.#sockets.add(socket);
  }

  delete(socket: Socket): void {
    this.#sockets.delete(socket);
    this.#received += socket.bytesRead;
    this.#sent += socket.bytesWritten;
  }

  sums(): { readonly accepted: number; readonly received: number; readonly sent: number } {
    let [received, sent] = [this.#received, this.#sent];
    for (const socket of this.#sockets) {
      received += socket.bytesRead;
      sent += socket.bytesWritten;
    }
    return { accepted: this.#accepted, received, sent };
  }
}
