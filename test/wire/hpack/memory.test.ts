// What an encoder remembers is bounded: a worker's connection is fed by every client there is, and outlives them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Encoder } from "../../../edge/http2/hpack/encoder.ts";

type Fields = readonly string[];

const PSEUDO: Fields = [":status", "200"];

/** Fields that leave the table as it is, so that nothing is forgotten for its sake. */
function list(value: string): Fields {
  return ["etag", value];
}

function encode(encoder: Encoder, fields: Fields, pseudo: Fields = PSEUDO): Buffer {
  const out = Buffer.alloc(Encoder.most(pseudo) + Encoder.most(fields));
  return out.subarray(0, encoder.encode(pseudo, fields, [], out, 0));
}

/** Twice, since what comes once is not worth its place. */
function encodeTwice(encoder: Encoder, fields: Fields): void {
  encode(encoder, fields);
  encode(encoder, fields);
}

function encoding(): Encoder {
  return new Encoder({ maxTableBytes: 4096, huffman: false });
}

test("of 10,000 lists that come twice, 256 are remembered at most", () => {
  const encoder = encoding();
  const lists = Array.from({ length: 10_000 }, (_, i) => list(String(i)));
  let most = 0;
  for (const [i, fields] of lists.entries()) {
    encodeTwice(encoder, fields);
    if (i % 100 !== 99 && i !== 255) continue;
    const known = lists.filter((each) => encoder.recall(PSEUDO, each) !== undefined).length;
    assert.ok(known <= 256, `${known} after ${i + 1}`);
    most = Math.max(most, known);
  }
  assert.equal(most, 256);
});

test("a list that comes once is not remembered", () => {
  const encoder = encoding();
  const fields = list("once");
  encode(encoder, fields);
  assert.equal(encoder.recall(PSEUDO, fields), undefined);
  const block = Buffer.from(encode(encoder, fields));
  assert.deepEqual(encoder.recall(PSEUDO, fields), block);
});

for (const [others, why, known] of [
  [15, "is remembered", true],
  [16, "is not: 16 lists are waited for, and no more", false],
] as const) {
  test(`a list that comes again after ${others} others ${why}`, () => {
    const encoder = encoding();
    const fields = list("again");
    encode(encoder, fields);
    for (let i = 0; i < others; i++) encode(encoder, list(String(i)));
    encode(encoder, fields);
    assert.equal(encoder.recall(PSEUDO, fields) !== undefined, known);
  });
}

test("a block of more than 2 KiB is not remembered, nor is its list", () => {
  const encoder = encoding();
  const [longest, tooLong] = [2042, 2043].map((bytes) => list("v".repeat(bytes)));
  assert.ok(longest !== undefined && tooLong !== undefined);
  assert.deepEqual([encode(encoder, longest).length, encode(encoder, tooLong).length], [2048, 2049]);
  encodeTwice(encoder, longest);
  encodeTwice(encoder, tooLong);
  assert.equal(encoder.recall(PSEUDO, longest)?.length, 2048);
  assert.equal(encoder.recall(PSEUDO, tooLong), undefined);
});

test("a block is not recalled for another pseudo-header, nor before the table's new size was told", () => {
  const encoder = encoding();
  const fields = list("same");
  encodeTwice(encoder, fields);
  assert.ok(encoder.recall(PSEUDO, fields));
  assert.equal(encoder.recall([":status", "404"], fields), undefined);
  encoder.allow(100);
  assert.equal(encoder.recall(PSEUDO, fields), undefined);
  encoder.allow(4096);
  assert.equal(encoder.recall(PSEUDO, fields), undefined);
});

test("a table that changes makes all that was remembered worthless, for good", () => {
  const encoder = encoding();
  const lists = Array.from({ length: 100 }, (_, i) => list(String(i)));
  for (const fields of lists) encodeTwice(encoder, fields);
  encode(encoder, ["x-new", "entry"]);
  encodeTwice(encoder, lists[0] ?? []);
  const known = lists.filter((each) => encoder.recall(PSEUDO, each) !== undefined);
  assert.deepEqual(known, [lists[0]]);
});
