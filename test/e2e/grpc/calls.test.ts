import { create } from "@bufbuild/protobuf";
import { Metadata, status } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { once } from "node:events";
import { before, test } from "node:test";
import type { ChatMessage, CollectReply, CountReply } from "../../../services/grpc/gen/echo_pb.ts";
import {
  ChatMessageSchema,
  CollectRequestSchema,
  CountRequestSchema,
} from "../../../services/grpc/gen/echo_pb.ts";
import { h2, http2Client } from "../../support/clients.ts";
import type { EchoClient } from "../../support/grpc.ts";
import { GRPC, echoClient, ended, message, ping } from "../../support/grpc.ts";
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

const MIB = 1024 * 1024;

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
