import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import {
  ConnectionError,
  FLAG,
  TYPE,
  readUInt31,
  withoutPadding,
  writeHead,
  writeUInt32,
} from "../../edge/http2/frame.ts";
import { frame } from "../support/frames.ts";

/** What a reader makes of bytes that come in pieces of `size`: type, flags, stream and payload of each frame. */
function read(bytes: Buffer, size: number, maxPayload = 16_384): [number, number, number, string][] {
  const frames: [number, number, number, string][] = [];
  const reader = new FrameReader(maxPayload, (source, { type, flags, stream, start, end }) => {
    frames.push([type, flags, stream, source.toString("latin1", start, end)]);
  });
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
  return frames;
}

const stream: [string, number, number, string][] = [
  ["SETTINGS", 0, 0, ""],
  ["HEADERS", 5, 1, "abc"],
  ["DATA", 0, 1, "x".repeat(16_384)],
  ["DATA", 1, 2_147_483_647, ""],
  ["PING", 0, 0, "12345678"],
  ["GREASE", 0xff, 3, "unknown"],
];
const bytes = Buffer.concat(stream.map(([type, flags, id, payload]) => frame(type, flags, id, payload)));
const want = stream.map(([type, flags, id, payload]) => [
  (TYPE as Record<string, number>)[type] ?? 0xff,
  flags,
  id,
  payload,
]);

for (const size of [1, 2, 8, 9, 10, 100, 16_384, bytes.length]) {
  test(`frames in pieces of ${size} bytes`, () => assert.deepEqual(read(bytes, size), want));
}

test("a frame that is too long is refused by its head, in one piece or byte by byte (RFC 9113, section 4.2)", () => {
  const long = frame("DATA", 0, 1, "x".repeat(16_385));
  for (const size of [1, long.length]) {
    assert.throws(
      () => read(long.subarray(0, 9), size),
      (thrown) => thrown instanceof ConnectionError && thrown.code === "FRAME_SIZE_ERROR",
    );
  }
});

test("frames that straddle reads are whole when they are handed out, one after the other in the same memory", () => {
  const seen: string[] = [];
  const reader = new FrameReader(16_384, (source, { start, end }) =>
    seen.push(source.latin1Slice(start, end)),
  );
  const two = Buffer.concat([
    frame("DATA", 0, 1, "first"),
    frame("DATA", 0, 1, "longer"),
    frame("DATA", 0, 1, "x"),
  ]);
  for (const byte of two) reader.push(Buffer.from([byte]));
  assert.deepEqual(seen, ["first", "longer", "x"]);
});

test("the reserved bit of a stream id is ignored (RFC 9113, section 4.1)", () => {
  assert.equal(readUInt31(Buffer.from([0xff, 0xff, 0xff, 0xff]), 0), 2_147_483_647);
});

test("a head and a number are written as they are read", () => {
  const out = Buffer.alloc(13);
  assert.equal(writeHead(out, 0, 0x12_34_56, TYPE.GOAWAY, 0x25, 0x7f_00_00_01), 9);
  assert.equal(writeUInt32(out, 9, 4_294_967_295), 13);
  assert.equal(out.toString("hex"), "12345607257f000001ffffffff");
});

const padded: [why: string, payload: number[], want: string | undefined][] = [
  ["two bytes of padding", [2, 97, 98, 0, 0], "ab"],
  ["padding that is all there is", [2, 0, 0], ""],
  ["a padding of nothing", [0, 97], "a"],
  ["more padding than payload", [3, 97, 0], undefined],
  ["not even a pad length", [], undefined],
];
for (const [why, payload, text] of padded) {
  test(`${why} is ${text === undefined ? "an error" : "taken off"} (RFC 9113, section 6.1)`, () => {
    const source = Buffer.from(payload);
    const strip = (): string => {
      const { start, end } = withoutPadding(source, {
        type: 0,
        flags: FLAG.PADDED,
        stream: 1,
        start: 0,
        end: source.length,
      });
      return source.toString("latin1", start, end);
    };
    if (text === undefined) assert.throws(strip, ConnectionError);
    else assert.equal(strip(), text);
  });
}

test("100,000 pieces of noise are frames or FRAME_SIZE_ERROR, and nothing else happens", () => {
  let state = 1;
  const next = (): number => (state = (state * 48_271) % 2_147_483_647);
  let reader = new FrameReader(16_384, () => {});
  for (let i = 0; i < 100_000; i++) {
    const piece = Buffer.from(Array.from({ length: next() % 40 }, () => next() % (i % 3 === 0 ? 256 : 3)));
    try {
      reader.push(piece);
    } catch (thrown) {
      assert.ok(thrown instanceof ConnectionError);
      reader = new FrameReader(16_384, () => {});
    }
  }
});
