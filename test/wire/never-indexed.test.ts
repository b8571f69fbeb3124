import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import { Decoder } from "../../edge/http2/hpack/decoder.ts";
import { testEdge } from "../support/edge.ts";
import { FrameClient, PREFACE, fields, frame, headers } from "../support/frames.ts";
import { rawWorker } from "../support/workers.ts";

/** A field as one that must never be indexed (RFC 7541, section 6.2.3). */
function never(name: string, value: string): Buffer {
  const literal = fields([name, value]);
  literal[0] = 0x10;
  return literal;
}

test("a field that must never be indexed goes to the worker as one, each time (RFC 7541, section 7.1.3)", async (t) => {
  const heads: { fields: readonly string[]; neverIndexed: readonly string[] }[] = [];
  const two = Promise.withResolvers<void>();
  const decoder = new Decoder(4096, 65_536);
  const reader = new FrameReader(16_384, (bytes, { type, start, end }) => {
    if (type !== 1) return;
    heads.push(decoder.decode(bytes, start, end));
    if (heads.length === 2) two.resolve();
  });
  let read = PREFACE.length;
  const worker = await rawWorker(t, (socket, text) => {
    if (read === PREFACE.length) socket.write(frame("SETTINGS", 0, 0));
    reader.push(Buffer.from(text.slice(read), "latin1"));
    read = text.length;
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  const head = fields(
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/Echo/Ping"],
    [":authority", "a"],
    ["content-type", "application/grpc"],
  );
  const block = Buffer.concat([head, never("x-secret", "s3cr3t"), fields(["x-plain", "p"])]);
  client.open(frame("HEADERS", 4, 1, block), frame("HEADERS", 4, 3, block));
  await two.promise;
  for (const { fields: seen, neverIndexed } of heads) {
    assert.equal(seen[seen.indexOf("x-secret") + 1], "s3cr3t");
    assert.deepEqual(neverIndexed, ["x-secret"]);
  }
});

test("a reply's field that must never be indexed goes to the client as one", async (t) => {
  const reply = Buffer.concat([
    fields([":status", "200"], ["content-type", "application/grpc"], ["grpc-status", "0"]),
    never("x-secret", "s3cr3t"),
  ]);
  const worker = await rawWorker(t, (socket, text) => {
    if (!text.includes("/Echo/Ping") || socket.bytesWritten > 0) return;
    socket.write(Buffer.concat([frame("SETTINGS", 0, 0), frame("HEADERS", 5, 1, reply)]));
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  const decoder = new Decoder(4096, 65_536);
  const seen = Promise.withResolvers<readonly string[]>();
  const reader = new FrameReader(16_384, (bytes, { type, start, end }) => {
    if (type === 1) seen.resolve(decoder.decode(bytes, start, end).neverIndexed);
  });
  client.socket.on("data", (bytes: Buffer) => reader.push(bytes));
  client.open(headers(1, "POST", "/Echo/Ping", [["content-type", "application/grpc"]]));
  assert.deepEqual(await seen.promise, ["x-secret"]);
});

/** A worker that hears a request's trailers, and answers with these frames. */
async function trailing(
  t: TestContext,
  answer: (id: number) => Buffer,
): Promise<{ url: string; heard: Promise<readonly string[]> }> {
  const heard = Promise.withResolvers<readonly string[]>();
  const decoder = new Decoder(4096, 65_536);
  let heads = 0;
  let read = PREFACE.length;
  const url = await rawWorker(t, (socket, text) => {
    if (read === PREFACE.length)
      socket.write(Buffer.concat([frame("SETTINGS", 0, 0), frame("SETTINGS", 1, 0)]));
    reader.push(Buffer.from(text.slice(read), "latin1"));
    read = text.length;
    if (heads === 2) socket.write(answer(1));
  });
  const reader = new FrameReader(16_384, (bytes, { type, start, end }) => {
    if (type !== 1) return;
    const { neverIndexed } = decoder.decode(bytes, start, end);
    if (++heads === 2) heard.resolve(neverIndexed);
  });
  return { url, heard: heard.promise };
}

test("trailers and interim heads keep what must never be indexed, both ways", async (t) => {
  const secret = never("x-secret", "s3cr3t");
  const { url, heard } = await trailing(t, (id) =>
    Buffer.concat([
      frame("HEADERS", 4, id, Buffer.concat([fields([":status", "103"], ["content-length", "5"]), secret])),
      frame("HEADERS", 4, id, fields([":status", "200"], ["content-type", "application/grpc"])),
      frame("HEADERS", 5, id, Buffer.concat([fields(["grpc-status", "0"]), secret])),
    ]),
  );
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: url });
  const client = new FrameClient(t, port);
  const decoder = new Decoder(4096, 65_536);
  const heads: [readonly string[], readonly string[]][] = [];
  const reader = new FrameReader(16_384, (bytes, { type, start, end }) => {
    if (type !== 1) return;
    const { fields: names, neverIndexed } = decoder.decode(bytes, start, end);
    heads.push([names.filter((_, at) => at % 2 === 0), neverIndexed]);
  });
  client.socket.on("data", (bytes: Buffer) => reader.push(bytes));
  client.open(
    headers(1, "POST", "/x", [["content-type", "application/grpc"]], false),
    frame("HEADERS", 5, 1, secret),
  );
  assert.deepEqual(await heard, ["x-secret"]);
  await client.until(/HEADERS 1 END_STREAM/);
  // The length of what has no content is gone (RFC 9110, section 8.6).
  assert.deepEqual(heads[0], [[":status", "x-secret"], ["x-secret"]]);
  assert.deepEqual(heads.at(-1), [["grpc-status", "x-secret"], ["x-secret"]]);
});
