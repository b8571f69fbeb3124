import type { Contender } from "./contender.ts";
import type { Entry } from "./load-row.ts";
import { NOT_SUPPORTED } from "./load-row.ts";
import type { Bench } from "./measure.ts";
import { whileRunning } from "./measure.ts";
import { readUsage } from "./process-tree.ts";
import { untilGood } from "./probe.ts";
import type { ColdStartRow, Protocol } from "./rows.ts";
import { rotated } from "./statistics.ts";

/** Milliseconds from the start of the process to the first good answer over each protocol, and what that took. */
export interface ColdStart {
  readonly h1Ms: number;
  readonly grpcMs: number;
  readonly wsMs: number;
  /** To the last of the three. */
  readonly allMs: number;
  readonly cpuMs: number;
  readonly peakBytes: number;
}

/** Measures the cold start of every contender, once in each round, in rotated order. */
export async function runColdStartRow(
  row: ColdStartRow,
  contenders: readonly Contender[],
  bench: Bench,
): Promise<Entry<ColdStart>[]> {
  const entries = contenders.map((contender): Entry<ColdStart> => ({
    contender,
    samples: [],
    problem: undefined,
  }));
  // The clients, too, are slow the first time.
  const { http, grpc, ws } = bench.site.backends;
  await Promise.all([
    untilGood("h1", http, {}, bench.signal),
    untilGood("grpc", grpc, {}, bench.signal),
    untilGood("ws", ws, {}, bench.signal),
  ]);
  for (let round = 0; round < bench.rounds; round++) {
    for (const entry of rotated(entries, round)) {
      if (entry.problem !== undefined) continue;
      try {
        await start(row, entry, bench);
      } catch (thrown) {
        bench.signal.throwIfAborted();
        entry.problem = `error: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
        bench.say(`${row.name}  ${entry.contender.name}  ${entry.problem}`);
      }
    }
  }
  return entries;
}

async function start(row: ColdStartRow, entry: Entry<ColdStart>, bench: Bench): Promise<void> {
  const { program, ports, headers } = await entry.contender.prepare(bench.site);
  const { h1, grpc, ws } = ports;
  if (program === undefined || h1 === undefined || grpc === undefined || ws === undefined) {
    entry.problem = NOT_SUPPORTED;
    return;
  }
  const startedAt = performance.now();
  const running = bench.programs.start(program);
  running.stdout.resume();
  const signal = whileRunning(running, bench.signal);
  const firstAnswer = async (protocol: Protocol, port: number): Promise<number> => {
    await untilGood(protocol, port, headers, signal);
    return performance.now() - startedAt;
  };
  try {
    const [h1Ms, grpcMs, wsMs] = await Promise.all([
      firstAnswer("h1", h1),
      firstAnswer("grpc", grpc),
      firstAnswer("ws", ws),
    ]);
    const allMs = Math.max(h1Ms, grpcMs, wsMs);
    const { cpuUs, peakBytes } = await readUsage(running.pid, bench.tickUs);
    entry.samples.push({ h1Ms, grpcMs, wsMs, allMs, cpuMs: cpuUs / 1000, peakBytes });
    bench.say(`${row.name}  ${entry.contender.name}  ${allMs.toFixed(0)} ms`);
  } finally {
    await bench.programs.stop(running);
  }
}
