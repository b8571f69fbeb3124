import assert from "node:assert/strict";
import { test } from "node:test";
import { ReceiveWindow } from "../../edge/http2/flow.ts";

test("a window takes what it has, and no byte more", () => {
  const window = new ReceiveWindow(100);
  assert.equal(window.take(60), true);
  assert.equal(window.take(40), true);
  assert.equal(window.take(1), false);
});

test("credit is told once it is half a window, all of it together", () => {
  const window = new ReceiveWindow(100);
  window.take(100);
  assert.deepEqual([window.give(30), window.give(19), window.give(1), window.give(49)], [0, 0, 50, 0]);
});

test("what was told may be sent again, what was only given back may not", () => {
  const window = new ReceiveWindow(100);
  window.take(100);
  window.give(49);
  assert.equal(window.take(1), false);
  const other = new ReceiveWindow(100);
  other.take(100);
  other.give(60);
  assert.equal(other.take(60), true);
  assert.equal(other.take(1), false);
});

test("a window grows once, when what has been taken is as much as it is to be", () => {
  const window = new ReceiveWindow(100, 250);
  assert.equal(window.take(100), true);
  assert.equal(window.give(100), 100);
  assert.equal(window.give(99), 99);
  // 250 and more have been taken: the 51, and the 150 that the window grows by.
  assert.equal(window.give(51), 51 + 150);
  assert.equal(window.give(124), 0);
  assert.equal(window.give(1), 125);
});

test("a window that grows lets no more come than it says", () => {
  const window = new ReceiveWindow(100, 250);
  assert.equal(window.give(250), 250 + 150);
  assert.equal(window.take(500), true);
  assert.equal(window.take(1), false);
});
