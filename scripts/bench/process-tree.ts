import { execFileSync } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";

/** What a process and all its descendants have used so far. */
export interface Usage {
  /** User and system time of all threads, in microseconds. */
  readonly cpuUs: number;
  /** The most memory each process ever had resident, added up. */
  readonly peakBytes: number;
  /** The memory they have resident now. */
  readonly residentBytes: number;
}

/** Reads the usage of the tree under `root`. A process that ends meanwhile is left out. */
export async function readUsage(root: number, tickUs: number): Promise<Usage> {
  const all = await Promise.all((await readdir("/proc")).filter(isNumber).map(readStat));
  const living = all.filter((stat) => stat !== undefined);
  const tree = new Set([root]);
  // A parent may have a higher pid than its child, so once through the list is not enough.
  for (let before = 0; before < tree.size;) {
    before = tree.size;
    for (const { pid, parent } of living) if (tree.has(parent)) tree.add(pid);
  }
  const members = living.filter(({ pid }) => tree.has(pid));
  const cpuUs = await Promise.all(members.map((member) => cpuTime(member, tickUs)));
  const memory = await Promise.all(members.map(({ pid }) => memoryOf(pid)));
  return {
    cpuUs: sum(cpuUs),
    peakBytes: sum(memory.map(({ peak }) => peak)),
    residentBytes: sum(memory.map(({ resident }) => resident)),
  };
}

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** utime and stime, in clock ticks. */
  readonly ticks: number;
  /** The same of the children that have ended and were waited for. */
  readonly endedTicks: number;
}

/** proc_pid_stat(5). The name in field 2 may hold anything, a parenthesis included, so fields are counted from the last one. */
async function readStat(pid: string): Promise<Stat | undefined> {
  const line = await readOrEmpty(`/proc/${pid}/stat`);
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  if (fields.length < 20) return undefined;
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid: Number(pid),
    parent: field(4),
    ticks: field(14) + field(15),
    endedTicks: field(16) + field(17),
  };
}

/**
 * Microseconds of CPU time. /proc/PID/stat rounds down to clock ticks, mostly of 10 ms, which is coarse for a short run.
 * The scheduler keeps the same time in nanoseconds for each thread, but forgets a thread that has ended: the greater of
 * the two is right.
 */
async function cpuTime({ pid, ticks, endedTicks }: Stat, tickUs: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const spent = await Promise.all(threads.map((thread) => onCpuNs(`/proc/${pid}/task/${thread}/schedstat`)));
  return Math.max(sum(spent) / 1000, ticks * tickUs) + endedTicks * tickUs;
}

async function onCpuNs(path: string): Promise<number> {
  return Number((await readOrEmpty(path)).split(" ", 1)[0]);
}

async function memoryOf(pid: number): Promise<{ peak: number; resident: number }> {
  const status = await readOrEmpty(`/proc/${pid}/status`);
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+([0-9]+) kB$`, "m").exec(status)?.[1] ?? 0) * 1024;
  return { peak: bytes("VmHWM"), resident: bytes("VmRSS") };
}

/** Microseconds of the kernel's clock tick. */
export function clockTickUs(): number {
  return 1e6 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
}

/** Empty when the process is gone. */
async function readOrEmpty(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

function isNumber(name: string): boolean {
  return /^[0-9]+$/.test(name);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
