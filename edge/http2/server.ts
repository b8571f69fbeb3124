import type { Socket } from "node:net";
import type { Config } from "../settings/config.ts";
import { EdgeError } from "../errors.ts";
import type { Handler, ProtocolServer, RequestHead } from "../exchange.ts";
import { peerOf } from "../port/peer.ts";
import { Connection } from "./connection.ts";
import { Http2Exchange } from "./exchange.ts";
import { checkHead, readHead } from "./head.ts";
import type { LimitName, Limits } from "../limits.ts";
import type { SocketEnd } from "../port/socket-end.ts";
import { resetBy } from "./reset.ts";
import type { Head } from "./header-blocks.ts";
import type { Stream } from "./stream.ts";
import { CONNECTION_WINDOW, FIRST_WINDOW, PREFACE } from "./windows.ts";

/** HTTP/2 by prior knowledge, as exchanges. */
export function createHttp2(
  config: Config,
  handle: Handler,
  exceeded: (limit: LimitName) => void,
): ProtocolServer {
  const connections = new Map<Socket, Connection>();
  let emptied: (() => void) | undefined;

  const serve = (socket: Socket): Connection => {
    const peer = peerOf(socket);
    const onRequest = (stream: Stream, block: Head, end: boolean): void => {
      const head = requestHead(block, end);
      const exchange = new Http2Exchange(stream, head, peer);
      const refused = block.tooLarge ? new EdgeError("head_too_large") : checkHead(head);
      if (refused === undefined) handle(exchange);
      else exchange.fail(refused);
    };
    return new Connection(socket, {
      role: "server",
      streamWindow: FIRST_WINDOW,
      connectionWindow: CONNECTION_WINDOW,
      maxStreams: config.streams,
      maxHeadBytes: config.headBytes,
      limits: config,
      exceeded,
      connectProtocol: config.webSocketOverH2,
      abortedBy: (code) => resetBy(code, new EdgeError("client_gone")),
      onRequest,
    });
  };

  const tickMs = tickOf(config);
  const clock = setInterval(() => {
    for (const connection of connections.values()) connection.tick(tickMs);
  }, tickMs).unref();

  return {
    open() {
      let streams = 0;
      for (const connection of connections.values()) streams += connection.streams.size;
      return { connections: connections.size, streams };
    },
    accept(end, first) {
      const { socket } = end;
      // A client that ends its direction has left: HTTP/2 has no half-closed connections, only streams.
      socket.allowHalfOpen = false;
      const connection = serve(socket);
      connections.set(socket, connection);
      socket.on("error", () => {});
      socket.on("close", () => {
        connections.delete(socket);
        if (connections.size === 0) emptied?.();
      });
      afterPreface(end, first, (bytes) => connection.receive(bytes));
    },
    holders: () => connections.values(),
    drain() {
      for (const connection of connections.values()) connection.drain();
      if (connections.size === 0) return Promise.resolve();
      return new Promise((resolve) => {
        emptied = resolve;
      });
    },
    destroy() {
      clearInterval(clock);
      for (const connection of connections.values()) connection.destroy();
    },
  };
}

/** Milliseconds between two looks at the clocks of all connections: often enough for the shortest of the limits. */
function tickOf({ stallMs, quietMs, headMs, idleMs }: Limits): number {
  return Math.max(25, Math.min(1000, Math.min(stallMs, quietMs, headMs, idleMs) / 4));
}

/** The same block means the same request, but for whether a body follows. */
function requestHead(block: Head, end: boolean): RequestHead {
  const { fields, neverIndexed } = block;
  return end
    ? (block.complete ??= readHead(fields, end, neverIndexed))
    : (block.open ??= readHead(fields, end, neverIndexed));
}

/** Hands on what follows the client's preface, whose beginning, in `first`, was what told HTTP/2 from HTTP/1.1. */
function afterPreface(end: SocketEnd, first: Buffer, receive: (bytes: Buffer) => void): void {
  let at = 0;
  const onBytes = (bytes: Buffer): void => {
    const length = Math.min(bytes.length, PREFACE.length - at);
    if (PREFACE.compare(bytes, 0, length, at, at + length) !== 0) return void end.socket.destroy();
    at += length;
    if (at === PREFACE.length) end.receive(receive);
    if (bytes.length > length) receive(bytes.subarray(length));
  };
  end.receive(onBytes);
  onBytes(first);
}
