// What RFC 9113 forbids a worker costs it the stream or the connection, with the code that the RFC names; the client hears of
// it as of any failure, and the next call is answered.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import { testEdge } from "../support/edge.ts";
import { GRPC, times } from "../support/floods.ts";
import { END_HEADERS, END_STREAM, FrameClient, PREFACE, fields, frame, headers } from "../support/frames.ts";
import { rawWorker } from "../support/workers.ts";

const head = (id: number): Buffer =>
  frame("HEADERS", END_HEADERS, id, fields([":status", "200"], ["content-type", "application/grpc"]));
const trailers = (id: number): Buffer =>
  frame("HEADERS", END_HEADERS | END_STREAM, id, fields(["grpc-status", "0"]));

/** A worker whose first answer is these frames, and all others good ones; `told` is what it hears of the first. */
async function worker(
  t: TestContext,
  first: (id: number) => Buffer,
): Promise<{ url: string; told: Promise<string> }> {
  const told = Promise.withResolvers<string>();
  let calls = 0;
  const readers = new Map<number, { reader: FrameReader; seen: number }>();
  const url = await rawWorker(t, (socket, text, connection) => {
    if (text.length < PREFACE.length) return;
    let known = readers.get(connection);
    if (known === undefined) {
      socket.write(Buffer.concat([frame("SETTINGS", 0, 0), frame("SETTINGS", 1, 0)]));
      const reader = new FrameReader(16_384, (bytes, { type, stream, start }) => {
        if (type === 7 && bytes.readUInt32BE(start + 4) > 0)
          told.resolve(`GOAWAY ${bytes.readUInt32BE(start + 4)}`);
        if (type === 3) told.resolve(`RST_STREAM ${bytes.readUInt32BE(start)}`);
        if (type === 1)
          socket.write(calls++ === 0 ? first(stream) : Buffer.concat([head(stream), trailers(stream)]));
      });
      readers.set(connection, (known = { reader, seen: PREFACE.length }));
    }
    const news = Buffer.from(text.slice(known.seen), "latin1");
    known.seen = text.length;
    known.reader.push(news);
  });
  return { url: url.replace("http:", "h2c:"), told: told.promise };
}

const violations: [why: string, frames: (id: number) => Buffer, told: string][] = [
  [
    "DATA in front of the head",
    (id) => Buffer.concat([frame("DATA", 0, id, "early"), head(id)]),
    "RST_STREAM 1",
  ],
  [
    "DATA behind an interim head",
    (id) =>
      Buffer.concat([
        frame("HEADERS", END_HEADERS, id, fields([":status", "103"])),
        frame("DATA", 0, id, "early"),
      ]),
    "RST_STREAM 1",
  ],
  ["an end without a head", (id) => frame("DATA", END_STREAM, id, ""), "RST_STREAM 1"],
  [
    "more DATA than the stream's window",
    (id) => Buffer.concat([head(id), times(12, () => frame("DATA", 0, id, Buffer.alloc(16_384)))]),
    "RST_STREAM 3",
  ],
  ["a head without a status", (id) => frame("HEADERS", END_HEADERS, id, fields(["x", "y"])), "RST_STREAM 1"],
  [
    "a field name in capitals",
    (id) => frame("HEADERS", END_HEADERS, id, fields([":status", "200"], ["Upper", "x"])),
    "RST_STREAM 1",
  ],
  ["an interim head that ends", (id) => frame("HEADERS", 5, id, fields([":status", "103"])), "RST_STREAM 1"],
  [
    "trailers that do not end",
    (id) => Buffer.concat([head(id), frame("HEADERS", END_HEADERS, id, fields(["x", "y"]))]),
    "RST_STREAM 1",
  ],
  [
    "a window that overflows",
    (id) => frame("WINDOW_UPDATE", 0, id, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
    "RST_STREAM 3",
  ],
  [
    "a connection's window that overflows",
    () => frame("WINDOW_UPDATE", 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
    "GOAWAY 3",
  ],
  ["PUSH_PROMISE", (id) => frame("PUSH_PROMISE", 4, id, Buffer.from([0, 0, 0, 2])), "GOAWAY 1"],
  ["HEADERS on a stream that nobody opened", (id) => head(id + 100), "GOAWAY 1"],
  ["HEADERS on an even stream", () => head(2), "GOAWAY 1"],
  ["DATA on a stream that nobody opened", (id) => frame("DATA", 0, id + 100, "x"), "GOAWAY 1"],
  ["RST_STREAM of 3 bytes", (id) => frame("RST_STREAM", 0, id, Buffer.alloc(3)), "GOAWAY 6"],
  ["WINDOW_UPDATE of 3 bytes", (id) => frame("WINDOW_UPDATE", 0, id, Buffer.alloc(3)), "GOAWAY 6"],
  ["GOAWAY on a stream", (id) => frame("GOAWAY", 0, id, Buffer.alloc(8)), "GOAWAY 1"],
  ["GOAWAY of 7 bytes", () => frame("GOAWAY", 0, 0, Buffer.alloc(7)), "GOAWAY 6"],
  ["CONTINUATION without HEADERS", (id) => frame("CONTINUATION", 4, id, ""), "GOAWAY 1"],
  ["a frame over MAX_FRAME_SIZE", (id) => frame("DATA", 0, id, Buffer.alloc(16_385)), "GOAWAY 6"],
  [
    "a head that cannot be decoded",
    (id) => frame("HEADERS", END_HEADERS, id, Buffer.from([0x80])),
    "GOAWAY 9",
  ],
  [
    "ENABLE_PUSH of 1 (RFC 9113, section 6.5.2)",
    () => frame("SETTINGS", 0, 0, Buffer.from([0, 2, 0, 0, 0, 1])),
    "GOAWAY 1",
  ],
];
for (const [why, frames, want] of violations) {
  test(`${why} from a worker: ${want}, a failed call, and the next one is answered`, async (t) => {
    const { url, told } = await worker(t, frames);
    const { port, logged } = await testEdge(t, { GRPC_UPSTREAMS: url });
    const client = new FrameClient(t, port);
    // A window that stays shut: what the worker sends has to wait in the edge.
    client.open(frame("SETTINGS", 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])), headers(1, "POST", "/x", GRPC));
    assert.equal(await told, want);
    // How the call ends waits behind what the worker had sent before.
    for (const id of [0, 1]) client.send(frame("WINDOW_UPDATE", 0, id, Buffer.from([0, 1, 0x86, 0xa0])));
    await client.until(/^(HEADERS 1 END_STREAM|RST_STREAM 1 \d+)$/);
    await logged(({ severity, httpRequest }) => severity === "ERROR" && httpRequest !== undefined);
    client.send(headers(3, "POST", "/x", GRPC));
    await client.until(/^HEADERS 3 END_STREAM$/);
  });
}
