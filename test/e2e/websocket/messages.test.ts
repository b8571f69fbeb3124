import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { before, test } from "node:test";
import { RawClient, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import type { Stack } from "../../support/stack.ts";
import { startStack } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import {
  CONNECT,
  HANDSHAKE,
  clientFrame,
  closedWith,
  nextMessage,
  openWebSocket,
  rawTunnel,
  wsWorker,
} from "../../support/websockets.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

test("the origin's wire: a message comes back with pong", async (t) => {
  const socket = openWebSocket(t, stack.port);
  await once(socket, "open");
  socket.send('{"message":"hello"}');
  assert.deepEqual(JSON.parse(await nextMessage(socket)), { request: { message: "hello" }, message: "pong" });
});

test("binary messages are echoed", async (t) => {
  const socket = openWebSocket(t, stack.port);
  await once(socket, "open");
  const payload = Buffer.alloc(100_000, "oneport");
  socket.send(payload);
  const [data, binary] = (await once(socket, "message")) as [Buffer, boolean];
  assert.ok(binary && payload.equals(data));
});

test("a frame sent right behind the handshake is not lost", async (t) => {
  const client = new RawClient(t, stack.port);
  client.socket.write(Buffer.concat([Buffer.from(`${HANDSHAKE}\r\n`), clientFrame(1, '{"message":1}')]));
  await client.until(/"message":"pong"/);
});

test("extensions pass through: permessage-deflate is between client and worker", async (t) => {
  const { url } = await wsWorker(t, { perMessageDeflate: { threshold: 0 } });
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const socket = openWebSocket(t, port);
  await once(socket, "open");
  assert.match(socket.extensions, /permessage-deflate/);
});

test("a message over the worker's limit closes with 1009", async (t) => {
  const socket = openWebSocket(t, stack.port);
  await once(socket, "open");
  socket.send(Buffer.alloc(2 * 1024 * 1024));
  assert.equal((await closedWith(socket))[0], 1009);
});

test("a client that reads slowly holds the worker back", async (t) => {
  let sent = 0;
  const worker = await rawTunnel(t, (socket) => {
    const chunk = Buffer.alloc(64 * 1024);
    const pump = (): void => {
      while (!socket.destroyed && sent < 256 * 1024 * 1024) {
        sent += chunk.length;
        if (!socket.write(chunk)) return void socket.once("drain", pump);
      }
    };
    pump();
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const stream: Duplex = http2Client(t, port).request(CONNECT);
  await once(stream, "response");
  let before = -1;
  while (sent !== before) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(sent < 16 * 1024 * 1024, `the worker could send ${sent} bytes to a client that read none`);
});
