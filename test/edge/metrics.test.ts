import assert from "node:assert/strict";
import { test } from "node:test";
import { EXCEEDED } from "../../edge/limits.ts";
import { Metrics, renderMetrics } from "../../edge/metrics.ts";

test("each limit has a counter, from the start", () => {
  const metrics = new Metrics();
  metrics.countExceeded("resets");
  metrics.countExceeded("resets");
  const lines = renderMetrics(metrics.exceeded).split("\n");
  assert.ok(lines.includes('oneport_limit_exceeded_total{limit="resets"} 2'));
  for (const limit of Object.keys(EXCEEDED).filter((name) => name !== "resets")) {
    assert.ok(lines.includes(`oneport_limit_exceeded_total{limit="${limit}"} 0`), limit);
  }
});
