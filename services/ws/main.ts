import type { Server } from "node:http";
import { createServer } from "node:http";
import { listening, onStop, readListen } from "../worker.ts";
import { attachWebSockets } from "./sockets.ts";

/** Milliseconds that clients have for the closing handshake once asked to stop. */
const DRAIN_MS = 3000;

const { host, port } = readListen("ws", 8083);
const server: Server = createServer((_req, res) => {
  res.writeHead(426, { "content-type": "application/json", upgrade: "websocket" });
  res.end(
    JSON.stringify({
      error: "upgrade_required",
      message: "this is a WebSocket endpoint: connect to ws://…/ws",
    }) + "\n",
  );
});
const sockets = attachWebSockets(server);

onStop(() => {
  const deadline = setTimeout(() => process.exit(0), DRAIN_MS);
  sockets.close(() => {
    clearTimeout(deadline);
    process.exit(0);
  });
  server.close();
});
server.listen(port, host, () => listening("ws", server.address()));
