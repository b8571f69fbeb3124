// The memories of what was worked out lately: a peer that always sends something new must not fill them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLIENT_FAULTS } from "../../edge/http1/malformed.ts";
import { FieldReader } from "../../edge/message/fields.ts";
import { Recall } from "../../edge/recall.ts";

/** A memory of lists, and how often each was made something of. */
function counting(): { recall: Recall<readonly string[], object>; made: () => number } {
  let made = 0;
  const recall = new Recall<readonly string[], object>((list) => {
    made++;
    return { list };
  });
  return { recall, made: () => made };
}

test("what was made of the same list comes again, and only for the same one", () => {
  const { recall, made } = counting();
  const [list, twin] = [["a"], ["a"]];
  assert.equal(recall.of(list), recall.of(list));
  assert.notEqual(recall.of(list), recall.of(twin));
  assert.equal(made(), 2);
});

test("sixteen are remembered, and the oldest makes room", () => {
  const { recall, made } = counting();
  const lists = Array.from({ length: 17 }, () => ["a"]);
  for (const list of lists.slice(0, 16)) recall.of(list);
  for (const list of lists.slice(0, 16)) recall.of(list);
  assert.equal(made(), 16);
  recall.of(lists[16] ?? []);
  for (const list of lists.slice(1)) recall.of(list);
  assert.equal(made(), 17);
  recall.of(lists[0] ?? []);
  assert.equal(made(), 18);
});

test("however many come, no more than sixteen are held", () => {
  const { recall, made } = counting();
  const lists = Array.from({ length: 10_000 }, () => ["a"]);
  for (const list of lists) recall.of(list);
  for (const list of lists.toReversed()) recall.of(list);
  assert.equal(made(), 20_000 - 16);
});

/** Field lines of so many characters. */
function lines(characters: number): string {
  return `x: ${"v".repeat(characters - 5)}\r\n`;
}

test("field lines of 1024 characters are remembered, longer ones are read anew", () => {
  const reader = new FieldReader(CLIENT_FAULTS);
  assert.equal(reader.read(lines(1024)), reader.read(lines(1024)));
  assert.notEqual(reader.read(lines(1025)), reader.read(lines(1025)));
  assert.deepEqual(reader.read(lines(1025)), ["x", "v".repeat(1020)]);
});

test("a peer that invents names is read as well after 500 of them as before", () => {
  const reader = new FieldReader(CLIENT_FAULTS);
  for (let i = 0; i < 600; i++) assert.deepEqual(reader.read(`X-${i}: v\r\n`), [`x-${i}`, "v"]);
  assert.throws(() => reader.read("x 1: v\r\n"), /characters that no name has/);
});
