import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameTracker, closeFrame } from "../../edge/proxy/websocket-frames.ts";

const text = (payload: number, head: number[]): Buffer =>
  Buffer.concat([Buffer.from(head), Buffer.alloc(payload, 0x61)]);

const frames: [why: string, frame: Buffer][] = [
  ["an empty text frame", text(0, [0x81, 0])],
  ["a short text frame", text(5, [0x81, 5])],
  ["the longest short frame", text(125, [0x82, 125])],
  ["a 16-bit length", text(300, [0x82, 126, 1, 44])],
  ["a 64-bit length", text(70_000, [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70])],
  ["a masked frame", text(3, [0x81, 0x83, 1, 2, 3, 4])],
  ["a masked frame with a 16-bit length", text(126, [0x81, 0xfe, 0, 126, 1, 2, 3, 4])],
];

for (const [why, frame] of frames) {
  test(`${why} ends at a boundary, fed whole`, () => {
    const tracker = new FrameTracker();
    tracker.push(frame);
    assert.ok(tracker.atBoundary);
    assert.ok(!tracker.closing);
  });
  test(`${why} ends at a boundary and only there, fed one byte at a time`, () => {
    const tracker = new FrameTracker();
    for (let i = 0; i < frame.length - 1; i++) {
      tracker.push(frame.subarray(i, i + 1));
      assert.ok(!tracker.atBoundary, `after ${i + 1} bytes`);
    }
    tracker.push(frame.subarray(-1));
    assert.ok(tracker.atBoundary);
  });
  test(`${why} is cut off from what follows it`, () => {
    const tracker = new FrameTracker();
    assert.equal(tracker.untilBoundary(Buffer.concat([frame, Buffer.from([0x81])])), frame.length);
  });
}

test("many frames in one chunk", () => {
  const tracker = new FrameTracker();
  tracker.push(Buffer.concat(frames.map(([, frame]) => frame)));
  assert.ok(tracker.atBoundary);
});

test("a Close frame is noticed", () => {
  const tracker = new FrameTracker();
  tracker.push(closeFrame(1000, "bye"));
  assert.ok(tracker.closing);
});

test("a close frame is unmasked, and its reason is cut to fit a control frame", () => {
  assert.deepEqual(closeFrame(1001, "x"), Buffer.from([0x88, 3, 0x03, 0xe9, 0x78]));
  assert.equal(closeFrame(1001, "x".repeat(500)).length, 2 + 125);
});
