import type { Http2Session, ServerHttp2Stream, ServerHttp2Session } from "node:http2";
import { constants, createServer } from "node:http2";
import type { Config } from "../config.ts";
import type { Handler, ProtocolServer } from "../exchange.ts";
import { peerOf } from "../peer.ts";
import { Http2Exchange } from "./exchange.ts";
import { checkHead, readHead } from "./head.ts";
import { CONNECTION_WINDOW, LENIENT, STREAM_WINDOW } from "./session.ts";

/** Mebibytes that one client connection may hold in the edge, over all its streams. */
const SESSION_MIB = 64;

/** HTTP/2 by prior knowledge over node:http2, as exchanges. */
export function createHttp2(config: Config, handle: Handler): ProtocolServer {
  /** Open streams of each session. */
  const sessions = new Map<Http2Session, number>();
  const server = createServer({
    settings: {
      enableConnectProtocol: config.webSocketOverH2,
      maxConcurrentStreams: config.streams,
      initialWindowSize: STREAM_WINDOW,
      maxHeaderListSize: config.headBytes,
    },
    maxSessionMemory: SESSION_MIB,
    maxSendHeaderBlockLength: config.headBytes * 2,
    maxHeaderListPairs: 1000,
    unknownProtocolTimeout: config.headMs,
    ...LENIENT,
  });
  let emptied: (() => void) | undefined;
  server.on("session", (session: ServerHttp2Session) => {
    sessions.set(session, 0);
    session.once("close", () => {
      sessions.delete(session);
      if (sessions.size === 0) emptied?.();
    });
    session.setLocalWindowSize(CONNECTION_WINDOW);
    session.setTimeout(config.idleMs, () => {
      if (sessions.get(session) === 0) session.close();
    });
    session.on("error", () => {});
  });
  server.on("stream", (stream: ServerHttp2Stream, _headers: unknown, flags: number, raw: string[]) => {
    // First of all: Node hands over streams that it has already given up on, and their 'error' comes later.
    stream.on("error", () => {});
    const session = stream.session;
    if (session === undefined || session.destroyed) return;
    sessions.set(session, (sessions.get(session) ?? 0) + 1);
    stream.once("close", () => {
      const open = sessions.get(session);
      if (open !== undefined) sessions.set(session, open - 1);
    });
    const head = readHead(raw, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
    const exchange = new Http2Exchange(stream, head, peerOf(session.socket));
    const malformed = checkHead(head);
    if (malformed === undefined) handle(exchange);
    else exchange.fail(malformed);
  });

  return {
    accept(socket) {
      // A client that ends its direction has left: HTTP/2 has no half-closed connections, only streams.
      socket.allowHalfOpen = false;
      server.emit("connection", socket);
    },
    drain() {
      // GOAWAY; running streams go on, and the connection closes with the last of them.
      for (const session of sessions.keys()) session.close();
      if (sessions.size === 0) return Promise.resolve();
      return new Promise((resolve) => {
        emptied = resolve;
      });
    },
    destroy() {
      for (const session of sessions.keys()) session.destroy();
    },
  };
}
