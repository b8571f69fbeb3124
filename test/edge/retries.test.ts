// The retry budget: how much may be sent again. Time is a number here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RetryBudget } from "../../edge/upstream/retries.ts";

/** How many retries there are at `at`, after `requests` from 0 on and one retry asked for at each of `asked`. */
function granted(
  policy: { retryPercent: number; retryPerSecond: number },
  requests: number,
  asked: readonly number[],
  at: number,
): number {
  const budget = new RetryBudget(policy, 0);
  for (let i = 0; i < requests; i++) budget.count();
  for (const now of asked) budget.take(now);
  const before = budget.sent;
  while (budget.take(at)) assert.ok(budget.sent < 1e6);
  return budget.sent - before;
}

const SHARE = { retryPercent: 20, retryPerSecond: 0 };
const rows: [
  why: string,
  policy: typeof SHARE,
  requests: number,
  asked: number[],
  at: number,
  want: number,
][] = [
  ["a share of the requests", SHARE, 100, [], 100, 20],
  ["no part of a retry", SHARE, 4, [], 100, 0],
  ["what was taken is gone", SHARE, 100, [10, 20, 30], 100, 17],
  ["of the requests of two halves, half are recent", SHARE, 100, [], 10_000, 10],
  ["what was asked and taken a half before still counts", SHARE, 100, [4900], 5000, 19],
  ["what was asked two halves before does not", SHARE, 100, [5000], 10_000, 0],
  ["an hour of requests is no hoard", SHARE, 72_000, [], 3_600_000, 20],
  ["a minimum for who asks little", { retryPercent: 20, retryPerSecond: 3 }, 1, [], 1, 30],
  ["both are added", { retryPercent: 20, retryPerSecond: 3 }, 100, [], 1, 50],
  ["none at all", { retryPercent: 0, retryPerSecond: 0 }, 100, [], 1, 0],
];
for (const [why, policy, requests, asked, at, want] of rows) {
  test(`retries: ${why}`, () => assert.equal(granted(policy, requests, asked, at), want));
}

test("retries: what was taken comes back when its time is over", () => {
  const budget = new RetryBudget({ retryPercent: 0, retryPerSecond: 1 }, 0);
  const taken = (now: number): number => {
    const before = budget.sent;
    while (budget.take(now)) assert.ok(budget.sent < 1000);
    return budget.sent - before;
  };
  assert.deepEqual([taken(0), taken(4000), taken(6000), taken(11_000)], [10, 0, 0, 10]);
  assert.deepEqual([budget.sent, budget.denied], [20, 4]);
});
