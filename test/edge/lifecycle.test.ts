import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeError } from "../../edge/errors.ts";
import type { Exchange } from "../../edge/exchange.ts";
import { Lifecycle } from "../../edge/lifecycle.ts";

/** As much of an exchange as the lifecycle looks at. */
function running(name: string, failed: string[]): Exchange {
  return { place: -1, onClosed: () => {}, fail: () => void failed.push(name) } as unknown as Exchange;
}

test("exchanges leave in any order, and those that are left can be failed", () => {
  const failed: string[] = [];
  const lifecycle = new Lifecycle();
  const all = ["a", "b", "c", "d", "e"].map((name) => running(name, failed));
  for (const exchange of all) lifecycle.enter(exchange);
  for (const at of [1, 4, 0]) all[at]?.onClosed(all[at]);
  assert.equal(lifecycle.running, 2);
  lifecycle.failAll(new EdgeError("draining"));
  assert.deepEqual(failed.toSorted(), ["c", "d"]);
  for (const at of [2, 3]) all[at]?.onClosed(all[at]);
  assert.equal(lifecycle.running, 0);
});

test("an exchange that leaves at once leaves the others in their places", () => {
  const lifecycle = new Lifecycle();
  const failed: string[] = [];
  const one = running("one", failed);
  lifecycle.enter(one);
  one.onClosed(one);
  assert.equal(lifecycle.running, 0);
  lifecycle.enter(running("two", failed));
  lifecycle.failAll(new EdgeError("draining"));
  assert.deepEqual(failed, ["two"]);
});
