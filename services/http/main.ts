import { createServer } from "node:http";
import { listening, onStop, readListen } from "../worker.ts";
import { createApp } from "./app.ts";

/** More than the edge lets through: what is too large is the edge's to refuse. */
const MAX_HEAD_BYTES = 1_100_000;

const { host, port } = readListen("http", 8081);
const app = createApp();
let draining = false;
const server = createServer({ maxHeaderSize: MAX_HEAD_BYTES }, (req, res) => {
  // A kept connection would hold the server open: the last reply on it says so, or it is closed behind it.
  if (draining) res.setHeader("connection", "close");
  res.once("finish", () => {
    if (draining) setImmediate(() => server.closeIdleConnections());
  });
  app(req, res);
});
// Longer than the edge keeps idle connections: it is the edge that closes, so it never sends into a closing one.
server.keepAliveTimeout = 65_000;
server.requestTimeout = 0;
// What the edge lets through is the edge's to limit.
server.headersTimeout = 0;

onStop(() => {
  draining = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
server.listen(port, host, () => listening("http", server.address()));
