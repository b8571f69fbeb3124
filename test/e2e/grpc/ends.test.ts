import { create } from "@bufbuild/protobuf";
import type { ServiceError } from "@grpc/grpc-js";
import { Metadata, status } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { CollectRequestSchema, CountRequestSchema } from "../../../services/grpc/gen/echo_pb.ts";
import { h2, http2Client } from "../../support/clients.ts";
import type { EchoClient } from "../../support/grpc.ts";
import { testEdge } from "../../support/edge.ts";
import { END_HEADERS, END_STREAM, fields, frame } from "../../support/frames.ts";
import { SETTINGS, hostileWorker } from "../../support/hostile-worker.ts";
import { GRPC, echoClient, ended, message, withWorker } from "../../support/grpc.ts";
import type { Stack } from "../../support/stack.ts";
import { startStack } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";

let stack: Stack;
let client: EchoClient;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
  client = echoClient(suite, stack.port, {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
  });
});

test("a worker that is late: DEADLINE_EXCEEDED from the edge, and the worker is told to stop", async (t) => {
  const cancelled = Promise.withResolvers<number>();
  const { port, logged } = await withWorker(t, (stream) => {
    stream.once("close", () => cancelled.resolve(stream.rstCode ?? -1));
  });
  const reply = await h2(http2Client(t, port), { ...GRPC, "grpc-timeout": "500m" }, message());
  assert.deepEqual([reply.headers[":status"], reply.headers["grpc-status"]], [200, "4"]);
  assert.equal(await cancelled.promise, 8);
  await logged((line) => line["outcome"] === "deadline");
});

test("a worker that is late in the middle of a reply: trailers with DEADLINE_EXCEEDED", async (t) => {
  const { port } = await withWorker(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.write(message(3));
  });
  const reply = await h2(http2Client(t, port), { ...GRPC, "grpc-timeout": "500m" }, message());
  assert.deepEqual([reply.body.length, reply.trailers["grpc-status"], reply.code], [8, "4", 0]);
});

for (const [why, messages] of [
  ["more", 2],
  ["less", 0],
] as const) {
  test(`a worker that sends ${why} than its content-length: a status, and not a reply that no client can read`, async (t) => {
    const port = await hostileWorker(t, {
      http: () => {},
      grpc: (socket, stream) => {
        const head = [":status", "200"] as const;
        const length = ["content-length", String(message().length)] as const;
        const block = fields(head, ["content-type", "application/grpc"], length);
        const data = Buffer.concat(Array.from({ length: messages }, () => message()));
        socket.write(SETTINGS);
        socket.write(frame("HEADERS", END_HEADERS, stream, block));
        socket.write(frame("DATA", 0, stream, data));
        socket.write(frame("HEADERS", END_HEADERS | END_STREAM, stream, fields(["grpc-status", "0"])));
      },
      websocket: () => {},
    });
    const edge = await testEdge(t, { GRPC_UPSTREAMS: `h2c://127.0.0.1:${port}` });
    const reply = await h2(http2Client(t, edge.port), GRPC, message());
    const seen = [reply.headers["content-length"], reply.trailers["grpc-status"], reply.code];
    assert.deepEqual(seen, [undefined, "14", 0]);
  });
}

for (const [interim, status] of [
  [100, "0"],
  [101, "14"],
] as const) {
  test(`a worker that sends ${interim} interim replies before the reply: status ${status}`, async (t) => {
    const port = await hostileWorker(t, {
      http: () => {},
      grpc: (socket, stream) => {
        const early = frame("HEADERS", END_HEADERS, stream, fields([":status", "103"]));
        const last = fields([":status", "200"], ["content-type", "application/grpc"], ["grpc-status", "0"]);
        socket.write(Buffer.concat([SETTINGS, ...Array.from({ length: interim }, () => early)]));
        socket.write(frame("HEADERS", END_HEADERS | END_STREAM, stream, last));
      },
      websocket: () => {},
    });
    const edge = await testEdge(t, { GRPC_UPSTREAMS: `h2c://127.0.0.1:${port}` });
    const reply = await h2(http2Client(t, edge.port), GRPC, message());
    assert.equal(reply.headers["grpc-status"], status);
  });
}

