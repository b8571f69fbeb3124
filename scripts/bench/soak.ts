import { setTimeout as sleep } from "node:timers/promises";
import * as calls from "./calls.ts";
import type { Contender } from "./contender.ts";
import type { Load } from "./h2load.ts";
import type { Bench, Started } from "./measure.ts";
import { generate, startContender, whileRunning } from "./measure.ts";
import { readUsage } from "./process-tree.ts";
import type { Running } from "./programs.ts";
import type { SoakRow, Work } from "./rows.ts";
import type { Entry } from "./runners.ts";
import { NOT_SUPPORTED, attempt, emptyEntry } from "./runners.ts";
import type { Line } from "./statistics.ts";
import { line, mean } from "./statistics.ts";

/** What a contender went through, and its memory meanwhile. */
export interface Soak {
  readonly requests: number;
  readonly points: readonly MemoryPoint[];
  readonly verdict: Verdict;
}

export interface MemoryPoint {
  readonly minute: number;
  readonly bytes: number;
}

export interface Verdict {
  readonly grows: boolean;
  readonly bytesPerMinute: number;
  readonly errorPerMinute: number;
}

/** Seconds between two readings, and of one run of the generators: connections come and go, too. */
const SLICE_SECONDS = 10;

/** All at once: every protocol, small and large, short and long. */
const MIX: readonly Work[] = [
  { call: calls.GRPC_PING, connections: 2, streams: 10 },
  { call: calls.GRPC_STREAM_SMALL, connections: 1, streams: 4 },
  { call: calls.GRPC_BIDI, connections: 1, streams: 4 },
  { call: calls.PING_H2C, connections: 2, streams: 10 },
  { call: calls.PING_H1, connections: 20, streams: 1 },
  { call: calls.GRPC_STREAM_LARGE, connections: 1, streams: 2 },
  { call: calls.DOWNLOAD_H2C, connections: 1, streams: 2 },
  { call: calls.DOWNLOAD_H1, connections: 2, streams: 1 },
  { call: calls.UPLOAD_H2C, connections: 1, streams: 2 },
  { call: calls.PING_PONG_H1, connections: 20, streams: 1 },
  { call: calls.PING_PONG_H2, connections: 1, streams: 10 },
];

/** Loads each contender for so many minutes, one after the other. */
export async function runSoakRow(
  row: SoakRow,
  contenders: readonly Contender[],
  minutes: number,
  bench: Bench,
): Promise<Entry<Soak>[]> {
  const entries = contenders.map((contender) => emptyEntry<Soak>(contender));
  for (const entry of entries) {
    await attempt(row, entry, bench, async () => {
      const started = await startContender(entry.contender, calls.GRPC_PING, {
        ...bench,
        backing: { doc: "", serve: (call) => ({ backends: bench.site.backends, call }) },
      });
      const { running } = started ?? {};
      if (started === undefined || running === undefined) entry.problem = NOT_SUPPORTED;
      else entry.samples.push(await soak(row, entry.contender, started, running, minutes, bench));
    });
  }
  return entries;
}

async function soak(
  row: SoakRow,
  { name }: Contender,
  started: Started,
  running: Running,
  minutes: number,
  bench: Bench,
): Promise<Soak> {
  const points: MemoryPoint[] = [];
  const over = new AbortController();
  const signal = AbortSignal.any([whileRunning(running, bench.signal), over.signal]);
  const startedAt = performance.now();
  const elapsed = (): number => (performance.now() - startedAt) / 60_000;
  const watch = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await sleep(SLICE_SECONDS * 1000, undefined, { signal }).catch(() => {});
      if (over.signal.aborted) return;
      const { residentBytes } = await readUsage(running.pid, bench.tickUs);
      points.push({ minute: elapsed(), bytes: residentBytes });
      bench.say(
        `${row.name}  ${name}  ${elapsed().toFixed(1)} min: ${Math.round(residentBytes / 2 ** 20)} MiB`,
      );
    }
  };
  const watching = watch();
  try {
    let requests = 0;
    while (elapsed() < minutes)
      requests += await slice(started, { ...bench, signal, seconds: SLICE_SECONDS });
    return { requests, points, verdict: judge(points) };
  } finally {
    over.abort();
    await watching;
    await bench.programs.stop(running);
  }
}

/** One run of all generators at once. Rejects unless all that they asked was answered well. */
async function slice(started: Started, bench: Bench): Promise<number> {
  const runs = MIX.map(async (work): Promise<Load | undefined> => {
    const port = started.launch.ports[work.call.protocol];
    return port === undefined
      ? undefined
      : generate(work, { ...started, port, call: work.call }, undefined, bench);
  });
  const ended = await Promise.allSettled(runs);
  let requests = 0;
  for (const run of ended) {
    if (run.status === "rejected") throw run.reason;
    requests += run.value?.requests ?? 0;
  }
  return requests;
}

/** A slope counts as growth when it is more than twice its error and adds this share of the memory within the time. */
const GROWTH = 0.02;

/** Fewer readings than a minute's tell nothing. */
const LEAST_POINTS = 6;

/** Looks at the second half: by then caches are full and code is compiled. NaN when there is too little of it. */
export function judge(points: readonly MemoryPoint[]): Verdict {
  const half = points.slice(Math.floor(points.length / 2));
  if (half.length < LEAST_POINTS)
    return { grows: false, bytesPerMinute: Number.NaN, errorPerMinute: Number.NaN };
  const minutes = (half.at(-1)?.minute ?? 0) - (half[0]?.minute ?? 0);
  const { slope, error }: Line = line(half.map(({ minute, bytes }) => [minute, bytes]));
  const limit = GROWTH * mean(half.map(({ bytes }) => bytes));
  return {
    grows: slope > 2 * error && slope * minutes > limit,
    bytesPerMinute: slope,
    errorPerMinute: error,
  };
}
