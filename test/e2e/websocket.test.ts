import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import type { ClientOptions } from "ws";
import { WebSocket, WebSocketServer } from "ws";
import { webSocketAccept } from "../../edge/http1/upgrade.ts";
import { RawClient, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import type { Stack } from "../support/stack.ts";
import { startStack } from "../support/stack.ts";
import { suiteScope } from "../support/suite.ts";
import { rawWorker } from "../support/workers.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

function open(
  t: TestContext,
  port: number,
  protocols: string[] = [],
  options: ClientOptions = {},
): WebSocket {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, protocols, options);
  socket.on("error", () => {});
  t.after(() => socket.terminate());
  return socket;
}

/** The next message, as text. */
async function next(socket: WebSocket): Promise<string> {
  return String((await once(socket, "message"))[0]);
}

async function closed(socket: WebSocket): Promise<[code: number, reason: string]> {
  const [code, reason] = (await once(socket, "close")) as [number, Buffer];
  return [code, reason.toString()];
}

/** A ws server as the worker, with the connections it has. */
async function wsWorker(
  t: TestContext,
  options: object = {},
): Promise<{ url: string; server: WebSocketServer }> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", ...options });
  await once(server, "listening");
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, server };
}

const CONNECT = {
  ":method": "CONNECT",
  ":protocol": "websocket",
  ":path": "/ws",
  ":authority": "a",
  "sec-websocket-version": "13",
};

/** An extended CONNECT (RFC 8441) once its reply is there. */
async function connect(
  session: ClientHttp2Session,
  headers: object = {},
): Promise<{ stream: ClientHttp2Stream; reply: Record<string, unknown> }> {
  if (!session.remoteSettings?.enableConnectProtocol) await once(session, "remoteSettings");
  const stream = session.request({ ...CONNECT, ...headers }, { waitForTrailers: true });
  stream.on("error", () => {});
  const [reply] = (await once(stream, "response")) as [Record<string, unknown>];
  return { stream, reply };
}

/** A masked client frame, with a mask of zeros. */
function frame(opcode: number, payload: string | Buffer): Buffer {
  const bytes = Buffer.from(payload);
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
}

const HANDSHAKE =
  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

test("the origin's wire: a message comes back with pong", async (t) => {
  const socket = open(t, stack.port);
  await once(socket, "open");
  socket.send('{"message":"hello"}');
  assert.deepEqual(JSON.parse(await next(socket)), { request: { message: "hello" }, message: "pong" });
});

test("binary messages are echoed", async (t) => {
  const socket = open(t, stack.port);
  await once(socket, "open");
  const payload = Buffer.alloc(100_000, "oneport");
  socket.send(payload);
  const [data, binary] = (await once(socket, "message")) as [Buffer, boolean];
  assert.ok(binary && payload.equals(data));
});

test("the accept proof is for the client's own key (RFC 6455, section 4.2.2)", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send(`${HANDSHAKE}\r\n`);
  assert.match(
    await client.until(/\r\n\r\n/),
    /^HTTP\/1\.1 101 [\s\S]*sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i,
  );
});

test("a frame sent right behind the handshake is not lost", async (t) => {
  const client = new RawClient(t, stack.port);
  client.socket.write(Buffer.concat([Buffer.from(`${HANDSHAKE}\r\n`), frame(1, '{"message":1}')]));
  await client.until(/"message":"pong"/);
});

test("over HTTP/2: extended CONNECT is advertised, accepted with 200 and without an accept proof", async (t) => {
  const { stream, reply } = await connect(http2Client(t, stack.port));
  assert.deepEqual(
    [reply[":status"], reply["sec-websocket-accept"], reply["upgrade"]],
    [200, undefined, undefined],
  );
  stream.write(frame(1, '{"message":"h2"}'));
  const [data] = (await once(stream, "data")) as [Buffer];
  assert.match(data.toString("latin1"), /"message":"pong"/);
  stream.end(frame(8, Buffer.from([3, 0xe8])));
  const end = await settle(stream);
  assert.deepEqual(
    [end.body.subarray(0, 4), end.code, end.aborted],
    [Buffer.from([0x88, 2, 3, 0xe8]), 0, false],
  );
});

