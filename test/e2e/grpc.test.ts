import assert from "node:assert/strict";
import { once } from "node:events";
import { before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { ServiceError, StatusObject } from "@grpc/grpc-js";
import { Metadata, status } from "@grpc/grpc-js";
import type { ChatMessage, CollectReply, CountReply } from "../../services/grpc/gen/echo_pb.ts";
import {
  ChatMessageSchema,
  CollectRequestSchema,
  CountRequestSchema,
} from "../../services/grpc/gen/echo_pb.ts";
import { h2, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import type { EchoClient } from "../support/grpc.ts";
import { echoClient, ping } from "../support/grpc.ts";
import type { Stack } from "../support/stack.ts";
import { startStack } from "../support/stack.ts";
import { suiteScope } from "../support/suite.ts";
import { http2Worker } from "../support/workers.ts";

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

const MIB = 1024 * 1024;

/** A gRPC message as it goes over the wire: not compressed, its length, its bytes. */
function message(bytes = 0): Buffer {
  const frame = Buffer.alloc(5 + bytes);
  frame.writeUInt32BE(bytes, 1);
  return frame;
}

const GRPC = { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc", te: "trailers" };

/** The status a call ended with. */
function ended(call: NodeJS.EventEmitter): Promise<StatusObject> {
  call.on("error", () => {});
  return new Promise((resolve) => call.once("status", resolve));
}

test("unary: Ping answers pong", async () => {
  assert.equal((await ping(client, new Metadata())).reply?.message, "pong");
});

test("the origin's wire: /Echo/Ping answers field 1, pong", async (t) => {
  const reply = await h2(http2Client(t, stack.port), GRPC, message());
  assert.deepEqual(reply.body, Buffer.from("\0\0\0\0\x06\x0a\x04pong", "latin1"));
  assert.deepEqual([reply.headers[":status"], reply.trailers["grpc-status"], reply.code], [200, "0", 0]);
});

test("server streaming: every message, in order", async () => {
  const call = client.count(create(CountRequestSchema, { count: 500, size: 100 }), new Metadata());
  const numbers = (await Array.fromAsync(call as AsyncIterable<CountReply>)).map(({ number }) => number);
  assert.deepEqual(
    numbers,
    Array.from({ length: 500 }, (_, i) => i + 1),
  );
});

test("client streaming: every message is counted", async () => {
  const reply = await new Promise<CollectReply | undefined>((resolve, reject) => {
    const call = client.collect(new Metadata(), {}, (error, value) =>
      error === null ? resolve(value) : reject(error),
    );
    for (let i = 0; i < 300; i++) call.write(create(CollectRequestSchema, { payload: Buffer.alloc(1000) }));
    call.end();
  });
  assert.deepEqual([reply?.messages, reply?.bytes], [300, 300_000n]);
});

test("bidirectional streaming: an answer before the next question", async () => {
  const call = client.chat(new Metadata());
  for (let i = 0; i < 20; i++) {
    call.write(create(ChatMessageSchema, { message: `m${i}` }));
    const [reply] = (await once(call, "data")) as [ChatMessage];
    assert.equal(reply.message, `m${i}`);
  }
  call.end();
  assert.equal((await ended(call)).code, status.OK);
});

for (const size of [4 * MIB, 20 * MIB]) {
  test(`messages of ${size / MIB} MiB pass both ways`, async () => {
    const call = client.chat(new Metadata());
    const payload = Buffer.alloc(size, "oneport");
    call.write(create(ChatMessageSchema, { payload }));
    const [reply] = (await once(call, "data")) as [ChatMessage];
    assert.ok(payload.equals(reply.payload));
    call.end();
    assert.equal((await ended(call)).code, status.OK);
  });
}

test("500 calls at once on one connection, HTTP and WebSocket streams beside them", async (t) => {
  const session = http2Client(t, stack.port, { peerMaxConcurrentStreams: 200 });
  const socket = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": "/ws",
    ":authority": "a",
    "sec-websocket-version": "13",
  });
  const [opened] = (await once(socket, "response")) as [Record<string, unknown>];
  assert.equal(opened[":status"], 200);
  const calls = Array.from({ length: 500 }, () => h2(session, GRPC, message()));
  const gets = Array.from({ length: 100 }, () => h2(session, { ":path": "/ping" }));
  const masked = Buffer.from([0x81, 0x8d, 0, 0, 0, 0, ...Buffer.from('{"message":1}')]);
  socket.write(masked);
  const [frame] = (await once(socket, "data")) as [Buffer];
  assert.match(frame.toString("latin1"), /"message":"pong"/);
  for (const reply of await Promise.all(calls)) assert.equal(reply.trailers["grpc-status"], "0");
  for (const reply of await Promise.all(gets)) assert.equal(reply.headers[":status"], 200);
  socket.close();
});

/** An edge in front of a gRPC worker that does what the test wants. */
async function withWorker(
  t: import("node:test").TestContext,
  onStream: Parameters<typeof http2Worker>[1],
): ReturnType<typeof testEdge> {
  return testEdge(t, { GRPC_UPSTREAMS: await http2Worker(t, onStream) });
}

test("metadata passes both ways, repeated and binary too", async (t) => {
  const { port } = await withWorker(t, (stream, headers) => {
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "x-text": headers["x-text"] },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () =>
      stream.sendTrailers({ "grpc-status": "0", "x-blob-bin": headers["x-blob-bin"] ?? "" }),
    );
    stream.end(message());
  });
  const stream = http2Client(t, port).request({ ...GRPC, "x-text": ["a", "b"], "x-blob-bin": "AAEC/w==" });
  stream.end(message());
  const reply = await settle(stream);
  assert.equal(reply.headers["x-text"], "a, b");
  assert.equal(reply.trailers["x-blob-bin"], "AAEC/w==");
});

