import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { before, test } from "node:test";
import { WebSocket } from "ws";
import { webSocketAccept } from "../../../edge/http1/upgrade.ts";
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
import { httpWorker, readAll } from "../../support/workers.ts";

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

test("a worker whose connection ends without a Close frame, as when it is killed: the client gets close code 1014", async (t) => {
  const { url, server } = await wsWorker(t);
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const socket = openWebSocket(t, port);
  await once(server, "connection");
  await once(socket, "open");
  const over = closedWith(socket);
  for (const worker of server.clients) (worker as unknown as { _socket: Socket })._socket.destroy();
  assert.deepEqual(await over, [1014, "the worker broke off"]);
});

test("a worker that resets in the middle of a frame: the tunnel is cut, no frame is put into another", async (t) => {
  const worker = await rawTunnel(t, (socket) => {
    socket.write(Buffer.from([0x82, 100, 1, 2, 3]), () => setImmediate(() => socket.resetAndDestroy()));
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const socket = openWebSocket(t, port);
  assert.equal((await closedWith(socket))[0], 1006);
});

/** More than a worker on a Unix socket is given before it reads, and so little more that the client is not held back yet. */
const MUCH = 340_000;

/** A worker that reads nothing once it has answered, until it is told to; it ends its own direction when it is told to. */
async function unreadTunnel(t: TestContext): Promise<{ url: string; worker: Promise<Socket> }> {
  const folder = mkdtempSync(join(tmpdir(), "oneport-test-"));
  const worker = Promise.withResolvers<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", (head: Buffer) => {
      socket.pause();
      const key = /sec-websocket-key: (\S+)/i.exec(head.toString())?.[1] ?? "";
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\n\r\n`,
      );
      worker.resolve(socket);
    });
  });
  await once(server.listen(join(folder, "worker")), "listening");
  t.after(async () => {
    (await worker.promise).destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { url: `unix:${folder}/worker`, worker: worker.promise };
}

for (const first of ["client", "worker"] as const) {
  test(`the ${first} ends first, and the worker has not read all by then: it gets the rest, and the tunnel its end, once`, async (t) => {
    const { url, worker } = await unreadTunnel(t);
    const { port, lines, logged } = await testEdge(t, {
      WS_UPSTREAMS: url,
      HTTP_UPSTREAMS: await httpWorker(t, (_req, res) => void res.end()),
    });
    const tunnels = (): unknown[] => lines.filter((line) => line["route"] === "websocket");
    const client = new RawClient(t, port);
    client.send(`${HANDSHAKE}\r\n`);
    await client.until(/\r\n\r\n/);
    const socket = await worker;
    const ends = { client: () => client.socket.end("x".repeat(MUCH)), worker: () => socket.end() };
    ends[first]();
    ends[first === "client" ? "worker" : "client"]();
    await client.closed;
    // By the time that others have been served the edge has heard of both ends.
    for (let i = 0; i < 3; i++) assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200);
    assert.deepEqual(tunnels(), []);
    assert.equal((await readAll(socket)).length, MUCH);
    assert.equal((await logged((line) => line["route"] === "websocket"))["outcome"], "ok");
    assert.equal(tunnels().length, 1);
  });
}