test("50 WebSockets on one HTTP/2 connection (envoy#38645: only the first one upgraded)", async (t) => {
  const session = http2Client(t, stack.port);
  await once(session, "remoteSettings");
  session.setMaxListeners(100);
  const tunnels = await Promise.all(Array.from({ length: 50 }, () => connect(session)));
  for (const { stream } of tunnels) stream.write(frame(1, '{"message":1}'));
  for (const { stream } of tunnels) assert.match(String((await once(stream, "data"))[0]), /pong/);
});

test("RFC 8441 switched off is not advertised", async (t) => {
  const { port } = await testEdge(t, {
    WS_UPSTREAMS: `http://127.0.0.1:${stack.ws}`,
    WEBSOCKET_OVER_HTTP2: "off",
  });
  const session = http2Client(t, port);
  await once(session, "remoteSettings");
  assert.equal(session.remoteSettings.enableConnectProtocol, false);
});

test("subprotocols: the worker chooses, the client hears", async (t) => {
  const { url } = await wsWorker(t, { handleProtocols: () => "b" });
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const socket = open(t, port, ["a", "b"]);
  await once(socket, "open");
  assert.equal(socket.protocol, "b");
  const { reply } = await connect(http2Client(t, port), { "sec-websocket-protocol": "a, b" });
  assert.equal(reply["sec-websocket-protocol"], "b");
});

test("extensions pass through: permessage-deflate is between client and worker", async (t) => {
  const { url } = await wsWorker(t, { perMessageDeflate: { threshold: 0 } });
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const socket = open(t, port);
  await once(socket, "open");
  assert.match(socket.extensions, /permessage-deflate/);
});

for (const code of [1000, 1001, 1003, 1008, 1011, 3000, 4999]) {
  test(`close code ${code} passes from the worker to the client`, async (t) => {
    const { url, server } = await wsWorker(t);
    server.on("connection", (socket) => socket.close(code, "why"));
    const { port } = await testEdge(t, { WS_UPSTREAMS: url });
    assert.deepEqual(await closed(open(t, port)), [code, "why"]);
  });
  test(`close code ${code} passes from the client to the worker`, async (t) => {
    const { url, server } = await wsWorker(t);
    const { port } = await testEdge(t, { WS_UPSTREAMS: url });
    const socket = open(t, port);
    const [worker] = (await once(server, "connection")) as [WebSocket];
    await once(socket, "open");
    socket.close(code, "why");
    assert.deepEqual(await closed(worker), [code, "why"]);
  });
}

test("a worker's bad JSON answer is a clear close code", async (t) => {
  const socket = open(t, stack.port);
  await once(socket, "open");
  socket.send("not json");
  assert.deepEqual(await closed(socket), [1007, 'expected {"message": …}']);
});

test("a message over the worker's limit closes with 1009", async (t) => {
  const socket = open(t, stack.port);
  await once(socket, "open");
  socket.send(Buffer.alloc(2 * 1024 * 1024));
  assert.equal((await closed(socket))[0], 1009);
});

