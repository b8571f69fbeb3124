// The retry budget: how much may be sent again. Time is a number here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RetryBudget } from "../../edge/upstream/retries.ts";

/** `requests` at each time, then as many retries as there are. */
function granted(
  policy: { retryPercent: number; retryPerSecond: number },
  requests: readonly (readonly [now: number, count: number])[],
  at: number,
): number {
  const budget = new RetryBudget(policy);
  for (const [now, count] of requests) for (let i = 0; i < count; i++) budget.count(now);
  while (budget.take(at)) assert.ok(budget.sent < 1e6);
  return budget.sent;
}

const SHARE = { retryPercent: 20, retryPerSecond: 0 };
const rows: [why: string, policy: typeof SHARE, requests: [number, number][], at: number, want: number][] = [
  ["a share of the requests", SHARE, [[0, 100]], 100, 20],
  ["no part of a retry", SHARE, [[0, 4]], 100, 0],
  ["what was asked a half before still counts", SHARE, [[0, 100]], 6000, 20],
  ["what was asked two halves before does not", SHARE, [[0, 100]], 11_000, 0],
  ["both halves count", SHARE, [[0, 50], [6000, 50]], 7000, 20],
  ["an hour of requests is no hoard", SHARE, [[0, 1e5], [3_600_000, 10]], 3_600_001, 2],
  ["a minimum for who asks little", { retryPercent: 20, retryPerSecond: 3 }, [[0, 1]], 1, 30],
  ["both are added", { retryPercent: 20, retryPerSecond: 3 }, [[0, 100]], 1, 50],
  ["none at all", { retryPercent: 0, retryPerSecond: 0 }, [[0, 100]], 1, 0],
]; // prettier-ignore
for (const [why, policy, requests, at, want] of rows) {
  test(`retries: ${why}`, () => assert.equal(granted(policy, requests, at), want));
}

test("retries: what was taken comes back when its time is over", () => {
  const budget = new RetryBudget({ retryPercent: 0, retryPerSecond: 1 });
  const taken = (now: number): number => {
    const before = budget.sent;
    while (budget.take(now)) assert.ok(budget.sent < 1000);
    return budget.sent - before;
  };
  assert.deepEqual([taken(0), taken(4000), taken(6000), taken(11_000)], [10, 0, 0, 10]);
  assert.deepEqual([budget.sent, budget.denied], [20, 4]);
});
