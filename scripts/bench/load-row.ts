import type { Contender } from "./contender.ts";
import type { Bench, Sample } from "./measure.ts";
import { measure } from "./measure.ts";
import type { LoadRow } from "./rows.ts";
import type { Entry } from "./runners.ts";
import { inRounds, withRunners } from "./runners.ts";

/** Measures as much load as each contender takes. */
export function runLoadRow(
  row: LoadRow,
  contenders: readonly Contender[],
  bench: Bench,
): Promise<Entry<Sample>[]> {
  return withRunners<Sample>(row, contenders, bench, (runners) =>
    inRounds(row, runners, bench, (started) => measure(row.work, started, bench), inWords),
  );
}

function inWords({ cpuUs, perSecond }: Sample): string {
  return `${cpuUs === undefined ? "" : `${cpuUs.toFixed(1)} µs CPU, `}${Math.round(perSecond)}/s`;
}
