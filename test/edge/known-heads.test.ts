import assert from "node:assert/strict";
import { test } from "node:test";
import { KnownHeads } from "../../edge/message/known-heads.ts";

function head(...lines: string[]): Buffer {
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function request(path: string): Buffer {
  return head(`GET ${path} HTTP/1.1`, "host: a");
}

/** A head of exactly so many bytes. */
function headOf(bytes: number): Buffer {
  return head("GET / HTTP/1.1", `x: ${"v".repeat(bytes - 23)}`);
}

const [FIRST, SECOND, THIRD] = [request("/1"), request("/22"), request("/333")] as const;

/** Those remembered, in this order. */
function knowing(size: number, ...heads: Buffer[]): KnownHeads<string> {
  const known = new KnownHeads<string>(size);
  for (const bytes of heads) known.keep(bytes, 0, bytes.length, bytes.toString("latin1"));
  return known;
}

test("a head is found wherever it lies, up to the last byte of what was read", () => {
  const known = knowing(1, FIRST);
  for (const before of ["", "x", "\r\n", "HTTP/1.1 100 Continue\r\n\r\n"]) {
    const bytes = Buffer.concat([Buffer.from(before), FIRST]);
    const found = known.find(bytes, before.length);
    assert.deepEqual([found?.value, found?.length], [FIRST.toString("latin1"), FIRST.length]);
  }
  const followed = Buffer.concat([FIRST, Buffer.from("a body\r\n\r\n")]);
  assert.equal(known.find(followed, 0)?.length, FIRST.length);
});

test("a head that lies in the middle of a buffer is remembered by its own bytes", () => {
  const known = new KnownHeads<string>(1);
  const around = Buffer.concat([Buffer.from("before"), FIRST, Buffer.from("behind")]);
  known.keep(around, 6, 6 + FIRST.length, "it");
  // What it was copied from is read into again.
  around.fill(0);
  assert.equal(known.find(FIRST, 0)?.value, "it");
  assert.equal(known.find(around, 6), undefined);
});

test("a head is not found as long as a byte of it is missing, wherever it was cut", () => {
  const known = knowing(1, FIRST);
  for (let bytes = 0; bytes < FIRST.length; bytes++)
    assert.equal(known.find(FIRST.subarray(0, bytes), 0), undefined, `${bytes} bytes`);
  // The bytes behind what was read are none of its own: a view of a larger buffer, as all reads are.
  const whole = Buffer.concat([Buffer.from("xx"), FIRST]);
  assert.equal(known.find(whole.subarray(0, whole.length - 1), 2), undefined);
  assert.equal(known.find(whole.subarray(0, whole.length), 2)?.length, FIRST.length);
});

test("nothing is found at the end of a buffer, nor behind it", () => {
  const known = knowing(3, FIRST, SECOND, THIRD);
  for (const at of [FIRST.length - 1, FIRST.length, FIRST.length + 1, 70_000])
    assert.equal(known.find(FIRST, at), undefined);
  assert.equal(known.find(Buffer.alloc(0), 0), undefined);
});

test("a head that differs in any one byte is another one", () => {
  const known = knowing(1, FIRST);
  for (let at = 0; at < FIRST.length; at++) {
    const other = Buffer.from(FIRST);
    other[at] = other[at]! ^ 1;
    assert.equal(known.find(other, 0), undefined, `byte ${at}`);
  }
});

test("the oldest place is written over, by longer and by shorter heads, and the others are not", () => {
  for (const [first, second, third] of [
    [FIRST, SECOND, THIRD],
    [THIRD, SECOND, FIRST],
    [SECOND, THIRD, FIRST],
  ] as const) {
    const known = knowing(2, first, second, third);
    assert.equal(known.find(first, 0), undefined);
    assert.equal(known.find(second, 0)?.value, second.toString("latin1"));
    assert.equal(known.find(third, 0)?.value, third.toString("latin1"));
    known.keep(first, 0, first.length, "again");
    assert.equal(known.find(second, 0), undefined);
    assert.equal(known.find(third, 0)?.value, third.toString("latin1"));
    assert.equal(known.find(first, 0)?.value, "again");
  }
});

test("a shorter head in a longer one's place does not end where that one did", () => {
  const [longer, shorter] = [headOf(200), headOf(100)];
  const known = knowing(1, longer, shorter);
  // What is left of the longer one lies behind the shorter one in its place.
  const mixed = Buffer.concat([shorter, longer.subarray(100)]);
  assert.equal(known.find(mixed, 0)?.length, 100);
  assert.equal(known.find(longer, 0), undefined);
});

test("what was found stays what it was when its place is written over", () => {
  const known = knowing(1, FIRST);
  const found = known.find(FIRST, 0);
  known.keep(SECOND, 0, SECOND.length, "second");
  assert.deepEqual([found?.value, found?.length], [FIRST.toString("latin1"), FIRST.length]);
});

test("a head of 4096 bytes is remembered, a longer one is not, and costs no place", () => {
  const [longest, tooLong] = [headOf(4096), headOf(4097)];
  assert.deepEqual([longest.length, tooLong.length], [4096, 4097]);
  const known = knowing(2, FIRST, longest, tooLong, tooLong);
  assert.equal(known.find(FIRST, 0)?.length, FIRST.length);
  assert.equal(known.find(longest, 0)?.length, 4096);
  assert.equal(known.find(tooLong, 0), undefined);
});
