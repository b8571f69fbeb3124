import type { Section } from "../report/report.ts";
import { runColdStartRow } from "./cold-start.ts";
import { runIdleRow } from "./idle-row.ts";
import { runLatencyRow } from "./latency-row.ts";
import { runLoadRow } from "./load-row.ts";
import type { Bench } from "./measure.ts";
import type { Options } from "./options.ts";
import { contendersFor } from "./options.ts";
import type { Row } from "./rows.ts";
import type { Entry } from "./runners.ts";
import { NOT_SUPPORTED } from "./runners.ts";
import { coldStartSection, idleSection, latencySection, loadSection, soakSection } from "./sections.ts";
import { runSoakRow } from "./soak.ts";

/** A row's part of the report, and how many of its cells are errors. */
export interface Measured {
  readonly section: Section;
  readonly problems: number;
}

/** Measures a row with those contenders that take part in it. */
export async function measureRow(row: Row, options: Options, bench: Bench): Promise<Measured> {
  const contenders = contendersFor(row, options);
  switch (row.kind) {
    case "load": {
      const entries = await runLoadRow(row, contenders, bench);
      return { section: loadSection(row, entries), problems: errorsIn(entries) };
    }
    case "latency": {
      const { entries, rate } = await runLatencyRow(row, contenders, bench);
      return { section: latencySection(row, entries, rate), problems: errorsIn(entries) };
    }
    case "idle": {
      const { entries, sockets } = await runIdleRow(row, contenders, bench);
      return { section: idleSection(row, entries, sockets), problems: errorsIn(entries) };
    }
    case "cold-start": {
      const entries = await runColdStartRow(row, contenders, bench);
      return { section: coldStartSection(row, entries), problems: errorsIn(entries) };
    }
    case "soak": {
      const entries = await runSoakRow(row, contenders, options.soakMinutes, bench);
      const growing = entries.filter(({ samples }) => samples.some(({ verdict }) => verdict.grows));
      return { section: soakSection(row, entries), problems: errorsIn(entries) + growing.length };
    }
  }
}

function errorsIn(entries: readonly Entry<unknown>[]): number {
  return entries.filter(({ problem }) => problem !== undefined && problem !== NOT_SUPPORTED).length;
}
