import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** Edge processes at most. */
const MAX_PROCESSES = 64;

/** Reads a file; undefined when it is not there. */
export type ReadFile = (path: string) => string | undefined;

/** How many whole CPUs this process may use, 1 to 64: what `EDGE_PROCESSES=auto` comes to. */
export function countCpus(cpus: number = availableParallelism(), read: ReadFile = readIfThere): number {
  return Math.min(MAX_PROCESSES, Math.max(1, Math.floor(Math.min(cpus, cpuQuota(read)))));
}

/**
 * The CPUs that the control group grants, Infinity without a limit. Node's availableParallelism() counts the cores a
 * process may be scheduled on, and knows nothing of a container's quota.
 */
function cpuQuota(read: ReadFile): number {
  return Math.min(...groups(read).map((group) => quotaV2(read, group)), quotaV1(read));
}

/** cgroup v2: our group and those above it, each of which may limit. In a container ours is mostly "/". */
function groups(read: ReadFile): string[] {
  const own = /^0::(\/.*)$/m.exec(read("/proc/self/cgroup") ?? "")?.[1] ?? "/";
  const parts = own.split("/").filter((part) => part !== "" && part !== "..");
  return Array.from({ length: parts.length + 1 }, (_, depth) => parts.slice(0, depth).join("/"));
}

/** "max 100000" or "200000 100000": microseconds of CPU time, and in how many of wall time. */
function quotaV2(read: ReadFile, group: string): number {
  const [quota, period] = (read(`/sys/fs/cgroup/${group}/cpu.max`) ?? "").trim().split(" ").map(Number);
  return ratio(quota, period);
}

/** cgroup v1: -1 is no limit. */
function quotaV1(read: ReadFile): number {
  const folder = "/sys/fs/cgroup/cpu";
  return ratio(Number(read(`${folder}/cpu.cfs_quota_us`)), Number(read(`${folder}/cpu.cfs_period_us`)));
}

function ratio(quota: number | undefined, period: number | undefined): number {
  if (quota === undefined || period === undefined || !(quota > 0) || !(period > 0)) return Infinity;
  return quota / period;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
