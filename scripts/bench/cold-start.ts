import type { Call } from "./calls.ts";
import { GRPC_PING, PING_H1, PING_PONG_H1 } from "./calls.ts";
import type { Contender } from "./contender.ts";
import type { Bench } from "./measure.ts";
import { whileRunning } from "./measure.ts";
import { readUsage } from "./process-tree.ts";
import { untilGood } from "./probe.ts";
import type { ColdStartRow } from "./rows.ts";
import type { Entry } from "./runners.ts";
import { NOT_SUPPORTED, attempt, emptyEntry } from "./runners.ts";
import { inTurn } from "./statistics.ts";

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

/** Measures the cold start of every contender, once in each round, in changing order. */
export async function runColdStartRow(
  row: ColdStartRow,
  contenders: readonly Contender[],
  bench: Bench,
): Promise<Entry<ColdStart>[]> {
  const entries = contenders.map((contender) => emptyEntry<ColdStart>(contender));
  // The clients, too, are slow the first time.
  const { http, grpc, ws } = bench.site.backends;
  await Promise.all([
    untilGood(PING_H1, http, {}, bench.signal),
    untilGood(GRPC_PING, grpc, {}, bench.signal),
    untilGood(PING_PONG_H1, ws, {}, bench.signal),
  ]);
  for (let round = 0; round < bench.rounds; round++) {
    for (const entry of inTurn(entries, round)) {
      await attempt(row, entry, bench, () => start(row, entry, bench));
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
  const firstAnswer = async (call: Call, port: number): Promise<number> => {
    await untilGood(call, port, headers, signal);
    return performance.now() - startedAt;
  };
  try {
    const [h1Ms, grpcMs, wsMs] = await Promise.all([
      firstAnswer(PING_H1, h1),
      firstAnswer(GRPC_PING, grpc),
      firstAnswer(PING_PONG_H1, ws),
    ]);
    const allMs = Math.max(h1Ms, grpcMs, wsMs);
    const { cpuUs, peakBytes } = await readUsage(running.pid, bench.tickUs);
    entry.samples.push({ h1Ms, grpcMs, wsMs, allMs, cpuMs: cpuUs / 1000, peakBytes });
    bench.say(`${row.name}  ${entry.contender.name}  ${allMs.toFixed(0)} ms`);
  } finally {
    await bench.programs.stop(running);
  }
}
