// How much may be held, and who is ended when it is more.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Shed } from "../../edge/held.ts";
import { HeldGuard, mostHeld } from "../../edge/held.ts";
import { keep, memoryOf, ownCopy } from "../../edge/waiting.ts";

const MIB = 1_048_576;
const MOST = 1000;

class TestHolder {
  held: number;
  ended = false;

  constructor(held: number) {
    this.held = held;
  }

  shed(): void {
    this.ended = true;
    this.held = 0;
  }
}

function guarding(...held: number[]): { guard: HeldGuard; all: TestHolder[]; sheds: Shed[]; sums: number[] } {
  const all = held.map((bytes) => new TestHolder(bytes));
  const sheds: Shed[] = [];
  const sums: number[] = [];
  const guard = new HeldGuard(
    MOST,
    () => {
      sums.push(sums.length);
      return all;
    },
    (shed) => void sheds.push(shed),
  );
  guard.stop();
  return { guard, all, sheds, sums };
}

test("those that hold most are ended first, until three quarters of the bound are left", () => {
  const { guard, all, sheds } = guarding(100, 400, 50, 300, 200, 250);
  guard.look(MOST + 1, 0);
  assert.deepEqual(
    all.map(({ ended }) => ended),
    [false, true, false, true, false, false],
  );
  assert.deepEqual(sheds, [{ held: 1300, left: 600, ended: 2 }]);
});

test("memory that is in use, and not held, ends nobody", () => {
  const { guard, all, sheds } = guarding(600, 400);
  guard.look(100 * MOST, 0);
  assert.ok(all.every(({ ended }) => !ended));
  assert.deepEqual(sheds, []);
});

test("as long as less is in use than may be held, nothing is added up", () => {
  const { guard, sums } = guarding(600, 600);
  guard.look(MOST, 0);
  assert.deepEqual(sums, []);
});

test("to add up takes a hundredth of the time at most, unless more is in use", () => {
  const { guard, sums } = guarding(...Array.from({ length: 100_000 }, () => 0));
  const began = performance.now();
  guard.look(MOST + 1, began);
  const ms = performance.now() - began;
  // At the same moment, and a little later, it rests.
  guard.look(MOST + 1, began);
  guard.look(MOST + 1, began + ms);
  assert.equal(sums.length, 1);
  guard.look(MOST + 1 + MOST / 16, began);
  assert.equal(sums.length, 2);
  guard.look(MOST + 1, began + ms * 200);
  assert.equal(sums.length, 3);
});

const bounds: [why: string, mib: number | undefined, processes: number, memory: number, most: number][] = [
  ["a quarter of the memory", undefined, 1, 2048, 512],
  ["shared by all processes", undefined, 4, 2048, 128],
  ["never less than 64 MiB", undefined, 4, 512, 64],
  ["as it is set, for each process", 10, 4, 512, 10],
  ["no bound", 0, 1, 512, Infinity],
];
for (const [why, mib, processes, memory, most] of bounds)
  test(`${why}: ${most} MiB`, () => assert.equal(mostHeld(mib, processes, memory * MIB), most * MIB));

test("after some were ended it is looked again at once", () => {
  const { guard, all, sheds } = guarding(800, 700);
  guard.look(2 * MOST, 0);
  for (const each of all) each.held = 600;
  guard.look(2 * MOST, 0);
  assert.equal(sheds.length, 2);
});

test("a copy of its own shares its memory with nobody", () => {
  for (const length of [1, 100, 5000]) {
    const copy = ownCopy(Buffer.alloc(length, 7));
    assert.deepEqual([copy.length, copy.buffer.byteLength, copy.at(-1)], [length, length, 7]);
  }
});

/** Chunks of these lengths, each with bytes of its own. */
function chunks(lengths: readonly number[]): Buffer[] {
  return lengths.map((length, at) => Buffer.alloc(length, at % 251));
}

const cuts: [why: string, lengths: number[], most: number][] = [
  ["a window in frames of a byte", Array.from({ length: 65_536 }, () => 1), 75_000],
  ["a window in frames of a hundred bytes", Array.from({ length: 655 }, () => 100), 75_000],
  ["a window in full frames", [16_384, 16_384, 16_384, 16_384], 70_000],
  ["frames of all sizes", [1, 5000, 20, 4095, 1, 4096, 30_000, 3, 3], 60_000],
  ["a small one alone", [10], 300],
];
for (const [why, lengths, most] of cuts) {
  test(`${why}: what waits takes little more memory than it has bytes`, () => {
    const all = chunks(lengths);
    const pieces: Buffer[] = [];
    for (const chunk of all) keep(pieces, chunk);
    assert.ok(Buffer.concat(pieces).equals(Buffer.concat(all)));
    assert.ok(memoryOf(pieces) <= most, `${memoryOf(pieces)} bytes in ${pieces.length} pieces`);
  });
}