test("a malformed grpc-timeout is refused", async (t) => {
  const reply = await h2(http2Client(t, stack.port), { ...GRPC, "grpc-timeout": "soon" }, message());
  assert.deepEqual(
    [reply.headers["grpc-status"], reply.headers["grpc-message"]],
    ["3", "grpc-timeout is malformed"],
  );
});

test("grpc-js sees the deadline as DEADLINE_EXCEEDED", async () => {
  const call = client.count(create(CountRequestSchema, { count: 10, intervalMs: 60_000 }), new Metadata(), {
    deadline: Date.now() + 200,
  });
  assert.equal((await ended(call.resume())).code, status.DEADLINE_EXCEEDED);
});

test("a client that cancels: the worker's stream is reset with CANCEL", async (t) => {
  const begun = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<number>();
  const { port, logged } = await withWorker(t, (stream) => {
    stream.once("close", () => cancelled.resolve(stream.rstCode ?? -1));
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    begun.resolve();
  });
  const call = echoClient(t, port).count(create(CountRequestSchema, { count: 1 }), new Metadata());
  const over = ended(call.resume());
  await begun.promise;
  call.cancel();
  assert.equal((await over).code, status.CANCELLED);
  assert.equal(await cancelled.promise, 8);
  await logged((line) => line["outcome"] === "client_gone");
});

test("a client whose connection drops: the worker's stream is reset", async (t) => {
  const begun = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<number>();
  const { port } = await withWorker(t, (stream) => {
    stream.once("close", () => cancelled.resolve(stream.rstCode ?? -1));
    begun.resolve();
  });
  const session = http2Client(t, port);
  const stream = session.request(GRPC);
  stream.on("error", () => {});
  stream.write(message());
  await begun.promise;
  session.destroy();
  assert.equal(await cancelled.promise, 8);
});

test("a worker that resets before its reply: UNAVAILABLE, trailers-only", async (t) => {
  const { port } = await withWorker(t, (stream) => stream.close(2));
  const reply = await h2(http2Client(t, port), GRPC, message());
  assert.deepEqual([reply.headers[":status"], reply.headers["grpc-status"]], [200, "14"]);
});

test("a worker that resets in the middle of its reply: UNAVAILABLE in trailers, never a clean end", async (t) => {
  const { port } = await withWorker(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.write(message(10).subarray(0, 9), () => stream.close(2));
  });
  const reply = await h2(http2Client(t, port), GRPC, message());
  assert.equal(reply.trailers["grpc-status"], "14");
});

test("a reply that ends without grpc-status: UNAVAILABLE is put in (grpc-node#2569)", async (t) => {
  const { port } = await withWorker(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.end(message(3));
  });
  const reply = await h2(http2Client(t, port), GRPC, message());
  assert.deepEqual([reply.body.length, reply.trailers["grpc-status"]], [8, "14"]);
});

test("a worker that resets with NO_ERROR before its trailers: UNAVAILABLE (connect-es#1751)", async (t) => {
  const { port } = await withWorker(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.write(message(3), () => stream.close(0));
  });
  const reply = await h2(http2Client(t, port), GRPC, message());
  assert.equal(reply.trailers["grpc-status"], "14");
});

test("a worker that answers before the client has finished: its status arrives, and the upload is stopped", async (t) => {
  const { port } = await withWorker(t, (stream) => {
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "8", "grpc-message": "enough" },
      { endStream: true },
    );
  });
  const error = await new Promise<ServiceError | null>((resolve) => {
    const call = echoClient(t, port).collect(new Metadata(), {}, resolve);
    call.on("error", () => {});
    call.write(create(CollectRequestSchema, { payload: Buffer.alloc(100) }));
  });
  assert.equal(error?.code, status.RESOURCE_EXHAUSTED);
});
