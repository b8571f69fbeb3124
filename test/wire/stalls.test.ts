// Who takes nothing of what waits for it loses its connection; who takes it slowly, but steadily, is served to the end.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocketServer } from "ws";
import { readConfig } from "../../edge/settings/config.ts";
import { EdgeError } from "../../edge/errors.ts";
import { Connection as Http1Connection } from "../../edge/http1/connection.ts";
import { Connections } from "../../edge/http1/connections.ts";
import { CLIENT_FAULTS } from "../../edge/http1/malformed.ts";
import { Connection as Http2Connection } from "../../edge/http2/connection.ts";
import { FieldReader } from "../../edge/message/fields.ts";
import { adopt } from "../../edge/port/socket-end.ts";
import { RawClient } from "../support/clients.ts";
import type { TestEdge } from "../support/edge.ts";
import { testEdge } from "../support/edge.ts";
import { FrameClient, frame, headers } from "../support/frames.ts";
import { pair } from "../support/pair.ts";

const KIB = 1024;
const REPLY_BYTES = 3000 * KIB;
const STALL_MS = 1000;

/** The kernel takes more of such a connection once some 192 KiB have been read, and the edge has more than that to give. */
async function slowly(t: TestContext): Promise<{ edge: Socket; client: SlowReader }> {
  const { edge, client } = await pair(t);
  return { edge, client: new SlowReader(client) };
}

