import type { Curve, Section } from "../report/report.ts";
import type { ColdStart } from "./cold-start.ts";
import type { Idle } from "./idle-row.ts";
import type { LatencySample } from "./latency-row.ts";
import type { Sample } from "./measure.ts";
import type { IdleRow, LatencyRow, LoadRow, Row } from "./rows.ts";
import type { Entry } from "./runners.ts";
import type { Soak } from "./soak.ts";
import {
  chartOf,
  chartOfGreatest,
  fixed,
  greatestOf,
  mebibytes,
  middleOf,
  rangeOf,
  section,
  toBestPeer,
} from "./table.ts";
import { verificationPrice } from "./verification.ts";

export function loadSection(row: LoadRow, entries: readonly Entry<Sample>[]): Section {
  const columns = [
    middleOf("CPU µs", 1, cpuOf),
    rangeOf("range", 1, cpuOf),
    toBestPeer(entries, cpuOf),
    middleOf<Sample>("requests/s", 0, ({ perSecond }) => perSecond),
    middleOf<Sample>("p50 ms", 2, ({ p50Ms }) => p50Ms),
    middleOf<Sample>("p99 ms", 2, p99Of),
    greatestOf("peak RSS MiB", 0, peakMebibytes),
  ];
  const charts = [
    chartOf("CPU per request, µs", entries, 1, cpuOf),
    chartOf("p99, ms", entries, 2, p99Of),
    chartOfGreatest("Peak RSS, MiB", entries, 0, peakMebibytes),
  ];
  return section(row, entries, columns, charts, verificationPrice(row, entries));
}

export function latencySection(
  row: LatencyRow,
  entries: readonly Entry<LatencySample>[],
  rate: number,
): Section {
  const columns = [
    middleOf<LatencySample>("peak/s", 0, ({ peakPerSecond }) => peakPerSecond),
    middleOf<LatencySample>("requests/s", 0, ({ perSecond }) => perSecond),
    middleOf<LatencySample>("p50 ms", 2, ({ p50Ms }) => p50Ms),
    middleOf<LatencySample>("p99 ms", 2, p99Of),
    toBestPeer(entries, p99Of),
    greatestOf<LatencySample>("worst p99 ms", 2, p99Of),
    middleOf<LatencySample>("CPU µs", 1, cpuOf),
  ];
  const charts = [chartOf("p99, ms", entries, 2, p99Of), chartOf("CPU per request, µs", entries, 1, cpuOf)];
  return section(row, entries, columns, charts, [
    `Each was asked for ${fixed(rate, 0)} requests per second.`,
  ]);
}

export function idleSection(row: IdleRow, entries: readonly Entry<Idle>[], sockets: number): Section {
  const columns = [
    middleOf("KiB each", 1, kibEach),
    toBestPeer(entries, kibEach),
    middleOf<Idle>("RSS before MiB", 0, ({ beforeBytes }) => mebibytes(beforeBytes)),
    middleOf<Idle>("RSS with them MiB", 0, ({ afterBytes }) => mebibytes(afterBytes)),
  ];
  const fewer =
    sockets < row.sockets ? `: a process may not open more files here than two for each and some` : "";
  const charts = [chartOf("Resident KiB for each WebSocket", entries, 1, kibEach)];
  return section(row, entries, columns, charts, [`${sockets} WebSockets were open${fewer}.`]);
}

export function coldStartSection(row: Row, entries: readonly Entry<ColdStart>[]): Section {
  const columns = [
    middleOf<ColdStart>("HTTP ms", 0, ({ h1Ms }) => h1Ms),
    middleOf<ColdStart>("gRPC ms", 0, ({ grpcMs }) => grpcMs),
    middleOf<ColdStart>("WebSocket ms", 0, ({ wsMs }) => wsMs),
    middleOf<ColdStart>("all ms", 0, ({ allMs }) => allMs),
    toBestPeer(entries, ({ allMs }) => allMs),
    middleOf<ColdStart>("CPU ms", 0, ({ cpuMs }) => cpuMs),
    middleOf<ColdStart>("peak RSS MiB", 0, ({ peakBytes }) => mebibytes(peakBytes)),
  ];
  return section(row, entries, columns, [
    chartOf("To the last first answer, ms", entries, 0, ({ allMs }) => allMs),
  ]);
}

export function soakSection(row: Row, entries: readonly Entry<Soak>[]): Section {
  const series = entries.flatMap(({ contender, samples }) =>
    samples.map(({ points }) => {
      const list = points.map(({ bytes }) => fixed(mebibytes(bytes), 0)).join(" ");
      return `Resident MiB of ${contender.name}, every 10 s: ${list}`;
    }),
  );
  const columns = [
    middleOf<Soak>("minutes", 1, ({ points }) => points.at(-1)?.minute ?? Number.NaN),
    middleOf<Soak>("requests", 0, ({ requests }) => requests),
    middleOf<Soak>("MiB/minute", 2, ({ verdict }) => mebibytes(verdict.bytesPerMinute)),
    middleOf<Soak>("± error", 2, ({ verdict }) => mebibytes(verdict.errorPerMinute)),
    ["verdict", verdictOf] as const,
  ];
  return { ...section(row, entries, columns, [], series), curves: entries.flatMap(memoryOf) };
}

function memoryOf({ contender: { name }, samples }: Entry<Soak>): Curve[] {
  return samples.map(({ points }) => {
    const all = points.map(({ minute, bytes }) => [minute, mebibytes(bytes)] as const);
    const [first, last] = [all[0], all.at(-1)].map((point) => fixed(point?.[1] ?? Number.NaN, 0));
    const most = fixed(Math.max(...all.map(([, size]) => size)), 0);
    return {
      title: `Memory of ${name}`,
      points: all,
      ends: [`${fixed(all[0]?.[0] ?? 0, 1)} min`, `${fixed(all.at(-1)?.[0] ?? 0, 1)} min`],
      text: `${first} MiB at first, ${last} at the end, ${most} at most`,
    };
  });
}

function verdictOf(samples: readonly Soak[]): string {
  if (samples.some(({ verdict }) => Number.isNaN(verdict.bytesPerMinute))) return "too short to tell";
  return samples.some(({ verdict }) => verdict.grows) ? "grows" : "flat";
}

function kibEach({ sockets, beforeBytes, afterBytes }: Idle): number {
  return (afterBytes - beforeBytes) / sockets / 1024;
}

function cpuOf({ cpuUs }: Sample): number {
  return cpuUs ?? Number.NaN;
}

function peakMebibytes({ peakBytes }: Sample): number {
  return mebibytes(peakBytes ?? Number.NaN);
}

function p99Of({ p99Ms }: Sample): number {
  return p99Ms;
}
