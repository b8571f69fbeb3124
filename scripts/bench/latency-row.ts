import type { Contender } from "./contender.ts";
import type { Bench, Sample, Started } from "./measure.ts";
import { measure } from "./measure.ts";
import type { LatencyRow } from "./rows.ts";
import type { Entry, Runner } from "./runners.ts";
import { attempt, inRounds, warmUp, withRunners } from "./runners.ts";

/** One run at the rate, and the peak that the contender had reached before. */
export interface LatencySample extends Sample {
  readonly peakPerSecond: number;
}

/**
 * How many times as long its runs are. Between two of them connections to the worker are closed, and the first burst opens them
 * again: in a run of a second that is more than the hundredth of the requests that p99 leaves out.
 */
const LONGER = 3;

/** A rate is kept when no more than this share of it is missing. */
const KEPT = 0.95;

/**
 * Measures latency at one rate for all: half of the lowest peak among them. The same rate for all is what makes their
 * latencies comparable; half of a peak is what a service that is not overloaded sees.
 */
export async function runLatencyRow(
  row: LatencyRow,
  contenders: readonly Contender[],
  bench: Bench,
): Promise<{ entries: Entry<LatencySample>[]; rate: number }> {
  let rate = Number.NaN;
  const entries = await withRunners<LatencySample>(row, contenders, bench, async (runners) => {
    const peaks = await findPeaks(row, runners, bench);
    rate = Math.floor(Math.min(...peaks.values()) / 2);
    const sample = async (started: Started): Promise<LatencySample> => {
      const taken = await measure(row.work, started, { ...bench, seconds: bench.seconds * LONGER }, rate);
      if (taken.perSecond < rate * KEPT)
        throw new Error(`kept up with ${Math.round(taken.perSecond)}/s only`);
      return { ...taken, peakPerSecond: peaks.get(started) ?? Number.NaN };
    };
    // Half of the peak uses, and gets compiled, what the peak does not: much time passes between two requests.
    for (const runner of runners) await attempt(row, runner, bench, () => warmUp(row, runner, bench, rate));
    await inRounds(row, runners, bench, sample, ({ p99Ms }) => `p99 ${p99Ms.toFixed(2)} ms at ${rate}/s`);
  });
  return { entries, rate };
}

/** Requests per second that each takes. */
async function findPeaks(
  row: LatencyRow,
  runners: readonly Runner<LatencySample>[],
  bench: Bench,
): Promise<Map<Started, number>> {
  const peaks = new Map<Started, number>();
  for (const runner of runners) {
    await attempt(row, runner, bench, async () => {
      if (runner.started === undefined) return;
      const { perSecond } = await measure(row.work, runner.started, bench);
      peaks.set(runner.started, perSecond);
      bench.say(`${row.name}  ${runner.contender.name}  peak: ${Math.round(perSecond)}/s`);
    });
  }
  return peaks;
}