test("grpc-js metadata with a binary value arrives byte for byte", async (t) => {
  const { port } = await withWorker(t, (stream, headers) => {
    stream.respond(
      {
        ":status": 200,
        "content-type": "application/grpc",
        "grpc-status": "0",
        "x-back-bin": headers["x-blob-bin"],
      },
      { endStream: true },
    );
  });
  const metadata = new Metadata();
  metadata.add("x-blob-bin", Buffer.from([0, 1, 254, 255]));
  const call = echoClient(t, port).count(create(CountRequestSchema, { count: 1 }), metadata);
  const { metadata: back } = await ended(call.resume());
  assert.deepEqual(back.get("x-back-bin"), [Buffer.from([0, 1, 254, 255])]);
});

test("the worker gets te: trailers, the original authority and path, and who asked", async (t) => {
  const seen = Promise.withResolvers<Record<string, unknown>>();
  const { port } = await withWorker(t, (stream, headers) => {
    seen.resolve(headers);
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
      { endStream: true },
    );
  });
  await h2(
    http2Client(t, port),
    { ...GRPC, ":authority": "api.example.com", "x-auth-email": "forged" },
    message(),
  );
  const headers = await seen.promise;
  assert.deepEqual(
    [
      headers["te"],
      headers[":authority"],
      headers[":path"],
      headers["x-forwarded-host"],
      headers["x-auth-email"],
    ],
    ["trailers", "api.example.com", "/Echo/Ping", "api.example.com", undefined],
  );
});

test("an error comes as trailers-only, in one HEADERS frame", async (t) => {
  const { port } = await withWorker(t, (stream) => {
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "5", "grpc-message": "no%20such" },
      { endStream: true },
    );
  });
  const reply = await h2(http2Client(t, port), GRPC, message());
  assert.deepEqual(
    [reply.headers["grpc-status"], reply.headers["grpc-message"], reply.trailers, reply.code],
    ["5", "no%20such", {}, 0],
  );
});

test("an unknown method is the worker's UNIMPLEMENTED", async (t) => {
  const reply = await h2(http2Client(t, stack.port), { ...GRPC, ":path": "/Echo/Nope" }, message());
  assert.equal(reply.headers["grpc-status"] ?? reply.trailers["grpc-status"], "12");
});

test("the worker gets the time that is left, not the time that was given", async (t) => {
  const timeout = Promise.withResolvers<string>();
  const { port } = await withWorker(t, (stream, headers) => {
    timeout.resolve(String(headers["grpc-timeout"]));
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
      { endStream: true },
    );
  });
  await h2(http2Client(t, port), { ...GRPC, "grpc-timeout": "10S" }, message());
  const ms = Number(/^(\d+)m$/.exec(await timeout.promise)?.[1]);
  assert.ok(ms > 5000 && ms < 10_000, `${ms}`);
});

test("a worker that is late: DEADLINE_EXCEEDED from the edge, and the worker is told to stop", async (t) => {
  const cancelled = Promise.withResolvers<number>();
  const { port, logged } = await withWorker(t, (stream) => {
    stream.once("close", () => cancelled.resolve(stream.rstCode ?? -1));
  });
  const reply = await h2(http2Client(t, port), { ...GRPC, "grpc-timeout": "50m" }, message());
  assert.deepEqual([reply.headers[":status"], reply.headers["grpc-status"]], [200, "4"]);
  assert.equal(await cancelled.promise, 8);
  await logged((line) => line["outcome"] === "deadline");
});

test("a worker that is late in the middle of a reply: trailers with DEADLINE_EXCEEDED", async (t) => {
  const { port } = await withWorker(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.write(message(3));
  });
  const reply = await h2(http2Client(t, port), { ...GRPC, "grpc-timeout": "100m" }, message());
  assert.deepEqual([reply.body.length, reply.trailers["grpc-status"], reply.code], [8, "4", 0]);
});

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

test("health: SERVING, over the edge", async (t) => {
  const reply = await h2(
    http2Client(t, stack.port),
    { ...GRPC, ":path": "/grpc.health.v1.Health/Check" },
    message(),
  );
  assert.deepEqual(reply.body, Buffer.from([0, 0, 0, 0, 2, 8, 1]));
  assert.equal(reply.trailers["grpc-status"], "0");
});

for (const version of ["v1", "v1alpha"]) {
  const reflect = { ...GRPC, ":path": `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo` };
  test(`reflection ${version} lists the services by the names that clients call them`, async (t) => {
    // ServerReflectionRequest { list_services: "" }; the reply has each name as a length-prefixed field 1.
    const reply = await h2(http2Client(t, stack.port), reflect, Buffer.from([0, 0, 0, 0, 2, 0x3a, 0]));
    const text = reply.body.toString("latin1");
    assert.ok(text.includes("\x0a\x04Echo"));
    assert.match(text, /grpc\.health\.v1\.Health/);
  });
  test(`reflection ${version} finds Echo and its messages`, async (t) => {
    for (const symbol of ["Echo", "Echo.Ping", "PingRequest"]) {
      // ServerReflectionRequest { file_containing_symbol: symbol }
      const request = Buffer.concat([Buffer.from([0x22, symbol.length]), Buffer.from(symbol)]);
      const reply = await h2(
        http2Client(t, stack.port),
        reflect,
        Buffer.concat([Buffer.from([0, 0, 0, 0, request.length]), request]),
      );
      assert.match(reply.body.toString("latin1"), /PongResult/, symbol);
    }
  });
}

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
