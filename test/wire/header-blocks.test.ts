// What is remembered of a connection's header blocks is bounded by what they stand for, not by what they cost the peer:
// an entry of the table is named by one byte, so that a kilobyte of blocks can be megabytes of heads.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Counts } from "../../edge/http2/counts.ts";
import type { Head } from "../../edge/http2/header-blocks.ts";
import { HeaderBlocks } from "../../edge/http2/header-blocks.ts";
import { fields } from "../support/frames.ts";

/** Bytes of heads that a connection may have remembered. */
const MOST_BYTES = 32_768;

const FREE = { resets: 1, answers: 1, empty: 1, updates: 1 };

function reading(): (block: Buffer) => Head {
  const blocks = new HeaderBlocks(4096, 65_536, 16, new Counts(FREE, () => 0));
  return (block) => {
    const frame = { type: 1, flags: 4, stream: 1, start: 0, end: block.length };
    const read = blocks.headers(block, frame);
    assert.ok(read);
    return read.head;
  };
}

/** Puts a field into the table, as its newest entry: `x: vvv…`, which stands for `bytes` from then on. */
function entry(bytes: number): Buffer {
  const literal = fields(["x", "v".repeat(bytes - 33)]);
  literal[0] = 0x40;
  return literal;
}

/** The newest entry of the table, `times` times, and a number to tell one block from the others: a static entry for each bit. */
function naming(times: number, number: number): Buffer {
  const bits = Array.from({ length: 12 }, (_, bit) => 0x82 + ((number >> bit) & 1));
  return Buffer.from([...bits, ...Buffer.alloc(times, 0x80 | 62)]);
}

/** Bytes of the heads that come again as the same object, when all blocks are read twice. */
function remembered(read: (block: Buffer) => Head, blocks: readonly Buffer[]): number {
  const first = blocks.map(read);
  const again = blocks.map(read);
  return again.reduce((sum, head, at) => sum + (head === first[at] ? head.listBytes : 0), 0);
}

const AMPLIFIED: [why: string, entryBytes: number, times: number][] = [
  ["a small entry named once", 64, 1],
  ["a large entry named once", 4000, 1],
  ["a large entry named seven times", 4000, 7],
  ["a large entry named sixteen times, all that a head may be", 4000, 16],
];

for (const [why, entryBytes, times] of AMPLIFIED) {
  test(`4096 different blocks with ${why}: 32 KiB of heads are remembered at most`, () => {
    const read = reading();
    read(entry(entryBytes));
    const blocks = Array.from({ length: 4096 }, (_, i) => naming(times, i));
    const bytes = remembered(read, blocks);
    assert.ok(bytes <= MOST_BYTES, `${bytes} bytes`);
  });
}

test("heads are remembered up to the limit: they come again as the same object", () => {
  const read = reading();
  read(entry(4000));
  const bytes = remembered(
    read,
    Array.from({ length: 100 }, (_, i) => naming(1, i)),
  );
  assert.ok(bytes > MOST_BYTES - 5000, `${bytes} bytes`);
});

test("a block of more than 2 KiB is read anew each time, however little it stands for", () => {
  const read = reading();
  const [longest, tooLong] = [2048, 2049].map((bytes) => fields(["x", "v".repeat(bytes - 6)]));
  assert.ok(longest !== undefined && tooLong !== undefined);
  assert.deepEqual([longest.length, tooLong.length], [2048, 2049]);
  assert.equal(read(longest), read(longest));
  assert.notEqual(read(tooLong), read(tooLong));
});

test("a table that changes gives the memory free, and none of it is believed any more", () => {
  const read = reading();
  read(entry(4000));
  const before = Array.from({ length: 8 }, (_, i) => naming(1, i));
  assert.ok(remembered(read, before) > MOST_BYTES - 5000);
  const old = read(naming(1, 0));
  for (let round = 0; round < 100; round++) {
    read(entry(3000 + round));
    const head = read(naming(1, 0));
    assert.notEqual(head, old);
    assert.equal(head.fields.at(-1)?.length, 3000 + round - 33);
    // The room that the old ones had is there again.
    const bytes = remembered(read, before);
    assert.equal(
      bytes,
      before.reduce((sum, block) => sum + read(block).listBytes, 0),
    );
  }
});
