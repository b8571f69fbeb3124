// What RFC 9113 forbids costs the connection or the stream, as it says, with the code that it names.
import assert from "node:assert/strict";
import { test } from "node:test";
import { under } from "../support/attacks.ts";
import { GRPC, times } from "../support/floods.ts";
import { testEdge } from "../support/edge.ts";
import { END_HEADERS, FrameClient, PREFACE, fields, frame, headers } from "../support/frames.ts";
import { http2Worker, httpWorker } from "../support/workers.ts";

/** A call whose worker does not answer. */
const call = (id: number, end = false): Buffer => headers(id, "POST", "/x", GRPC, end);

const violations: [why: string, frames: () => Buffer, code: number][] = [
  ["HEADERS on stream 0", () => frame("HEADERS", 5, 0, fields([":method", "GET"])), 1],
  ["an even stream id", () => headers(2, "GET", "/"), 1],
  ["DATA on an idle stream", () => frame("DATA", 0, 1, "x"), 1],
  ["RST_STREAM on an idle stream", () => frame("RST_STREAM", 0, 1, Buffer.alloc(4)), 1],
  ["WINDOW_UPDATE on an idle stream", () => frame("WINDOW_UPDATE", 0, 1, Buffer.from([0, 0, 0, 1])), 1],
  ["a WINDOW_UPDATE of nothing", () => frame("WINDOW_UPDATE", 0, 0, Buffer.alloc(4)), 1],
  [
    "a window beyond its maximum",
    () => frame("WINDOW_UPDATE", 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
    3,
  ],
  ["SETTINGS on a stream", () => frame("SETTINGS", 0, 1), 1],
  ["SETTINGS of 5 bytes", () => frame("SETTINGS", 0, 0, Buffer.alloc(5)), 6],
  ["a SETTINGS ACK with a payload", () => frame("SETTINGS", 1, 0, Buffer.alloc(6)), 6],
  ["ENABLE_PUSH of 2", () => frame("SETTINGS", 0, 0, Buffer.from([0, 2, 0, 0, 0, 2])), 1],
  ["INITIAL_WINDOW_SIZE out of range", () => frame("SETTINGS", 0, 0, Buffer.from([0, 4, 0x80, 0, 0, 0])), 3],
  ["MAX_FRAME_SIZE out of range", () => frame("SETTINGS", 0, 0, Buffer.from([0, 5, 0, 0, 0, 1])), 1],
  ["PING of 7 bytes", () => frame("PING", 0, 0, Buffer.alloc(7)), 6],
  ["PING on a stream", () => frame("PING", 0, 1, Buffer.alloc(8)), 1],
  ["RST_STREAM of 3 bytes", () => Buffer.concat([call(1), frame("RST_STREAM", 0, 1, Buffer.alloc(3))]), 6],
  ["RST_STREAM on stream 0", () => frame("RST_STREAM", 0, 0, Buffer.alloc(4)), 1],
  ["WINDOW_UPDATE of 3 bytes", () => frame("WINDOW_UPDATE", 0, 0, Buffer.alloc(3)), 6],
  ["PRIORITY on stream 0", () => frame("PRIORITY", 0, 0, Buffer.alloc(5)), 1],
  ["PRIORITY of 4 bytes on an idle stream", () => frame("PRIORITY", 0, 99, Buffer.alloc(4)), 1],
  ["GOAWAY on a stream", () => frame("GOAWAY", 0, 1, Buffer.alloc(8)), 1],
  ["GOAWAY of 7 bytes", () => frame("GOAWAY", 0, 0, Buffer.alloc(7)), 6],
  ["DATA on stream 0", () => frame("DATA", 0, 0, "x"), 1],
  ["HEADERS too short for their priority", () => frame("HEADERS", 0x25, 1, Buffer.alloc(4)), 6],
  ["PUSH_PROMISE from a client", () => frame("PUSH_PROMISE", 4, 1, Buffer.alloc(4)), 1],
  ["CONTINUATION without HEADERS", () => frame("CONTINUATION", 4, 1, ""), 1],
  [
    "another frame inside a header block",
    () => Buffer.concat([frame("HEADERS", 0, 1, ""), frame("PING", 0, 0, Buffer.alloc(8))]),
    1,
  ],
  ["a header block that cannot be decoded", () => frame("HEADERS", 5, 1, Buffer.from([0x80])), 9],
  ["a frame over MAX_FRAME_SIZE", () => frame("DATA", 0, 1, Buffer.alloc(16_385)), 6],
  [
    "more padding than payload",
    () => Buffer.concat([headers(1, "POST", "/x", GRPC, false), frame("DATA", 8, 1, Buffer.from([9, 0]))]),
    1,
  ],
];
for (const [why, frames, code] of violations) {
  test(`${why} is a connection error ${code} (RFC 9113)`, async (t) => {
    assert.equal((await under(t, (client) => client.send(frames()))).end, `GOAWAY ${code}`);
  });
}

test("a frame in front of the client's SETTINGS is a connection error 1 (RFC 9113, section 3.4)", async (t) => {
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: await httpWorker(t, () => {}) });
  const client = new FrameClient(t, port);
  client.socket.write(Buffer.concat([PREFACE, headers(1, "GET", "/")]));
  assert.equal(await client.ended, "GOAWAY 1");
});

