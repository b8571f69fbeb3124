// A worker allows so many streams on a connection: the calls beyond go over others, so that those that last keep nobody waiting.
import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { http2Client, settle } from "../../support/clients.ts";
import type { Reply } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import {
  END_HEADERS,
  END_STREAM,
  FrameClient,
  PREFACE,
  fields,
  frame,
  headers,
} from "../../support/frames.ts";
import { GRPC, message } from "../../support/grpc.ts";
import { SETTINGS, hostileWorker } from "../../support/hostile-worker.ts";
import { Holding } from "../../support/holding.ts";

const STREAMS = 4;

/** So many calls, each over a connection of its own to the edge. */
function ask(t: TestContext, port: number, count: number): Promise<Reply>[] {
  return Array.from({ length: count }, () => settle(http2Client(t, port).request(GRPC).end(message())));
}

async function statuses(replies: readonly Promise<Reply>[]): Promise<unknown[]> {
  return (await Promise.all(replies)).map(({ headers }) => headers["grpc-status"]);
}

/** The worker's limit is known once a call has been answered. */
async function warm(t: TestContext, worker: Holding, port: number): Promise<void> {
  const [first] = ask(t, port, 1);
  await worker.answer(0);
  await first;
  worker.forget();
}

test("as many calls as there are, four on each connection", async (t) => {
  const worker = await Holding.start(t, STREAMS);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker.address });
  await warm(t, worker, port);
  const replies = ask(t, port, 3 * STREAMS);
  await worker.call(3 * STREAMS - 1);
  assert.equal(worker.connections, 3);
  for (let index = 0; index < worker.count; index++) await worker.answer(index);
  assert.deepEqual(new Set(await statuses(replies)), new Set(["0"]));

  // The others are there, but the first one has room again.
  worker.forget();
  const again = ask(t, port, STREAMS);
  await worker.call(STREAMS - 1);
  assert.equal(worker.connections, 1);
  for (let index = 0; index < worker.count; index++) await worker.answer(index);
  await statuses(again);
});

test("a worker that says GOAWAY, and then keeps its end of the connection open, loses it", async (t) => {
  const lost = Promise.withResolvers<void>();
  const port = await hostileWorker(t, {
    http: () => {},
    grpc: (socket, stream) => {
      socket.allowHalfOpen = true;
      const reply = fields([":status", "200"], ["content-type", "application/grpc"], ["grpc-status", "0"]);
      const goaway = Buffer.alloc(8);
      goaway.writeUInt32BE(stream);
      socket.write(SETTINGS);
      socket.write(frame("HEADERS", END_HEADERS | END_STREAM, stream, reply));
      socket.write(frame("GOAWAY", 0, 0, goaway));
      // It learns that the connection is gone when it says something on it.
      const talk = setInterval(() => socket.write(frame("PING", 0, 0, Buffer.alloc(8))), 20);
      socket.once("close", () => {
        clearInterval(talk);
        lost.resolve();
      });
    },
    websocket: () => {},
  });
  const edge = await testEdge(t, { GRPC_UPSTREAMS: `h2c://127.0.0.1:${port}`, LIMIT_HEAD_MS: "100" });
  assert.deepEqual(await statuses(ask(t, edge.port, 1)), ["0"]);
  await lost.promise;
});

test("LIMIT_UPSTREAM_CONNECTIONS=2: what is beyond waits for a stream of either", async (t) => {
  const worker = await Holding.start(t, STREAMS);
  const { port } = await testEdge(t, {
    GRPC_UPSTREAMS: worker.address,
    LIMIT_UPSTREAM_CONNECTIONS: "2",
  });
  await warm(t, worker, port);
  const replies = ask(t, port, 2 * STREAMS + 2);
  await worker.call(2 * STREAMS - 1);
  assert.equal(worker.connections, 2);
  const last = worker.cameOn.findLastIndex((session) => session !== worker.cameOn[0]);
  await worker.answer(0);
  await worker.answer(last);
  await worker.call(2 * STREAMS + 1);
  assert.equal(worker.connections, 2);
  for (let index = 0; index < worker.count; index++)
    if (index !== 0 && index !== last) await worker.answer(index);
  assert.deepEqual(new Set(await statuses(replies)), new Set(["0"]));
});

test("a worker that takes no further connection is no worker that cannot be reached: calls wait for the one that is open", async (t) => {
  const worker = await Holding.start(t, STREAMS);
  const { port, lines } = await testEdge(t, {
    GRPC_UPSTREAMS: worker.address,
    HEALTH_INTERVAL_MS: "60000",
  });
  await warm(t, worker, port);
  worker.shut();
  const replies = ask(t, port, STREAMS + 3);
  for (let answered = 0; answered < STREAMS + 3; answered++) {
    await worker.call(Math.min(answered + STREAMS, STREAMS + 3) - 1);
    await worker.answer(answered);
  }
  assert.deepEqual(new Set(await statuses(replies)), new Set(["0"]));
  assert.equal(worker.connections, 1);
  assert.deepEqual(
    lines.filter(({ severity }) => severity === "ERROR"),
    [],
  );
});

/** A worker that gives windows back for what it reads only, answers each call, and does not read those of `/held`. */
async function coupledWorker(t: TestContext): Promise<string> {
  const answer = Buffer.concat([
    Buffer.from([0x88]),
    fields(["content-type", "application/grpc"], ["grpc-status", "0"]),
  ]);
  const server = createServer((socket) => {
    const held = new Set<number>();
    let bytes = Buffer.alloc(0);
    t.after(() => socket.destroy());
    socket.on("error", () => {});
    socket.write(frame("SETTINGS", 0, 0));
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (bytes.subarray(0, PREFACE.length).equals(PREFACE)) bytes = bytes.subarray(PREFACE.length);
      while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        const length = bytes.readUIntBE(0, 3);
        const [type, flags, id] = [bytes[3] ?? 0, bytes[4] ?? 0, bytes.readUInt32BE(5)];
        const payload = bytes.subarray(9, 9 + length);
        bytes = bytes.subarray(9 + length);
        if (type === 4 && flags === 0) socket.write(frame("SETTINGS", 1, 0));
        if (type === 1 && payload.includes("/held")) held.add(id);
        if (held.has(id) || type > 1) continue;
        const back = Buffer.alloc(4);
        back.writeUInt32BE(length);
        if (type === 0 && length > 0) socket.write(frame("WINDOW_UPDATE", 0, 0, back));
        if ((flags & END_STREAM) !== 0) socket.write(frame("HEADERS", END_HEADERS | END_STREAM, id, answer));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return `h2c://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test(
  "a call that its worker does not read stops no other, where that uses up the connection's window",
  { timeout: 10_000 },
  async (t) => {
    const { port } = await testEdge(t, { GRPC_UPSTREAMS: await coupledWorker(t) });
    const other = http2Client(t, port);
    const call = (): Promise<Reply> => settle(other.request(GRPC).end(message(100)));
    assert.equal((await call()).headers["grpc-status"], "0");

    const client = new FrameClient(t, port);
    const full = [16_000, 16_000, 16_000, 16_000, 1535].map((bytes) =>
      frame("DATA", 0, 1, Buffer.alloc(bytes)),
    );
    client.open(headers(1, "POST", "/held", [["content-type", "application/grpc"]], false), ...full);
    await client.settled;
    for (let i = 0; i < 3; i++) assert.equal((await call()).headers["grpc-status"], "0");
    // The connection whose window never comes back is not used again when its call has gone.
    client.socket.destroy();
    for (let i = 0; i < 3; i++) assert.equal((await call()).headers["grpc-status"], "0");
  },
);
