import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { connect } from "node:net";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import { RawClient, h2, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import type { Stack } from "../support/stack.ts";
import { startStack } from "../support/stack.ts";
import { suiteScope } from "../support/suite.ts";
import { http2Worker, httpWorker, readAll } from "../support/workers.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

test("SIGTERM lets a running request finish, refuses new connections, and exits 0", async (t) => {
  const { edge, port } = await startStack(t);
  const slow = new RawClient(t, port);
  slow.send("GET /slow?ms=600 HTTP/1.1\r\nHost: a\r\n\r\n");
  const session = http2Client(t, port);
  const grpc = h2(session, { ":path": "/slow?ms=600" });
  await edge.says(/ready/);
  await new Promise((resolve) => setTimeout(resolve, 100));
  edge.child.kill("SIGTERM");
  await edge.says(/draining/);
  const refused = new RawClient(t, port);
  assert.equal(await refused.closed, "");
  assert.match(await slow.closed, /^HTTP\/1\.1 200 [\s\S]*connection: close[\s\S]*"ms":600/i);
  assert.equal((await grpc).headers[":status"], 200);
  assert.deepEqual(await edge.exited, { code: 0, signal: null });
});

test("a second signal ends it at once", async (t) => {
  const { edge, port } = await startStack(t);
  const slow = new RawClient(t, port);
  slow.send("GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
  await new Promise((resolve) => setTimeout(resolve, 100));
  edge.child.kill("SIGTERM");
  await edge.says(/draining/);
  edge.child.kill("SIGTERM");
  assert.equal((await edge.exited).code, 130);
});

test("an idle keep-alive connection does not hold the drain", async (t) => {
  const { port, edge } = await testEdge(t, { HTTP_UPSTREAMS: `http://127.0.0.1:${stack.http}` });
  const client = new RawClient(t, port);
  client.send("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
  await client.until(/pong/);
  const started = performance.now();
  await edge.drain();
  assert.ok(performance.now() - started < 1000);
  await client.closed;
});

test("an HTTP/2 client gets GOAWAY, and its running stream finishes", async (t) => {
  const held: ServerResponse[] = [];
  const asked = Promise.withResolvers<void>();
  const worker = await httpWorker(t, (_req, res) => {
    held.push(res);
    asked.resolve();
  });
  const { port, edge } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const session = http2Client(t, port);
  const goaway = once(session, "goaway");
  const reply = h2(session, { ":path": "/" });
  await asked.promise;
  const drained = edge.drain();
  await goaway;
  held[0]?.end("finished");
  assert.equal((await reply).body.toString(), "finished");
  await drained;
});

test("a gRPC call that finishes while the edge drains gets its trailers", async (t) => {
  const held = Promise.withResolvers<ServerHttp2Stream>();
  const worker = await http2Worker(t, (stream) => held.resolve(stream));
  const { port, edge } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const reply = h2(
    http2Client(t, port),
    { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc" },
    Buffer.alloc(5),
  );
  const stream = await held.promise;
  const drained = edge.drain();
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(Buffer.alloc(5));
  assert.deepEqual([(await reply).trailers["grpc-status"], (await reply).code], ["0", 0]);
  await drained;
});

for (const carried of ["HTTP/1.1", "HTTP/2"]) {
  test(`a reply over ${carried} to a client that reads late is whole, although the edge drains`, async (t) => {
    const bytes = 3_000_000;
    const asked = Promise.withResolvers<void>();
    const worker = await httpWorker(t, (_req, res) => {
      res.writeHead(200, { "content-length": bytes }).end(Buffer.alloc(bytes));
      asked.resolve();
    });
    const { port, edge } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    const late = carried === "HTTP/1.1" ? lateOverH1(t, port) : lateOverH2(t, port);
    await asked.promise;
    const drained = edge.drain();
    assert.equal(await late(), bytes);
    await drained;
  });
}

/** Asks, and answers a function that reads the reply and counts the bytes of its body. */
function lateOverH1(t: TestContext, port: number): () => Promise<number> {
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  socket.pause();
  return async () => {
    const text = (await readAll(socket)).toString("latin1");
    return text.length - text.indexOf("\r\n\r\n") - 4;
  };
}

function lateOverH2(t: TestContext, port: number): () => Promise<number> {
  const stream = http2Client(t, port).request({ ":path": "/" });
  return async () => (await settle(stream)).body.length;
}

for (const carried of ["HTTP/1.1", "HTTP/2"]) {
  test(`a WebSocket over ${carried} gets close code 1001`, async (t) => {
    const { port, edge } = await testEdge(t, { WS_UPSTREAMS: `http://127.0.0.1:${stack.ws}` });
    const closed = carried === "HTTP/1.1" ? await openOverH1(port) : await openOverH2(t, port);
    const drained = edge.drain();
    assert.equal(await closed(), 1001);
    await drained;
  });
}

/** Opens a WebSocket; answers a function that resolves with the close code it gets. */
async function openOverH1(port: number): Promise<() => Promise<number>> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  await once(socket, "open");
  const closed = once(socket, "close") as Promise<[number]>;
  return async () => (await closed)[0];
}

async function openOverH2(t: TestContext, port: number): Promise<() => Promise<number>> {
  const session = http2Client(t, port);
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/ws",
    ":authority": "a",
    "sec-websocket-version": "13",
  });
  await once(stream, "response");
  return async () => {
    const [frame] = (await once(stream, "data")) as [Buffer];
    stream.end(Buffer.from([0x88, 0x82, 0, 0, 0, 0, frame[2] ?? 0, frame[3] ?? 0]));
    return frame.readUInt16BE(2);
  };
}

test("when the drain time is over: gRPC ends in UNAVAILABLE, HTTP/2 in a reset, HTTP/1.1 in a cut", async (t) => {
  const http = await httpWorker(t, (_req, res) => void res.write("begun"));
  const grpc = await http2Worker(t, (stream) =>
    stream.respond({ ":status": 200, "content-type": "application/grpc" }),
  );
  const { port, edge } = await testEdge(t, {
    HTTP_UPSTREAMS: http,
    GRPC_UPSTREAMS: grpc,
    DRAIN_SECONDS: "0",
  });
  const session = http2Client(t, port);
  const call = session.request({
    ":method": "POST",
    ":path": "/Echo/Chat",
    "content-type": "application/grpc",
  });
  const get = session.request({ ":path": "/" });
  const replies = [settle(call), settle(get)] as const;
  const plain = new RawClient(t, port);
  plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await Promise.all([once(call, "response"), once(get, "data"), plain.until(/begun/)]);
  await edge.drain();
  const [grpcReply, httpReply] = await Promise.all(replies);
  assert.equal(grpcReply.trailers["grpc-status"], "14");
  assert.notEqual(httpReply.code, 0);
  assert.doesNotMatch(await plain.closed, /\r\n0\r\n\r\n$/);
});