const streamErrors: [why: string, frames: () => Buffer, code: number][] = [
  [
    "DATA behind END_STREAM",
    () => Buffer.concat([headers(1, "POST", "/x", GRPC, true), frame("DATA", 0, 1, "x")]),
    5,
  ],
  ["HEADERS behind END_STREAM", () => Buffer.concat([call(1, true), headers(1, "POST", "/x", GRPC)]), 5],
  [
    "a second head instead of trailers",
    () =>
      Buffer.concat([
        headers(1, "POST", "/x", GRPC, false),
        frame("HEADERS", END_HEADERS, 1, fields(["x", "y"])),
      ]),
    1,
  ],
  [
    "PRIORITY of 4 bytes",
    () => Buffer.concat([headers(1, "POST", "/x", GRPC, false), frame("PRIORITY", 0, 1, Buffer.alloc(4))]),
    6,
  ],
  [
    "a stream window beyond its maximum",
    () =>
      Buffer.concat([
        headers(1, "POST", "/x", GRPC, false),
        frame("WINDOW_UPDATE", 0, 1, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
      ]),
    3,
  ],
  [
    "more DATA than the window",
    () =>
      Buffer.concat([
        headers(1, "POST", "/none", [], false),
        times(40, () => frame("DATA", 0, 1, Buffer.alloc(16_384))),
      ]),
    3,
  ],
];
for (const [why, frames, code] of streamErrors) {
  test(`${why} is a stream error ${code}: the connection goes on (RFC 9113, section 5.4.2)`, async (t) => {
    const worker = await httpWorker(
      t,
      (req, res) => void (req.url === "/none" ? req.pause() : res.end("ok")),
    );
    const grpc = await http2Worker(t, (stream) => void stream.pause());
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, GRPC_UPSTREAMS: grpc });
    const client = new FrameClient(t, port);
    client.open(frames());
    await client.until(new RegExp(`^RST_STREAM 1 ${code}$`));
    client.send(headers(3, "GET", "/"));
    await client.until(/ 3.*END_STREAM/);
  });
}

test("a graceful end has two steps: GOAWAY for all there could be, and the last id once the client knows (RFC 9113, section 6.8)", async (t) => {
  const grpc = await http2Worker(
    t,
    (stream) => void (stream.id === 3 && stream.respond({ ":status": 204 }, { endStream: true })),
  );
  const { port, edge } = await testEdge(t, { GRPC_UPSTREAMS: grpc, DRAIN_SECONDS: "1" });
  const client = new FrameClient(t, port);
  client.open(headers(1, "POST", "/x", GRPC, false));
  await client.settled;
  const drained = edge.drain();
  await client.until(/GOAWAY_LAST 2147483647/);
  // The client has not read that yet: what it opens meanwhile is served, and there is no second GOAWAY before the PING is answered.
  client.send(headers(3, "POST", "/x", GRPC));
  await client.until(/HEADERS 3.*END_STREAM/);
  const ends = (): string[] => client.frames.filter((text) => text.startsWith("GOAWAY_LAST"));
  assert.deepEqual(ends(), ["GOAWAY_LAST 2147483647"]);
  client.send(frame("PING", 1, 0, Buffer.alloc(8)));
  await client.until(/GOAWAY_LAST 3$/);
  assert.deepEqual(ends(), ["GOAWAY_LAST 2147483647", "GOAWAY_LAST 3"]);
  await drained;
});

test("a connection without streams has two steps to its end as well: what is on its way is served", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const { port, edge } = await testEdge(t, { HTTP_UPSTREAMS: worker, DRAIN_SECONDS: "5" });
  const client = new FrameClient(t, port);
  client.open();
  await client.settled;
  const drained = edge.drain();
  await client.until(/GOAWAY_LAST 2147483647/);
  client.send(headers(1, "GET", "/"), frame("PING", 1, 0, Buffer.alloc(8)));
  await client.until(/ 1.*END_STREAM/);
  await drained;
  assert.deepEqual(
    client.frames.filter((text) => text.startsWith("GOAWAY_LAST")),
    ["GOAWAY_LAST 2147483647", "GOAWAY_LAST 1"],
  );
});

test("a client that does not answer the PING of the end is given a second, and not the whole drain", async (t) => {
  const { port, edge } = await testEdge(t, {
    HTTP_UPSTREAMS: await httpWorker(t, () => {}),
    DRAIN_SECONDS: "30",
  });
  const client = new FrameClient(t, port);
  client.open();
  await client.settled;
  const began = performance.now();
  await edge.drain();
  assert.equal(await client.ended, "GOAWAY 0");
  const took = performance.now() - began;
  assert.ok(took > 900 && took < 10_000, `${took} ms`);
});

test("the last id of a GOAWAY does not grow, whatever comes behind it (RFC 9113, section 6.8)", async (t) => {
  const grpc = await http2Worker(t, () => {});
  const { port, edge } = await testEdge(t, { GRPC_UPSTREAMS: grpc, DRAIN_SECONDS: "5" });
  const client = new FrameClient(t, port);
  client.open(call(1));
  await client.settled;
  const drained = edge.drain();
  await client.until(/GOAWAY_LAST 2147483647/);
  client.send(frame("PING", 1, 0, Buffer.alloc(8)));
  await client.until(/GOAWAY_LAST 1$/);
  client.send(call(7), frame("DATA", 0, 7, "x"), frame("PING", 0, 0, Buffer.alloc(7)));
  assert.equal(await client.ended, "GOAWAY 6");
  assert.equal(
    client.frames.findLast((text) => text.startsWith("GOAWAY_LAST")),
    "GOAWAY_LAST 1",
  );
  await drained;
});

test("an extended CONNECT that was not offered is malformed (RFC 8441, section 3)", async (t) => {
  const worker = await httpWorker(t, () => assert.fail("the worker was asked"));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, WEBSOCKET_OVER_HTTP2: "off" });
  const client = new FrameClient(t, port);
  const connect = fields(
    [":method", "CONNECT"],
    [":protocol", "websocket"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "a"],
  );
  client.open(frame("HEADERS", END_HEADERS, 1, connect));
  await client.until(/^RST_STREAM 1 1$/);
});
