// Who takes nothing of what waits for it loses its connection; who takes it slowly, but steadily, is served to the end.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { readConfig } from "../../edge/config.ts";
import { EdgeError } from "../../edge/errors.ts";
import { Connection } from "../../edge/http2/connection.ts";
import { frame, headers } from "../support/frames.ts";

const KIB = 1024;
const REPLY_BYTES = 3000 * KIB;
const STALL_MS = 1000;

/**
 * Both ends of a connection, by way of a Unix socket: its buffers are the same everywhere, and small. The kernel takes more
 * of it once some 192 KiB have been read, and the edge has more than that to give.
 */
async function pair(t: TestContext): Promise<{ edge: Socket; client: SlowReader }> {
  const folder = mkdtempSync("/tmp/oneport-test-");
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer((socket) => accepted.resolve(socket));
  await new Promise<void>((resolve) => server.listen(`${folder}/edge`, resolve));
  const client = new SlowReader(connect(`${folder}/edge`));
  const edge = await accepted.promise;
  t.after(() => {
    client.socket.destroy();
    edge.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  edge.on("error", () => {});
  return { edge, client };
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

/** A connection whose client has asked for REPLY_BYTES and opened every window; its clock is the test's. */
async function asking(
  t: TestContext,
): Promise<{ connection: Connection; client: SlowReader; met: string[] }> {
  const { edge, client } = await pair(t);
  const met: string[] = [];
  const asked = Promise.withResolvers<void>();
  const config = readConfig({ LIMIT_STALL_MS: String(STALL_MS), LIMIT_QUIET_MS: String(STALL_MS) });
  const connection = new Connection(edge, {
    role: "server",
    streamWindow: 65_535,
    connectionWindow: 65_535,
    maxStreams: 1,
    maxHeadBytes: 65_536,
    connectProtocol: false,
    limits: config,
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
  return { connection, client, met };
}

/** A quarter of a megabyte for each STALL_MS, until all of the reply has come or the connection is gone. */
async function readSlowly(connection: Connection, client: SlowReader): Promise<void> {
  while (client.bytes < REPLY_BYTES && !connection.socket.destroyed) {
    await client.read(Math.min(250 * KIB, REPLY_BYTES - client.bytes));
    connection.tick(STALL_MS);
  }
}

test("HTTP/2: a reply that is read slowly, but steadily, arrives whole, although the socket never drains", async (t) => {
  const { connection, client, met } = await asking(t);
  await readSlowly(connection, client);
  assert.deepEqual(met, []);
  assert.ok(client.bytes >= REPLY_BYTES);
});

test("HTTP/2: what is left of a connection that drains is given to a slow reader, too", async (t) => {
  const { connection, client, met } = await asking(t);
  connection.drain();
  await readSlowly(connection, client);
  assert.deepEqual(met, []);
  assert.ok(client.bytes >= REPLY_BYTES);
});

test("HTTP/2: a reply of which nothing is taken any more ends with its connection", async (t) => {
  const { connection, client, met } = await asking(t);
  await client.read(500 * KIB);
  connection.tick(STALL_MS);
  assert.deepEqual(met, []);
  connection.tick(STALL_MS);
  assert.deepEqual(met, ["stall"]);
  assert.ok(connection.socket.destroyed);
});
