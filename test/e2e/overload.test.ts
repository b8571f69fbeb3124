// Workers that have as much to do as LIMIT_UPSTREAM_ACTIVE lets them: what is too much is refused at once, and what runs goes on.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { WebSocket } from "ws";
import { h2, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { webSocketWorker } from "../support/websocket-worker.ts";
import { http2Worker, httpWorker } from "../support/workers.ts";

const TEXT = "every worker has as much to do as it may have";

test("HTTP: 503 with retry-after, and a request that ends makes room", async (t) => {
  const asked = Promise.withResolvers<ServerResponse>();
  const worker = await httpWorker(t, (req, res) => {
    if (req.url === "/slow") asked.resolve(res);
    else res.end("ok");
  });
  const { url, port } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_UPSTREAM_ACTIVE: "1" });
  const slow = fetch(`${url}/slow`);
  const reply = await asked.promise;
  const refused = await fetch(url);
  assert.deepEqual([refused.status, refused.headers.get("retry-after")], [503, "1"]);
  assert.deepEqual(await refused.json(), { error: "overloaded", message: TEXT });
  assert.equal((await h2(http2Client(t, port), { ":path": "/" })).headers[":status"], 503);
  reply.end("slow");
  assert.equal(await (await slow).text(), "slow");
  assert.equal(await (await fetch(url)).text(), "ok");
});

test("HTTP: with a second worker it goes there", async (t) => {
  const asked = Promise.withResolvers<ServerResponse>();
  const answer = (req: IncomingMessage, res: ServerResponse): void => {
    if (req.url === "/slow") asked.resolve(res);
    else res.end("ok");
  };
  const [first, second] = [await httpWorker(t, answer), await httpWorker(t, answer)];
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: `${first},${second}`, LIMIT_UPSTREAM_ACTIVE: "1" });
  const slow = fetch(`${url}/slow`);
  const reply = await asked.promise;
  for (let i = 0; i < 4; i++) assert.equal(await (await fetch(url)).text(), "ok");
  reply.end("slow");
  await (await slow).text();
});

test("gRPC: status 8, RESOURCE_EXHAUSTED", async (t) => {
  const asked = Promise.withResolvers<ServerHttp2Stream>();
  const worker = await http2Worker(t, (stream) => asked.resolve(stream));
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker, LIMIT_UPSTREAM_ACTIVE: "1" });
  const session = http2Client(t, port);
  const head = {
    ":method": "POST",
    ":path": "/Echo/Ping",
    "content-type": "application/grpc",
    te: "trailers",
  };
  const running = settle(session.request(head));
  const stream = await asked.promise;
  const { headers } = await h2(session, head, "");
  assert.deepEqual([headers["grpc-status"], headers["grpc-message"]], ["8", TEXT]);
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
    { endStream: true },
  );
  assert.equal((await running).headers["grpc-status"], "0");
});

test("WebSocket: 503 in place of the upgrade; the one that is open goes on", async (t) => {
  const worker = await webSocketWorker(t, "hello");
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker, LIMIT_UPSTREAM_ACTIVE: "1" });
  const first = new WebSocket(`ws://127.0.0.1:${port}/`);
  await once(first, "message");
  const second = new WebSocket(`ws://127.0.0.1:${port}/`);
  const [, refused] = (await once(second, "unexpected-response")) as [unknown, IncomingMessage];
  assert.equal(refused.statusCode, 503);
  refused.destroy();
  first.send("still there");
  assert.equal(String((await once(first, "message"))[0]), "still there");
  first.terminate();
});
