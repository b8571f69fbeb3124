import type { Contender } from "./contender.ts";
import type { Bench, Started } from "./measure.ts";
import { measure, startContender } from "./measure.ts";
import type { LatencyRow, LoadRow } from "./rows.ts";
import { inTurn } from "./statistics.ts";

/** A contender's part in one row. */
export interface Entry<S> {
  readonly contender: Contender;
  readonly samples: S[];
  /** Why there is no number. */
  problem: string | undefined;
}

/** A contender that runs for as long as its row is measured; not once it has a problem. */
export interface Runner<S> extends Entry<S> {
  started: Started | undefined;
}

export const NOT_SUPPORTED = "not supported";

export function emptyEntry<S>(contender: Contender): Entry<S> {
  return { contender, samples: [], problem: undefined };
}

/** One contender's failure is noted, and the others go on; being asked to stop ends all. */
export async function attempt(
  row: { readonly name: string },
  entry: Entry<unknown>,
  { signal, say }: Bench,
  act: () => Promise<void>,
): Promise<void> {
  if (entry.problem !== undefined) return;
  try {
    await act();
  } catch (thrown) {
    signal.throwIfAborted();
    entry.problem = `error: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  }
  if (entry.problem !== undefined) say(`${row.name}  ${entry.contender.name}  ${entry.problem}`);
}

/** Starts all contenders and warms them up, lets `act` measure them, and stops them whatever happens. */
export async function withRunners<S>(
  row: LoadRow | LatencyRow,
  contenders: readonly Contender[],
  bench: Bench,
  act: (runners: readonly Runner<S>[]) => Promise<void>,
): Promise<Entry<S>[]> {
  const runners = contenders.map((contender): Runner<S> => ({
    ...emptyEntry(contender),
    started: undefined,
  }));
  try {
    for (const runner of runners) await attempt(row, runner, bench, () => start(row, runner, bench));
    await act(runners);
    return runners;
  } finally {
    for (const { started } of runners) {
      if (started?.running !== undefined) await bench.programs.stop(started.running);
    }
  }
}

/** Takes one sample of every contender in every round, in changing order. */
export async function inRounds<S>(
  row: LoadRow | LatencyRow,
  runners: readonly Runner<S>[],
  bench: Bench,
  sample: (started: Started) => Promise<S>,
  words: (sample: S) => string,
): Promise<void> {
  for (let round = 0; round < bench.rounds; round++) {
    for (const runner of inTurn(runners, round)) {
      await attempt(row, runner, bench, async () => {
        if (runner.started === undefined) return;
        const taken = await sample(runner.started);
        runner.samples.push(taken);
        const at = `${row.name}  ${runner.contender.name}  round ${round + 1}/${bench.rounds}`;
        bench.say(`${at}: ${words(taken)}`);
      });
    }
  }
}

async function start<S>(row: LoadRow | LatencyRow, runner: Runner<S>, bench: Bench): Promise<void> {
  runner.started = await startContender(runner.contender, row.work.call, bench);
  if (runner.started === undefined) {
    runner.problem = NOT_SUPPORTED;
    return;
  }
  await warmUp(row, runner, bench);
}

/** A run that does not count. */
export async function warmUp(
  row: LoadRow | LatencyRow,
  { contender, started }: Runner<unknown>,
  bench: Bench,
  rate?: number,
): Promise<void> {
  if (started === undefined) return;
  bench.say(`${row.name}  ${contender.name}  warm-up${rate === undefined ? "" : ` at ${rate}/s`}`);
  await measure(row.work, started, { ...bench, seconds: bench.warmUp }, rate);
}
