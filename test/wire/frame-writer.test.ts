import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { FrameReader } from "../../edge/http2/frame-reader.ts";
import { FrameWriter } from "../../edge/http2/frame-writer.ts";
import { Encoder } from "../../edge/http2/hpack/encoder.ts";

/** A writer, and the frames that have left it: type, stream, flags. */
function writing(): { writer: FrameWriter; frames: () => string[] } {
  const written: Buffer[] = [];
  const socket = { writableLength: 0, write: (bytes: Buffer) => written.push(Buffer.from(bytes)) };
  const encoder = new Encoder({ maxTableBytes: 4096, huffman: true });
  const writer = new FrameWriter(socket as unknown as Socket, encoder, () => {});
  const frames = (): string[] => {
    const seen: string[] = [];
    const reader = new FrameReader(16_384, (_bytes, { type, stream, flags }) =>
      seen.push(`${type} ${stream} ${flags}`),
    );
    reader.push(Buffer.concat(written));
    return seen;
  };
  return { writer, frames };
}

const HEAD = [":status", "200"];

test("the end of a stream goes with its last DATA", () => {
  const { writer, frames } = writing();
  writer.data(5, Buffer.alloc(10), 0, 100);
  writer.end(5, []);
  writer.flush();
  assert.deepEqual(frames(), ["0 5 1"]);
});

test("the end of a stream whose DATA has left is a frame of its own, whatever lies where its DATA lay", () => {
  for (const between of [
    (writer: FrameWriter) => writer.headers(7, HEAD, [], false),
    (writer: FrameWriter) => writer.data(7, Buffer.alloc(10), 0, 100),
    (writer: FrameWriter) => writer.ping(Buffer.alloc(8), true),
  ]) {
    const { writer, frames } = writing();
    writer.data(5, Buffer.alloc(10), 0, 100);
    writer.flush();
    between(writer);
    writer.end(5, []);
    writer.flush();
    const [first, second, third] = frames();
    assert.deepEqual([first, third], ["0 5 0", "0 5 1"]);
    assert.match(second ?? "", /^(1 7 4|0 7 0|6 0 1)$/);
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
