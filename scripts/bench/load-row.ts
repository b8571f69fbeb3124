import type { Contender } from "./contender.ts";
import type { Bench, Sample, Started } from "./measure.ts";
import { measure, startContender } from "./measure.ts";
import type { LoadRow } from "./rows.ts";
import { rotated } from "./statistics.ts";

/** A contender's part in one row. */
export interface Entry<S> {
  readonly contender: Contender;
  readonly samples: S[];
  /** Why there is no number. */
  problem: string | undefined;
}

interface Runner extends Entry<Sample> {
  started: Started | undefined;
}

export const NOT_SUPPORTED = "not supported";

/** Measures one row: all contenders are started and warmed up, then each runs once in every round, in rotated order. */
export async function runLoadRow(
  row: LoadRow,
  contenders: readonly Contender[],
  bench: Bench,
): Promise<Entry<Sample>[]> {
  const runners = contenders.map((contender): Runner => ({
    contender,
    samples: [],
    problem: undefined,
    started: undefined,
  }));
  try {
    for (const runner of runners) await attempt(row, runner, bench, () => warmUp(row, runner, bench));
    for (let round = 0; round < bench.rounds; round++) {
      for (const runner of rotated(runners, round)) {
        await attempt(row, runner, bench, () => runOnce(row, runner, round, bench));
      }
    }
    return runners;
  } finally {
    for (const { started } of runners) {
      if (started?.running !== undefined) await bench.programs.stop(started.running);
    }
  }
}

/** One contender's failure is noted, and the others go on; being asked to stop ends all. */
async function attempt(
  row: LoadRow,
  runner: Runner,
  { signal, say }: Bench,
  act: () => Promise<void>,
): Promise<void> {
  if (runner.problem !== undefined) return;
  try {
    await act();
  } catch (thrown) {
    signal.throwIfAborted();
    runner.problem = `error: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  }
  if (runner.problem !== undefined) say(`${row.name}  ${runner.contender.name}  ${runner.problem}`);
}

async function warmUp(row: LoadRow, runner: Runner, bench: Bench): Promise<void> {
  runner.started = await startContender(runner.contender, row, bench);
  if (runner.started === undefined) {
    runner.problem = NOT_SUPPORTED;
    return;
  }
  bench.say(`${row.name}  ${runner.contender.name}  warm-up`);
  await measure(row, runner.started, bench);
}

async function runOnce(row: LoadRow, runner: Runner, round: number, bench: Bench): Promise<void> {
  if (runner.started === undefined) return;
  const sample = await measure(row, runner.started, bench);
  runner.samples.push(sample);
  const cpu = sample.cpuUs === undefined ? "" : `${sample.cpuUs.toFixed(1)} µs CPU, `;
  bench.say(
    `${row.name}  ${runner.contender.name}  round ${round + 1}/${bench.rounds}: ${cpu}${Math.round(sample.perSecond)}/s`,
  );
}
