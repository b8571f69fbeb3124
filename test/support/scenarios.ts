import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { after, test } from "node:test";
import { Load, pause } from "./load.ts";
import type { Kind } from "./load-kinds.ts";
import { family, freePort } from "./family.ts";
import type { Expected, Row } from "./scenario-report.ts";
import { describe, promise, report } from "./scenario-report.ts";

/** A running edge, as a scenario finds it. */
export interface Stage {
  readonly port: number;
  readonly admin: number;
  /** What the edge's processes carry in their environment, TEST_MARK. */
  readonly mark: string;
}

export interface Scenario {
  readonly name: string;
  /** Why it cannot be done here. */
  readonly skip?: string | false;
  readonly expected: Expected;
  /** Starts the edge and what is behind it; ends it with the test. */
  readonly stage: (t: TestContext) => Promise<Stage>;
  /** Does the thing, under load. Its end is where recovery is counted from. */
  readonly act: (stage: Stage, t: TestContext) => Promise<void>;
  /** What the load consists of; everything, without it. */
  readonly kinds?: readonly Kind[];
  /** Milliseconds after which its clients give up. */
  readonly giveUpMs?: number;
}

/** Milliseconds of load before something is done. */
const BEFORE_MS = 500;
/** Milliseconds that anything may take to be well again, before it is given up. */
const PATIENCE_MS = 15_000;
const SAMPLE_MS = 100;

const rows: Row[] = [];
let hasTable = false;

/** One scenario as one test: load, the thing, and what was lost, against what is expected. A table of all comes at the end. */
export function scenario(each: Scenario): void {
  if (!hasTable) after(() => report(rows));
  hasTable = true;
  test(each.name, { skip: each.skip ?? false }, (t) => run(t, each));
}

async function run(t: TestContext, { name, expected, stage, act, kinds, giveUpMs }: Scenario): Promise<void> {
  const set = await stage(t);
  const memory = new Memory(set.mark);
  const load = new Load(set.port, kinds, giveUpMs);
  const stopShowing = show(name, load, memory);
  const problems: string[] = [];
  let recoveryMs = Infinity;
  let before = NaN;
  let during = NaN;
  try {
    await load.untilWell(performance.now(), PATIENCE_MS);
    load.p99();
    await pause(BEFORE_MS);
    before = load.p99();
    assert.equal(load.lost, 0, `lost before anything was done: ${describe(load)}`);
    await act(set, t);
    during = load.p99();
    recoveryMs = await load.untilWell(performance.now(), PATIENCE_MS);
    await load.stop();
    await nothingLeft(set);
  } catch (thrown) {
    problems.push(String(thrown));
  }
  stopShowing();
  await load.stop();
  const peakMiB = memory.stop();
  problems.push(...judge(expected, load, recoveryMs, peakMiB));
  if (during - before > (expected.slowerMs ?? Infinity))
    problems.push(`p99 ${during.toFixed(0)} ms, ${before.toFixed(0)} ms before`);
  rows.push({
    scenario: name,
    requests: load.requests,
    lost: load.lost,
    how: describe(load),
    recoveryMs,
    p99: [before, during],
    peakMiB,
    expected: promise(expected),
    verdict: problems.length === 0 ? "pass" : "FAIL",
  });
  assert.deepEqual(problems, []);
}

/** All that is not as it was promised, in words. */
function judge(expected: Expected, load: Load, recoveryMs: number, peakMiB: number): string[] {
  const problems: string[] = [];
  for (const [kind, counts] of load.counts) {
    const allowed = new Set(["ok", ...(expected.may[kind] ?? [])]);
    for (const [outcome, count] of counts)
      if (!allowed.has(outcome)) problems.push(`${kind}: ${count} × ${outcome}`);
    const share = load.lostShare(kind);
    if (share > (expected.share ?? 1)) problems.push(`${kind}: ${(share * 100).toFixed(0)} % lost`);
  }
  if (expected.felt === "any" && load.lost === 0) problems.push("nobody has felt it");
  for (const kind of expected.felt === "any" ? [] : (expected.felt ?? []))
    if (load.lostShare(kind) === 0) problems.push(`${kind} has not felt it`);
  if (recoveryMs > expected.wellMs) problems.push(`well again after ${recoveryMs.toFixed(0)} ms`);
  if (peakMiB > expected.peakMiB) problems.push(`${peakMiB.toFixed(0)} MiB`);
  return problems;
}

/** The edge carries nothing any more, once nobody asks. */
async function nothingLeft({ admin }: Stage): Promise<void> {
  const deadline = performance.now() + 3000;
  for (;;) {
    const { running } = (await (await fetch(`http://127.0.0.1:${admin}/readyz`)).json()) as {
      running: number;
    };
    if (running === 0) return;
    assert.ok(performance.now() < deadline, `${running} exchanges are left although nobody asks`);
    await pause(50);
  }
}

/** The most that the edge's processes have had resident together. */
class Memory {
  readonly #timer: NodeJS.Timeout;
  readonly #mark: string;
  peakMiB = 0;

  constructor(mark: string) {
    this.#mark = mark;
    this.#sample();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  stop(): number {
    clearInterval(this.#timer);
    this.#sample();
    return this.peakMiB;
  }

  #sample(): void {
    const mib = edgePids(this.#mark).reduce((sum, pid) => sum + residentMiB(pid), 0);
    this.peakMiB = Math.max(this.peakMiB, mib);
  }
}

function residentMiB(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  } catch {
    // It has ended.
    return 0;
  }
}

/** The edge's processes, the parent of several included. */
export function edgePids(mark: string): number[] {
  return family(mark).filter((pid) => {
    const line = commandOf(pid);
    return line.includes("edge/main.ts") || line.includes("processes/child.ts");
  });
}

export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}

export async function ports(): Promise<{ port: number; admin: number }> {
  return { port: await freePort(), admin: await freePort() };
}

/** Resolves when requests are served. */
export async function untilReady(admin: number): Promise<void> {
  const isReady = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${admin}/readyz`).then(
      ({ status }) => status === 200,
      () => false,
    );
  while (!(await isReady())) await pause(20);
}

/** One line that is written over, on a terminal. */
function show(name: string, load: Load, memory: Memory): () => void {
  if (!process.stdout.isTTY) return () => {};
  const timer = setInterval(() => {
    process.stdout.write(
      `\r\u001b[K  ${name}: ${load.requests} requests, ${load.lost} lost, ${memory.peakMiB.toFixed(0)} MiB`,
    );
  }, 250);
  return () => {
    clearInterval(timer);
    process.stdout.write("\r\u001b[K");
  };
}
