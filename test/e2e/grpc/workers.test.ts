import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { GRPC, message, withWorker } from "../../support/grpc.ts";
import { http2Worker } from "../../support/workers.ts";

const MIB = 1024 * 1024;

test("a client that reads slowly holds the worker back", async (t) => {
  let sent = 0;
  const { port } = await withWorker(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    const chunk = Buffer.alloc(64 * 1024);
    const pump = (): void => {
      while (!stream.destroyed && sent < 256 * MIB) {
        sent += chunk.length;
        if (!stream.write(chunk)) return void stream.once("drain", pump);
      }
    };
    pump();
  });
  const stream = http2Client(t, port).request(GRPC);
  stream.end(message());
  await once(stream, "response");
  let before = -1;
  while (sent !== before) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(sent < 8 * MIB, `the worker could send ${sent} bytes to a client that read none`);
  stream.close();
});

test("a worker that reads slowly holds the client back", async (t) => {
  const { port } = await withWorker(t, (stream) => void stream.pause());
  const stream = http2Client(t, port).request(GRPC);
  stream.on("error", () => {});
  const chunk = Buffer.alloc(64 * 1024);
  let left = 0;
  const pump = (): void => {
    if (left < 256 * MIB) stream.write(chunk, () => ((left += chunk.length), pump()));
  };
  pump();
  let before = -1;
  while (left !== before) {
    before = left;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(left < 8 * MIB, `${left} bytes went to a worker that read none`);
});

test("a worker that restarts: calls fail as UNAVAILABLE, then work again", async (t) => {
  const { createServer } = await import("node:http2");
  const sessions = new Set<import("node:http2").ServerHttp2Session>();
  const worker = createServer();
  worker.on("session", (session) => sessions.add(session));
  worker.on("stream", (stream) => {
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
      { endStream: true },
    );
  });
  const listen = (port: number): Promise<void> =>
    new Promise((resolve) => worker.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port: workerPort } = worker.address() as import("node:net").AddressInfo;
  const { port, logged } = await testEdge(t, { GRPC_UPSTREAMS: `h2c://127.0.0.1:${workerPort}` });
  const session = http2Client(t, port);
  const call = async (): Promise<unknown> => (await h2(session, GRPC, message())).headers["grpc-status"];
  assert.equal(await call(), "0");
  const closed = once(worker, "close");
  worker.close();
  for (const each of sessions) each.destroy();
  await closed;
  assert.equal(await call(), "14");
  assert.equal(await call(), "14");
  await listen(workerPort);
  t.after(() => {
    worker.close();
    for (const each of sessions) each.destroy();
  });
  await logged((line) => line["message"] === "worker reachable again");
  assert.equal(await call(), "0");
});

test("a worker that refuses 1,500 calls in a row keeps its connection: only clients are counted", async (t) => {
  const sessions = new Set<unknown>();
  const { port } = await withWorker(t, (stream) => {
    sessions.add(stream.session);
    stream.close(2);
  });
  const session = http2Client(t, port);
  for (let i = 0; i < 15; i++) {
    const replies = await Promise.all(Array.from({ length: 100 }, () => h2(session, GRPC, message())));
    for (const reply of replies) assert.equal(reply.headers["grpc-status"], "14");
  }
  assert.equal(sessions.size, 1);
});

test("two gRPC workers share the calls", async (t) => {
  const hits = [0, 0];
  const workers = await Promise.all(
    [0, 1].map((index) =>
      http2Worker(t, (stream) => {
        hits[index]!++;
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
          { endStream: true },
        );
      }),
    ),
  );
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: workers.join(",") });
  const session = http2Client(t, port);
  for (let i = 0; i < 20; i++) await h2(session, GRPC, message());
  assert.deepEqual(hits, [10, 10]);
});
