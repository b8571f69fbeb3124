import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { after, test } from "node:test";
import { page } from "../../scripts/report/page.ts";
import type { Bar, Report } from "../../scripts/report/report.ts";
import { Load, pause } from "./load.ts";
import type { Kind } from "./load-kinds.ts";
import { family, freePort } from "./family.ts";
import { ROOT } from "./processes.ts";

/** What is promised of a scenario. */
export interface Expected {
  /** How requests of each kind may fail; a kind that is not named loses nothing. */
  readonly may: Partial<Record<Kind, readonly string[]>>;
  /** The part of each kind's requests, 0 to 1, that may fail at most. Without it: any. */
  readonly share?: number;
  /** Kinds that must have lost something, or nothing was done to them; `any`, where it is chance which of them. */
  readonly felt?: readonly Kind[] | "any";
  /** Milliseconds from the end of what was done until nothing fails any more. */
  readonly wellMs: number;
  /** MiB that all edge processes together may have resident at any time. */
  readonly peakMiB: number;
}

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

interface Row {
  readonly scenario: string;
  readonly requests: number;
  readonly lost: number;
  /** What was lost, by kind and outcome. */
  readonly how: string;
  readonly recoveryMs: number;
  readonly peakMiB: number;
  readonly expected: string;
  readonly verdict: "pass" | "FAIL";
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
  if (!hasTable) after(report);
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
  try {
    await load.untilWell(performance.now(), PATIENCE_MS);
    await pause(BEFORE_MS);
    assert.equal(load.lost, 0, `lost before anything was done: ${describe(load)}`);
    await act(set, t);
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
  rows.push({
    scenario: name,
    requests: load.requests,
    lost: load.lost,
    how: describe(load),
    recoveryMs,
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

// === what a person sees

function describe(load: Load): string {
  const parts: string[] = [];
  for (const [kind, counts] of load.counts) {
    const bad = [...counts].filter(([outcome]) => outcome !== "ok");
    if (bad.length > 0) parts.push(`${kind} ${bad.map(([outcome, n]) => `${n} × ${outcome}`).join(", ")}`);
  }
  return parts.join("; ");
}

function promise({ may, wellMs, peakMiB, share }: Expected): string {
  const kinds = Object.entries(may).map(([kind, outcomes]) => `${kind} ${outcomes.join("|")}`);
  const part = share === undefined ? "" : `, ≤ ${share * 100} % of a kind`;
  return `${kinds.length === 0 ? "none" : kinds.join("; ")}${part}; ≤ ${wellMs / 1000} s; ≤ ${peakMiB} MiB`;
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

const FOLDER = join(ROOT, "test-output");

/** The table, and a page with charts next to it. */
function report(): void {
  process.stdout.write(`\n${render()}\n\n`);
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, "chaos.html");
  writeFileSync(file, page(asReport()));
  process.stdout.write(`The same with charts: ${file}\n`);
}

const HEAD = ["scenario", "requests", "lost", "recovery", "peak RSS", ""];

function recoveryText(ms: number): string {
  return Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : "never";
}

function cellsOf({ scenario: name, requests, lost, recoveryMs, peakMiB, verdict }: Row): string[] {
  const recovery = recoveryText(recoveryMs);
  return [name, String(requests), String(lost), recovery, `${peakMiB.toFixed(0)} MiB`, verdict];
}

function asReport(): Report {
  const bars = (value: (row: Row) => number, text: (row: Row) => string): Bar[] =>
    rows
      .filter((row) => Number.isFinite(value(row)))
      .map((row) => ({ name: row.scenario, value: value(row), text: text(row), isOurs: true }));
  return {
    title: "Chaos",
    intro:
      "What was lost when things went wrong under load, how soon all was well again, and what the edge took of memory.",
    sections: [
      {
        name: "All scenarios",
        note: "Each with every kind of request under way. A scenario passes when nothing but what is expected was lost, in time and within memory.",
        columns: [...HEAD.slice(0, -1), "verdict"],
        rows: rows.map(cellsOf),
        charts: [
          {
            title: "Seconds until nothing failed any more",
            bars: bars(
              ({ recoveryMs }) => recoveryMs / 1000,
              ({ recoveryMs }) => recoveryText(recoveryMs),
            ),
          },
          {
            title: "Requests that were lost, of a hundred",
            bars: bars(
              ({ lost, requests }) => (100 * lost) / Math.max(1, requests),
              ({ lost, requests }) => `${lost} of ${requests}`,
            ),
          },
          {
            title: "Peak memory of the edge, MiB",
            bars: bars(
              ({ peakMiB }) => peakMiB,
              ({ peakMiB }) => peakMiB.toFixed(0),
            ),
          },
        ],
        remarks: rows.map(
          ({ scenario: name, how, expected }) =>
            `**${name}**: expected ${expected}. Lost: ${how === "" ? "nothing" : how}.`,
        ),
      },
    ],
  };
}

/** A line for each, and what is too long for it below. */
function render(): string {
  const head = HEAD;
  const lines = rows.map(cellsOf);
  const widths = head.map((_, column) =>
    Math.max(...[head, ...lines].map((line) => line[column]?.length ?? 0)),
  );
  const format = (line: readonly string[]): string =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  const body = rows.map(({ how, expected }, index) =>
    [
      format(lines[index] ?? []),
      ...(how === "" ? [] : [`    lost      ${how}`]),
      `    expected  ${expected}`,
    ].join("\n"),
  );
  return [format(head), ...body].join("\n");
}
