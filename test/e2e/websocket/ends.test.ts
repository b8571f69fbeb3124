import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { before, test } from "node:test";
import { WebSocket } from "ws";
import { RawClient, http2Client, settle } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import type { Stack } from "../../support/stack.ts";
import { startStack } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import {
  CONNECT,
  HANDSHAKE,
  closedWith,
  extendedConnect,
  openWebSocket,
  rawTunnel,
  wsWorker,
} from "../../support/websockets.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

for (const code of [1000, 1001, 1003, 1008, 1011, 3000, 4999]) {
  test(`close code ${code} passes from the worker to the client`, async (t) => {
    const { url, server } = await wsWorker(t);
    server.on("connection", (socket) => socket.close(code, "why"));
    const { port } = await testEdge(t, { WS_UPSTREAMS: url });
    assert.deepEqual(await closedWith(openWebSocket(t, port)), [code, "why"]);
  });
  test(`close code ${code} passes from the client to the worker`, async (t) => {
    const { url, server } = await wsWorker(t);
    const { port } = await testEdge(t, { WS_UPSTREAMS: url });
    const socket = openWebSocket(t, port);
    const [worker] = (await once(server, "connection")) as [WebSocket];
    await once(socket, "open");
    socket.close(code, "why");
    assert.deepEqual(await closedWith(worker), [code, "why"]);
  });
}

test("a worker's bad JSON answer is a clear close code", async (t) => {
  const socket = openWebSocket(t, stack.port);
  await once(socket, "open");
  socket.send("not json");
  assert.deepEqual(await closedWith(socket), [1007, 'expected {"message": …}']);
});

test("a worker that ends its direction can still be written to: half-close passes through", async (t) => {
  const heard = Promise.withResolvers<string>();
  const worker = await rawTunnel(t, (socket) => {
    socket.end("last words");
    socket.once("data", (chunk: Buffer) => heard.resolve(chunk.toString()));
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send(`${HANDSHAKE}\r\n`);
  assert.match(await client.closed, /last words$/);
  client.send("still here");
  assert.equal(await heard.promise, "still here");
  client.socket.end();
});

test("a client that ends its direction can still be written to: half-close passes through", async (t) => {
  const worker = await rawTunnel(t, (socket) => {
    socket.once("end", () => socket.end("answer after your end"));
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send(`${HANDSHAKE}\r\n`);
  await client.until(/\r\n\r\n/);
  client.socket.end("bye");
  assert.match(await client.closed, /answer after your end$/);
});

test("half-close passes through over HTTP/2, as END_STREAM", async (t) => {
  const worker = await rawTunnel(t, (socket) => {
    socket.once("end", () => socket.end("answer after your end"));
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const stream = http2Client(t, port).request(CONNECT);
  const over = settle(stream);
  await once(stream, "response");
  stream.end("bye");
  const { body, code } = await over;
  assert.deepEqual([body.toString(), code], ["answer after your end", 0]);
});

test("a client that vanishes takes its worker connection with it", async (t) => {
  const { url, server } = await wsWorker(t);
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const socket = openWebSocket(t, port);
  const [worker] = (await once(server, "connection")) as [WebSocket];
  await once(socket, "open");
  socket.terminate();
  assert.equal((await closedWith(worker))[0], 1006);
});

test("an HTTP/2 client that resets its stream takes its worker connection with it", async (t) => {
  const { url, server } = await wsWorker(t);
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const [{ stream }, [worker]] = await Promise.all([
    extendedConnect(http2Client(t, port)),
    once(server, "connection") as Promise<[WebSocket]>,
  ]);
  stream.close(8);
  assert.equal((await closedWith(worker))[0], 1006);
});

test("a worker that resets its connection: the client gets close code 1014", async (t) => {
  const { url, server } = await wsWorker(t);
  const { port, logged } = await testEdge(t, { WS_UPSTREAMS: url });
  const socket = openWebSocket(t, port);
  await once(server, "connection");
  await once(socket, "open");
  const over = closedWith(socket);
  for (const worker of server.clients) (worker as unknown as { _socket: Socket })._socket.resetAndDestroy();
  assert.deepEqual(await over, [1014, "the worker broke off"]);
  await logged((line) => line["outcome"] === "upstream_reset");
});

test("a worker that resets in the middle of a frame: the tunnel is cut, no frame is put into another", async (t) => {
  const worker = await rawTunnel(t, (socket) => {
    socket.write(Buffer.from([0x82, 100, 1, 2, 3]), () => setImmediate(() => socket.resetAndDestroy()));
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const socket = openWebSocket(t, port);
  assert.equal((await closedWith(socket))[0], 1006);
});