/** Reads as much as it is told to, and then no more. */
class SlowReader {
  readonly socket: Socket;
  bytes = 0;
  #wanted = 0;
  #enough = (): void => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.pause();
    socket.on("error", () => {});
    socket.on("close", () => this.#enough());
    socket.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (this.bytes < this.#wanted) return;
      socket.pause();
      this.#enough();
    });
  }

  /** Resolves once at least so many more bytes have been read, or the connection is closed, and the edge had its turn. */
  async read(bytes: number): Promise<void> {
    const enough = Promise.withResolvers<void>();
    this.#wanted = this.bytes + bytes;
    this.#enough = enough.resolve;
    if (!this.socket.destroyed) {
      this.socket.resume();
      await enough.promise;
    }
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A connection that has REPLY_BYTES and more for its client; its clock is the test's. */
interface Serving {
  readonly edge: Socket;
  readonly client: SlowReader;
  /** The limits that the client exceeded. */
  readonly met: string[];
  tick(ms: number): void;
  drain(): void;
}

const CONFIG = readConfig({ LIMIT_STALL_MS: String(STALL_MS), LIMIT_QUIET_MS: String(STALL_MS) });

/** A client that has asked, and opened every window. */
async function overHttp2(t: TestContext): Promise<Serving> {
  const { edge, client } = await slowly(t);
  const met: string[] = [];
  const asked = Promise.withResolvers<void>();
  const connection = new Http2Connection(edge, {
    role: "server",
    streamWindow: 65_535,
    connectionWindow: 65_535,
    maxStreams: 1,
    maxHeadBytes: 65_536,
    connectProtocol: false,
    limits: CONFIG,
    exceeded: (limit) => void met.push(limit),
    abortedBy: () => new EdgeError("client_gone"),
    onRequest: (stream) => {
      stream.sendHead([":status", "200"], [], false);
      stream.write(Buffer.alloc(REPLY_BYTES));
      stream.end([]);
      asked.resolve();
    },
  });
  edge.on("data", (bytes: Buffer) => connection.receive(bytes));
  const widest = Buffer.from([0x7f, 0xff, 0, 0]);
  client.socket.write(
    Buffer.concat([
      frame("SETTINGS", 0, 0, Buffer.concat([Buffer.from([0, 4]), widest])),
      frame("WINDOW_UPDATE", 0, 0, widest),
      headers(1, "GET", "/"),
    ]),
  );
  await asked.promise;
  return { edge, client, met, tick: (ms) => connection.tick(ms), drain: () => connection.drain() };
}

/** A client that has asked. The worker's pieces wait in the socket, one write for all. */
async function overHttp1(t: TestContext): Promise<Serving> {
  const { edge, client } = await slowly(t);
  const met: string[] = [];
  const asked = Promise.withResolvers<void>();
  const connections = new Connections({
    ...CONFIG,
    fields: new FieldReader(CLIENT_FAULTS),
    exceeded: (limit) => void met.push(limit),
    handle: (exchange) => {
      exchange.respond(200, ["content-length", String(REPLY_BYTES)], false);
      for (let sent = 0; sent < REPLY_BYTES; sent += 50 * KIB) exchange.write(Buffer.alloc(50 * KIB));
      exchange.end([]);
      asked.resolve();
    },
  });
  const end = adopt(edge);
  connections.add(new Http1Connection(end, connections));
  client.socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await asked.promise;
  return {
    edge: end.socket,
    client,
    met,
    tick: (ms) => connections.tick(ms),
    drain: () => void connections.drain(),
  };
}

/** A quarter of a megabyte for each STALL_MS, until all of the reply has come or the connection is gone. */
async function readSlowly({ client, tick }: Serving): Promise<void> {
  while (client.bytes < REPLY_BYTES && !client.socket.destroyed) {
    await client.read(Math.min(250 * KIB, REPLY_BYTES - client.bytes));
    tick(STALL_MS);
  }
}

for (const [version, asking] of [
  ["HTTP/2", overHttp2],
  ["HTTP/1.1", overHttp1],
] as const) {
  test(`${version}: a reply that is read slowly, but steadily, arrives whole, although the socket never drains`, async (t) => {
    const serving = await asking(t);
    await readSlowly(serving);
    assert.deepEqual(serving.met, []);
    assert.ok(serving.client.bytes >= REPLY_BYTES);
  });

  test(`${version}: what is left of a connection that drains is given to a slow reader, too`, async (t) => {
    const serving = await asking(t);
    serving.drain();
    await readSlowly(serving);
    assert.deepEqual(serving.met, []);
    assert.ok(serving.client.bytes >= REPLY_BYTES);
  });

  test(`${version}: a reply of which nothing is taken any more ends with its connection`, async (t) => {
    const { edge, client, met, tick } = await asking(t);
    await client.read(500 * KIB);
    tick(STALL_MS);
    assert.deepEqual(met, []);
    tick(STALL_MS);
    assert.deepEqual(met, ["stall"]);
    assert.ok(edge.destroyed);
  });
}

/** An edge in front of a WebSocket worker that sends on and on. */
async function talkative(t: TestContext): Promise<TestEdge> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  server.on("connection", (socket) => {
    socket.on("error", () => {});
    for (let i = 0; i < 64; i++) socket.send(Buffer.alloc(256 * KIB));
  });
  const { port } = server.address() as AddressInfo;
  return testEdge(t, { WS_UPSTREAMS: `http://127.0.0.1:${port}`, LIMIT_STALL_MS: "200" });
}

test("a tunnel's client that reads nothing loses it, over HTTP/1.1", async (t) => {
  const edge = await talkative(t);
  const client = new RawClient(t, edge.port);
  client.socket.pause();
  client.send(
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
      `Sec-WebSocket-Key: ${"a".repeat(22)}==\r\n\r\n`,
  );
  await edge.logged(({ limit }) => limit === "stall");
  assert.equal((await edge.logged(({ route }) => route === "websocket"))["outcome"], "client_gone");
});

test("a tunnel's client that reads nothing loses it, over HTTP/2", async (t) => {
  const edge = await talkative(t);
  const client = new FrameClient(t, edge.port);
  const connect: [string, string][] = [
    [":protocol", "websocket"],
    ["sec-websocket-version", "13"],
  ];
  client.open(headers(1, "CONNECT", "/ws", connect, false));
  await client.until(/^RST_STREAM 1 11$/);
  await edge.logged(({ limit }) => limit === "stall");
});
