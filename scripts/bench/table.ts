import type { Bar, Chart, Section } from "../report/report.ts";
import type { Row } from "./rows.ts";
import type { Entry } from "./runners.ts";
import { median } from "./statistics.ts";

/** Characters of what a foreign program says of its end. */
const LONGEST_PROBLEM = 160;

/** A column of a table: its title, and the text for one contender. */
export type Column<S> = readonly [title: string, cell: (samples: readonly S[]) => string];

/** A row of the benchmark as a section of the report. `remarks` follow the table. */
export function section<S>(
  { name, doc }: Row,
  entries: readonly Entry<S>[],
  columns: readonly Column<S>[],
  charts: readonly Chart[],
  remarks: readonly string[] = [],
): Section {
  const rows = entries.map(({ contender, problem, samples }) => {
    const cells =
      problem === undefined
        ? columns.map(([, cell]) => cell(samples))
        : [problem.slice(0, LONGEST_PROBLEM), ...columns.slice(1).map(() => "")];
    return [contender.name, ...cells];
  });
  return { name, note: doc, columns: ["", ...columns.map(([title]) => title)], rows, charts, remarks };
}

/** A chart with a bar for each contender that has a number: the median, as the table has it, and the range. */
export function chartOf<S>(
  title: string,
  entries: readonly Entry<S>[],
  digits: number,
  value: (sample: S) => number,
): Chart {
  return chart(title, entries, digits, value, median);
}

/** The same with the greatest value. */
export function chartOfGreatest<S>(
  title: string,
  entries: readonly Entry<S>[],
  digits: number,
  value: (sample: S) => number,
): Chart {
  return chart(title, entries, digits, value, (values) => Math.max(...values));
}

function chart<S>(
  title: string,
  entries: readonly Entry<S>[],
  digits: number,
  valueOf: (sample: S) => number,
  pick: (values: readonly number[]) => number,
): Chart {
  const bars = entries
    .filter(({ problem }) => problem === undefined)
    .map(({ contender: { name }, samples }): Bar => {
      const values = samples.map(valueOf);
      const value = pick(values);
      return {
        name,
        value,
        text: fixed(value, digits),
        isOurs: name.startsWith("oneport"),
        ...(values.length > 1 ? { range: [Math.min(...values), Math.max(...values)] as const } : {}),
      };
    });
  return { title, bars: bars.filter(({ value }) => Number.isFinite(value)) };
}

/** A column with the median over the rounds. */
export function middleOf<S>(title: string, digits: number, value: (sample: S) => number): Column<S> {
  return [title, (samples) => fixed(middle(samples, value), digits)];
}

/** A column with the least and the greatest value. */
export function rangeOf<S>(title: string, digits: number, value: (sample: S) => number): Column<S> {
  return [
    title,
    (samples) => {
      const values = samples.map(value);
      const [least, greatest] = [Math.min(...values), Math.max(...values)];
      return Number.isNaN(least) ? "–" : `${fixed(least, digits)}–${fixed(greatest, digits)}`;
    },
  ];
}

/** A column with the greatest value. */
export function greatestOf<S>(title: string, digits: number, value: (sample: S) => number): Column<S> {
  return [title, (samples) => fixed(Math.max(...samples.map(value)), digits)];
}

/** A column that compares to the least cost among the peers that have one. */
export function toBestPeer<S>(entries: readonly Entry<S>[], cost: (sample: S) => number): Column<S> {
  const costs = entries
    .filter(({ contender, problem }) => contender.peer !== undefined && problem === undefined)
    .map(({ samples }) => middle(samples, cost));
  const least = costs.length === 0 ? Number.NaN : Math.min(...costs);
  return ["÷ best peer", (samples) => fixed(middle(samples, cost) / least, 2)];
}

export function middle<S>(samples: readonly S[], value: (sample: S) => number): number {
  return median(samples.map(value));
}

/** An en dash where there is no number. */
export function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

export function mebibytes(bytes: number): number {
  return bytes / 2 ** 20;
}
