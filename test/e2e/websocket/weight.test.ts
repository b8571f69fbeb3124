import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { queryObjects } from "node:v8";
import { Connection } from "../../../edge/upstream/http1/connection.ts";
import { ReplyParser } from "../../../edge/upstream/http1/reply-parser.ts";
import { Http1Stream } from "../../../edge/upstream/http1/stream.ts";
import { testEdge } from "../../support/edge.ts";
import { nextMessage, openWebSocket, wsWorker } from "../../support/websockets.ts";

/** How many there are of what a request to a worker takes, after a full collection. */
function count(): number[] {
  return [Http1Stream, Connection, ReplyParser].map((kind) => queryObjects(kind, { format: "count" }));
}

test("a WebSocket that is open keeps nothing of what its handshake took (issue 3: 16 KiB each)", async (t) => {
  const { url, server } = await wsWorker(t);
  server.on("connection", (worker) => worker.on("message", (data) => worker.send(data)));
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const before = count();
  const sockets = Array.from({ length: 20 }, () => openWebSocket(t, port));
  await Promise.all(sockets.map((socket) => once(socket, "open")));
  assert.deepEqual(count(), before);
  const echoes = sockets.map((socket) => nextMessage(socket));
  for (const [at, socket] of sockets.entries()) socket.send(String(at));
  assert.deepEqual(
    await Promise.all(echoes),
    sockets.map((_, at) => String(at)),
  );
});
