import type { IncomingMessage, Server } from "node:http";
import type { RawData, WebSocket } from "ws";
import { WebSocketServer } from "ws";

/** Bytes of one message; over it the connection closes with 1009. */
const MAX_PAYLOAD_BYTES = 1_048_576;
/** Bytes a slow reader may leave unsent; over it the connection closes with 1013. */
const MAX_UNSENT_BYTES = 8_388_608;
const HEARTBEAT_MS = 30_000;

export interface Sockets {
  /** Says 1001 to everyone and calls back when all have left. */
  close(done: () => void): void;
}

/** Serves WebSockets at `/ws`: JSON messages are answered, binary ones echoed. `"who": true` asks which worker answers. */
export function attachWebSockets(server: Server, heartbeatMs = HEARTBEAT_MS): Sockets {
  const all = new WebSocketServer({
    server,
    path: "/ws",
    maxPayload: MAX_PAYLOAD_BYTES,
    perMessageDeflate: true,
  });
  const answered = new WeakSet<WebSocket>();
  all.on("connection", (socket, request) => {
    answered.add(socket);
    socket.on("pong", () => answered.add(socket));
    socket.on("message", (data, binary) => onMessage(socket, request, data, binary));
    // A protocol error closes the connection with its code; there is nothing to add.
    socket.on("error", () => {});
  });
  const heartbeat = setInterval(() => {
    for (const socket of all.clients) {
      if (!answered.delete(socket)) socket.terminate();
      else socket.ping();
    }
  }, heartbeatMs);
  return {
    close(done) {
      clearInterval(heartbeat);
      for (const socket of all.clients) socket.close(1001, "the server is shutting down");
      all.close(done);
    },
  };
}

function onMessage(socket: WebSocket, handshake: IncomingMessage, data: RawData, binary: boolean): void {
  if (socket.bufferedAmount > MAX_UNSENT_BYTES) return socket.close(1013, "read what you asked for first");
  if (binary) return void socket.send(data, { binary: true });
  const request = parse(data);
  if (request === undefined) return socket.close(1007, 'expected {"message": …}');
  const { message, who } = request;
  socket.send(
    JSON.stringify({ request: { message }, message: "pong", who: who ? introduction(handshake) : undefined }),
  );
}

/** Which worker this is, and by which way its client came. */
function introduction({ headers }: IncomingMessage): { worker: string; via: string | undefined } {
  return { worker: `websocket ${process.pid}`, via: headers.via };
}

function parse(data: RawData): { message: unknown; who: boolean } | undefined {
  try {
    const value = JSON.parse(data.toString()) as unknown;
    return typeof value === "object" && value !== null && "message" in value
      ? { message: value.message, who: "who" in value && value.who === true }
      : undefined;
  } catch {
    return undefined;
  }
}
