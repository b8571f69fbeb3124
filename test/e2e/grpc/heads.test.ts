import { create } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { CountRequestSchema } from "../../../services/grpc/gen/echo_pb.ts";
import { h2, http2Client, settle } from "../../support/clients.ts";
import { GRPC, echoClient, ended, message, withWorker } from "../../support/grpc.ts";
import type { Stack } from "../../support/stack.ts";
import { startStack } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

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