/** A worker that accepts every handshake and then hands over the bare socket. */
async function rawTunnel(
  t: TestContext,
  onOpen: (socket: import("node:net").Socket) => void,
  fields = "",
): Promise<string> {
  return rawWorker(t, (socket, text) => {
    if (!text.endsWith("\r\n\r\n") || socket.listenerCount("tunnel") > 0) return;
    socket.on("tunnel", () => {});
    const key = /sec-websocket-key: (\S+)/i.exec(text)?.[1] ?? "";
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\n${fields}\r\n`,
    );
    onOpen(socket);
  });
}

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
  const socket = open(t, port);
  const [worker] = (await once(server, "connection")) as [WebSocket];
  await once(socket, "open");
  socket.terminate();
  assert.equal((await closed(worker))[0], 1006);
});

test("an HTTP/2 client that resets its stream takes its worker connection with it", async (t) => {
  const { url, server } = await wsWorker(t);
  const { port } = await testEdge(t, { WS_UPSTREAMS: url });
  const [{ stream }, [worker]] = await Promise.all([
    connect(http2Client(t, port)),
    once(server, "connection") as Promise<[WebSocket]>,
  ]);
  stream.close(8);
  assert.equal((await closed(worker))[0], 1006);
});

test("a worker that resets its connection: the client gets close code 1014", async (t) => {
  const { url, server } = await wsWorker(t);
  const { port, logged } = await testEdge(t, { WS_UPSTREAMS: url });
  const socket = open(t, port);
  await once(server, "connection");
  await once(socket, "open");
  const over = closed(socket);
  for (const worker of server.clients)
    (worker as unknown as { _socket: import("node:net").Socket })._socket.resetAndDestroy();
  assert.deepEqual(await over, [1014, "the worker broke off"]);
  await logged((line) => line["outcome"] === "upstream_reset");
});

test("a worker that resets in the middle of a frame: the tunnel is cut, no frame is put into another", async (t) => {
  const worker = await rawTunnel(t, (socket) => {
    socket.write(Buffer.from([0x82, 100, 1, 2, 3]), () => setImmediate(() => socket.resetAndDestroy()));
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const socket = open(t, port);
  assert.equal((await closed(socket))[0], 1006);
});

const lies: [why: string, answer: (key: string) => string][] = [
  [
    "a wrong accept proof",
    () => "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
  ],
  ["no accept proof", () => "upgrade: websocket\r\nconnection: upgrade"],
  [
    "another protocol",
    (key) => `upgrade: irc\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}`,
  ],
  [
    "a subprotocol nobody offered",
    (key) =>
      `upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\nsec-websocket-protocol: evil`,
  ],
];
for (const [why, answer] of lies) {
  test(`a worker that answers 101 with ${why} is not believed: 502`, async (t) => {
    const worker = await rawWorker(t, (socket, text) => {
      const key = /sec-websocket-key: (\S+)/i.exec(text)?.[1] ?? "";
      if (text.endsWith("\r\n\r\n"))
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${answer(key)}\r\n\r\n`);
    });
    const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
    const client = new RawClient(t, port);
    client.send(`${HANDSHAKE}\r\n`);
    assert.match(await client.closed, /^HTTP\/1\.1 502 [\s\S]*upstream_garbage/);
  });
}

const bad: [why: string, text: string][] = [
  ["no key", HANDSHAKE.replace(/Sec-WebSocket-Key.*\r\n/, "")],
  ["a key that is too short", HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=")],
  ["two keys", `${HANDSHAKE}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`],
  ["a body", `${HANDSHAKE}Content-Length: 5\r\n`],
];
for (const [why, text] of bad) {
  test(`a handshake with ${why} is refused with 400 (RFC 6455, section 4.2.1)`, async (t) => {
    const client = new RawClient(t, stack.port);
    client.send(`${text}\r\n`);
    assert.match(await client.closed, /^HTTP\/1\.1 400 /);
  });
}

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

test("Upgrade: h2c never reaches a worker, and the request is an ordinary one", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send(
    "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n\r\nhi",
  );
  const text = await client.closed;
  assert.match(text, /^HTTP\/1\.1 200 /);
  assert.match(text, /"body":"hi"/);
  assert.doesNotMatch(text, /"upgrade"|http2-settings/i);
});

test("Upgrade: websocket, h2c is a WebSocket and no more", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send(`${HANDSHAKE.replace("websocket\r\n", "h2c, websocket\r\n")}\r\n`);
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 101 [\s\S]*upgrade: websocket\r\n/i);
});

test("a WebSocket upgrade that is no GET is an ordinary request", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send(
    `${HANDSHAKE.replace("GET /ws", "POST /echo").replace("Upgrade\r\n", "Upgrade, close\r\n")}Content-Length: 0\r\n\r\n`,
  );
  assert.match(await client.closed, /^HTTP\/1\.1 200 [\s\S]*"method":"POST"/);
});

test("over HTTP/2: a worker's 101 with a content-length does not cut the tunnel", async (t) => {
  const worker = await rawWorker(t, (socket, text) => {
    const key = /sec-websocket-key: (\S+)/i.exec(text)?.[1];
    if (key === undefined || socket.bytesWritten > 0) return;
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\ncontent-length: 0\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\n\r\n`,
    );
    socket.write(Buffer.from([0x82, 1, 1]), () => socket.write(Buffer.from([0x82, 1, 2])));
  });
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  const session = http2Client(t, port);
  await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/",
    ":authority": "a",
  });
  stream.on("error", () => {});
  let bytes = 0;
  await new Promise<void>((resolve) => {
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes === 6) resolve();
    });
  });
});
