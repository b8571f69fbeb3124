import assert from "node:assert/strict";
import { test } from "node:test";
import type { EndpointView } from "../../edge/admin/admin.ts";
import { countCpus } from "../../edge/processes/count.ts";
import { mergeUpstreams } from "../../edge/processes/merge.ts";
import { fewestConnections } from "../../edge/processes/pick.ts";

const counts: [why: string, cpus: number, files: Record<string, string>, want: number][] = [
  ["no control group: one a CPU", 8, {}, 8],
  ["no limit: one a CPU", 8, { "/sys/fs/cgroup//cpu.max": "max 100000\n" }, 8],
  ["a quota of two CPUs", 8, { "/sys/fs/cgroup//cpu.max": "200000 100000\n" }, 2],
  ["a quota of one and a half is one whole", 8, { "/sys/fs/cgroup//cpu.max": "150000 100000\n" }, 1],
  ["a quota of half a CPU is still one process", 8, { "/sys/fs/cgroup//cpu.max": "50000 100000" }, 1],
  ["a quota above what there is", 2, { "/sys/fs/cgroup//cpu.max": "800000 100000" }, 2],
  ["a quota that is no number", 2, { "/sys/fs/cgroup//cpu.max": "lots" }, 2],
  [
    "the tightest of the groups above us",
    8,
    {
      "/proc/self/cgroup": "0::/a.slice/b.service\n",
      "/sys/fs/cgroup/a.slice/cpu.max": "300000 100000",
      "/sys/fs/cgroup/a.slice/b.service/cpu.max": "max 100000",
    },
    3,
  ],
  [
    "cgroup v1",
    8,
    { "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n" },
    4,
  ],
  [
    "cgroup v1 without a limit",
    8,
    { "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n" },
    8,
  ],
  ["more CPUs than is sensible", 256, {}, 64],
];
for (const [why, cpus, files, want] of counts) {
  test(`processes: ${why}`, () =>
    assert.equal(
      countCpus(cpus, (path) => files[path]),
      want,
    ));
}

const picks: [why: string, connections: number[], last: number, want: number | undefined][] = [
  ["nobody", [], -1, undefined],
  ["the only one", [7], 0, 0],
  ["the one with the fewest", [3, 1, 2], 0, 1],
  ["the first, when all are new", [0, 0, 0], -1, 0],
  ["the next among equals", [0, 0, 0], 0, 1],
  ["the first after the last", [0, 0, 0], 2, 0],
  ["the next of those with the fewest", [1, 0, 0], 1, 2],
];
for (const [why, connections, last, want] of picks) {
  test(`a connection goes to ${why}`, () => {
    const members = connections.map((count) => ({ connections: count }));
    assert.equal(fewestConnections(members, members[last]), want === undefined ? undefined : members[want]);
  });
}

test("a process that has gone is not the last any more", () => {
  const [gone, other] = [{ connections: 0 }, { connections: 0 }];
  assert.equal(fewestConnections([other], gone), other);
});

/** A view of one endpoint; `active` stands for all that is counted. */
function view(healthy: boolean, active: number, more: Partial<EndpointView> = {}): EndpointView {
  return {
    address: "a",
    healthy,
    active,
    checks: { passed: active, failed: active },
    ejections: active,
    ...more,
  };
}

test("the views of several processes become one", () => {
  assert.deepEqual(
    mergeUpstreams([
      { http: [view(false, 1)], grpc: [] },
      { http: [view(true, 2)], grpc: [view(false, 0)] },
    ]),
    { http: [view(true, 3)], grpc: [view(false, 0)] },
  );
});

test("the reason why one of them sends a worker nothing is told, and the last end of an ejection", () => {
  const first = { why: "it is ejected", ejectedUntil: "2026-01-01T00:00:00.000Z" };
  const second = { why: "it accepts no connection", ejectedUntil: "2026-01-01T00:00:09.000Z" };
  assert.deepEqual(
    mergeUpstreams([
      { ws: [view(true, 1)] },
      { ws: [view(false, 1, first)] },
      { ws: [view(false, 1, second)] },
    ]),
    { ws: [view(true, 3, { why: first.why, ejectedUntil: second.ejectedUntil })] },
  );
});
