import type { Part } from "../report/progress.ts";
import type { Options } from "./options.ts";
import { contendersFor } from "./options.ts";
import type { Row } from "./rows.ts";

/** Seconds of what comes with a run, with a start, and of what takes as long whatever the options. */
const RUN = 0.4;
const START = 0.5;
const IDLE = 20;
const COLD_START = 0.6;

/** How long a row is expected to take, and how many lines are said meanwhile. */
export function partOf(row: Row, options: Options): Part {
  const { seconds, rounds, warmUp, soakMinutes } = options;
  const contenders = contendersFor(row, options).length;
  const part = (each: number, lines: number): Part => ({
    name: row.name,
    seconds: contenders * each,
    lines: contenders * lines,
  });
  const run = seconds + RUN;
  switch (row.kind) {
    case "load":
      return part(START + warmUp + RUN + rounds * run, 1 + rounds);
    case "latency":
      return part(START + 2 * (warmUp + RUN) + run + rounds * (3 * seconds + RUN), 3 + rounds);
    case "idle":
      return part(IDLE, 1);
    case "cold-start":
      return part(rounds * COLD_START, rounds);
    case "soak":
      return part(60 * soakMinutes, 6 * soakMinutes);
  }
}
