import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { page } from "../../scripts/report/page.ts";
import type { Bar, Report } from "../../scripts/report/report.ts";
import type { Load } from "./load.ts";
import type { Kind } from "./load-kinds.ts";
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
  /** Milliseconds by which the p99 of plain requests may grow while it is done; without it: any. */
  readonly slowerMs?: number;
  /** MiB that all edge processes together may have resident at any time. */
  readonly peakMiB: number;
}

/** What came of a scenario. */
export interface Row {
  readonly scenario: string;
  readonly requests: number;
  readonly lost: number;
  /** What was lost, by kind and outcome. */
  readonly how: string;
  readonly recoveryMs: number;
  /** Of plain requests, in milliseconds: before anything was done, and until it was over. */
  readonly p99: readonly [before: number, during: number];
  readonly peakMiB: number;
  readonly expected: string;
  readonly verdict: "pass" | "FAIL";
}

/** What was lost, in words. */
export function describe(load: Load): string {
  const parts: string[] = [];
  for (const [kind, counts] of load.counts) {
    const bad = [...counts].filter(([outcome]) => outcome !== "ok");
    if (bad.length > 0) parts.push(`${kind} ${bad.map(([outcome, n]) => `${n} × ${outcome}`).join(", ")}`);
  }
  return parts.join("; ");
}

/** What is expected, in words. */
export function promise({ may, wellMs, peakMiB, share, slowerMs }: Expected): string {
  const kinds = Object.entries(may).map(([kind, outcomes]) => `${kind} ${outcomes.join("|")}`);
  const part = share === undefined ? "" : `, ≤ ${share * 100} % of a kind`;
  const slower = slowerMs === undefined ? "" : `; p99 + ${slowerMs} ms at most`;
  return `${kinds.length === 0 ? "none" : kinds.join("; ")}${part}; ≤ ${wellMs / 1000} s; ≤ ${peakMiB} MiB${slower}`;
}

const FOLDER = join(ROOT, "test-output");

/** The table, and a page with charts next to it. */
export function report(rows: readonly Row[]): void {
  process.stdout.write(`\n${render(rows)}\n\n`);
  mkdirSync(FOLDER, { recursive: true });
  const file = join(FOLDER, "chaos.html");
  writeFileSync(file, page(asReport(rows)));
  process.stdout.write(`The same with charts: ${file}\n`);
}

const HEAD = ["scenario", "requests", "lost", "recovery", "p99 ms", "peak RSS", ""];

function recoveryText(ms: number): string {
  return Number.isFinite(ms) ? `${(ms / 1000).toFixed(1)} s` : "never";
}

function cellsOf({ scenario: name, requests, lost, recoveryMs, p99, peakMiB, verdict }: Row): string[] {
  const recovery = recoveryText(recoveryMs);
  const latency = p99.map((ms) => (Number.isNaN(ms) ? "–" : ms.toFixed(0))).join(" → ");
  return [name, String(requests), String(lost), recovery, latency, `${peakMiB.toFixed(0)} MiB`, verdict];
}

function asReport(rows: readonly Row[]): Report {
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
        note: "Each with every kind of request under way; p99 is of plain ones, before and while it was done. A scenario passes when nothing but what is expected was lost, in time and within memory.",
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
function render(rows: readonly Row[]): string {
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
