import { test } from "node:test";
import { WebSocketServer } from "ws";
import { answerPing, named, swapUnderLoad } from "../../support/swapping.ts";
import { httpsWorker, secureHttp2Worker, trust } from "../../support/tls.ts";
import { webSocketWorker } from "../../support/websocket-worker.ts";
import { http2Worker } from "../../support/workers.ts";

const { good } = trust();

test("ten exchanges under load, from plain to TLS and back, cost no request of any protocol", async (t) => {
  const http = await httpsWorker(t, good, (_req, res) => void res.end("ok"));
  new WebSocketServer({ server: http.server }).on("connection", (socket) => socket.send("ok"));
  const grpc = await secureHttp2Worker(t, good, answerPing);
  await swapUnderLoad(t, 200, 10, {
    http: [await named(t, "ok"), `https://localhost:${http.port}`],
    grpc: [await http2Worker(t, answerPing), `https://localhost:${grpc.port}`],
    ws: [await webSocketWorker(t, "ok"), `https://localhost:${http.port}`],
  });
});
