import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import { FrameWriter } from "../../edge/http2/frame-writer.ts";
import { Encoder } from "../../edge/http2/hpack/encoder.ts";
import { frame } from "../support/frames.ts";

/** A writer, the bytes that have left it, and their frames: type, stream, flags. */
function writing(): {
  writer: FrameWriter;
  bytes: () => Buffer;
  frames: () => string[];
  writes: () => number;
} {
  const written: Buffer[] = [];
  const socket = { writableLength: 0, write: (bytes: Buffer) => written.push(Buffer.from(bytes)) };
  const encoder = new Encoder({ maxTableBytes: 4096, huffman: true });
  const writer = new FrameWriter(socket as unknown as Socket, encoder, () => {});
  const bytes = (): Buffer => Buffer.concat(written);
  const frames = (): string[] => {
    const seen: string[] = [];
    const reader = new FrameReader(16_384, (_bytes, { type, stream, flags }) =>
      seen.push(`${type} ${stream} ${flags}`),
    );
    reader.push(bytes());
    return seen;
  };
  return { writer, bytes, frames, writes: () => written.length };
}

const HEAD = [":status", "200"];

test("the end of a stream goes with its last DATA", () => {
  const { writer, frames } = writing();
  writer.data(5, Buffer.alloc(10), 0, 100);
  writer.end(5, []);
  writer.flush();
  assert.deepEqual(frames(), ["0 5 1"]);
});

test("what is written in one turn of the event loop leaves in one write, and nothing before its end", async () => {
  const all = Array.from({ length: 3 }, () => writing());
  for (let id = 1; id < 200; id += 2) {
    for (const { writer } of all) {
      writer.headers(id, HEAD, [], false);
      writer.data(id, Buffer.alloc(10), 0, 100);
      writer.windowUpdate(id, 100);
      writer.end(id, ["grpc-status", "0"]);
    }
  }
  assert.deepEqual(
    all.map(({ writes }) => writes()),
    [0, 0, 0],
  );
  await new Promise((resolve) => setImmediate(resolve));
  for (const { writes, frames } of all) assert.deepEqual([writes(), frames().length], [1, 400]);
});

const BETWEEN: [what: string, write: (writer: FrameWriter) => void][] = [
  ["another stream's HEADERS", (writer) => writer.headers(7, HEAD, [], false)],
  ["its own interim reply", (writer) => writer.headers(5, [":status", "103"], [], false)],
  ["another stream's DATA", (writer) => void writer.data(7, Buffer.alloc(10), 0, 100)],
  ["the answer to a PING", (writer) => writer.ping(Buffer.alloc(8), true)],
  ["a PING", (writer) => writer.ping(Buffer.alloc(8), false)],
  ["the answer to SETTINGS", (writer) => writer.settingsAck()],
  ["SETTINGS", (writer) => writer.settings([[3, 100]])],
  ["a WINDOW_UPDATE", (writer) => writer.windowUpdate(5, 100)],
  ["another stream's RST_STREAM", (writer) => writer.reset(7, "CANCEL")],
  ["GOAWAY", (writer) => writer.goaway(7, "NO_ERROR", "")],
  ["another stream's end", (writer) => writer.end(7, [])],
];

for (const [what, write] of BETWEEN) {
  const alone = writing();
  write(alone.writer);
  alone.writer.flush();
  for (const [when, left] of [
    ["has left", true],
    ["has not left", false],
  ] as const) {
    test(`behind DATA that ${when} and ${what}, a stream ends by a frame of its own`, () => {
      const { writer, bytes } = writing();
      writer.data(5, Buffer.alloc(10), 0, 100);
      if (left) writer.flush();
      write(writer);
      writer.end(5, []);
      writer.flush();
      const want = [frame("DATA", 0, 5, Buffer.alloc(10)), alone.bytes(), frame("DATA", 1, 5)];
      assert.deepEqual(bytes(), Buffer.concat(want));
    });
  }
}

test("DATA that left with a segment that was full is not looked for in the next one", () => {
  const { writer, frames } = writing();
  writer.data(5, Buffer.alloc(10), 0, 100);
  // As many as make a new segment begin with the last one, where the DATA lay in the one before.
  const pings = Math.floor((65_536 - 19) / 17) + 1;
  for (let i = 0; i < pings; i++) writer.ping(Buffer.alloc(8), false);
  writer.end(5, []);
  writer.flush();
  const seen = frames();
  assert.deepEqual([seen[0], seen.at(-2), seen.at(-1)], ["0 5 0", "6 0 0", "0 5 1"]);
  assert.equal(seen.length, pings + 2);
});

test("of several DATA frames of a stream the last one ends it, whichever have left", () => {
  for (const left of [0, 1, 2]) {
    const { writer, frames } = writing();
    for (let i = 0; i < 3; i++) {
      writer.data(5, Buffer.alloc(10), 0, 100);
      if (i < left) writer.flush();
    }
    writer.end(5, []);
    writer.flush();
    assert.deepEqual(frames(), ["0 5 0", "0 5 0", "0 5 1"]);
  }
});

test("frames that fill several segments come out whole and in order", () => {
  const { writer, frames } = writing();
  for (let i = 0; i < 20; i++) writer.data(2 * i + 1, Buffer.alloc(16_000), 0, 16_384);
  writer.end(39, []);
  writer.flush();
  assert.deepEqual(
    frames(),
    Array.from({ length: 20 }, (_, i) => `0 ${2 * i + 1} ${i === 19 ? 1 : 0}`),
  );
});
