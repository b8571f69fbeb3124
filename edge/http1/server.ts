import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import type { Config } from "../config.ts";
import { EdgeError, fromClient, toEdgeError } from "../errors.ts";
import type { Handler, ProtocolServer, RequestHead } from "../exchange.ts";
import { httpRefusal } from "../refusal.ts";
import { Connections } from "./connections.ts";
import { Http1Exchange } from "./exchange.ts";
import { isWebSocketUpgrade, readHead } from "./head.ts";
import { UpgradeExchange } from "./upgrade.ts";

/** HTTP/1.1 over node:http, as exchanges. */
export function createHttp1(config: Config, handle: Handler): ProtocolServer {
  const connections = new Connections();
  const server = createServer({
    maxHeaderSize: config.headBytes,
    headersTimeout: config.headMs,
    // A long upload is not an attack: what is bounded is the head, and idle time.
    requestTimeout: 0,
    keepAliveTimeout: config.idleMs,
    connectionsCheckingInterval: Math.min(1000, config.headMs),
    noDelay: true,
    // `Upgrade: h2c` and others are ignored, as RFC 9110, section 7.8, allows: such a request is an ordinary one.
    shouldUpgradeCallback: isWebSocketUpgrade,
  });
  server.maxHeadersCount = 0;

  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    const connection = connections.of(req.socket);
    if (connection === undefined || connection.isDoomed) return;
    connection.enter();
    // Node loses bytes that come in one piece with a request whose Upgrade is ignored, and so its place in the stream:
    // what it reads next may be the middle of a body.
    if (req.headers.upgrade !== undefined) connection.doom();
    let head: RequestHead;
    try {
      head = readHead(req);
    } catch (thrown) {
      res.once("close", () => connection.leave());
      connection.doom();
      const { status, headers, body } = httpRefusal(toEdgeError(thrown));
      res.writeHead(status, [...headers, "connection", "close"]).end(body);
      return;
    }
    handle(new Http1Exchange(req, res, head, connection, config.lingerMs));
  };
  server.on("request", onRequest);
  // The worker decides whether to answer 100; without this listener Node would, before anybody looked at the request.
  server.on("checkContinue", onRequest);
  server.on("checkExpectation", (_req, res: ServerResponse) => {
    res.writeHead(417, { connection: "close", "content-length": "0" }).end();
  });
  server.on("upgrade", (req: IncomingMessage, socket: Socket, early: Buffer) => {
    const connection = connections.of(socket);
    if (connection === undefined) return;
    // An earlier request is still unanswered: a tunnel must not get in front of its reply.
    if (connection.isBusy) return connection.doom();
    try {
      const head = readHead(req);
      if (head.hasBody) throw new EdgeError("bad_request", "a WebSocket handshake has no body");
      connection.enter();
      socket.once("close", () => connection.leave());
      handle(new UpgradeExchange(socket, early, head, connection.peer));
    } catch (thrown) {
      refuse(socket, toEdgeError(thrown));
    }
  });
  const refuseOrDoom = (socket: Socket, error: EdgeError): void => {
    // Behind a request that is still unanswered, a refusal would be taken for its reply, or land in the middle of it.
    const connection = connections.of(socket);
    if (connection?.isBusy === true) connection.doom();
    else refuse(socket, error);
  };
  server.on("connect", (_req, socket: Socket) => refuseOrDoom(socket, new EdgeError("method_not_allowed")));
  server.on("clientError", (thrown: Error, socket: Socket) => {
    const error = fromClient(thrown);
    if (error === undefined || !socket.writable) socket.destroy();
    else refuseOrDoom(socket, error);
  });

  // Node looks for slow heads and idle connections from its 'listening' on. This server never listens: it is handed its sockets.
  server.emit("listening");

  return {
    accept(socket) {
      connections.add(socket);
      server.emit("connection", socket);
    },
    drain: () => connections.drain(),
    destroy() {
      connections.destroy();
      // Stops the interval that looks for slow heads; there is no listening socket of its own to close.
      server.close();
    },
  };
}

/** Answers on a connection that has no usable request, and closes it. */
function refuse(socket: Socket, error: EdgeError): void {
  const { status, headers, body } = httpRefusal(error);
  let text = `HTTP/1.1 ${status} ${error.code}\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  socket.end(`${text}connection: close\r\n\r\n${body.toString()}`);
  socket.destroySoon();
}
