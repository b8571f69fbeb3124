import type { Row } from "./rows.ts";
import type { Entry } from "./runners.ts";
import { median } from "./statistics.ts";

/** A column of a table: its title, and the text for one contender. */
export type Column<S> = readonly [title: string, cell: (samples: readonly S[]) => string];

/** A row of the benchmark as a section of markdown. `notes` follow the table. */
export function section<S>(
  { name, doc }: Row,
  entries: readonly Entry<S>[],
  columns: readonly Column<S>[],
  notes: readonly string[] = [],
): string {
  const lines = entries.map(({ contender, problem, samples }) => {
    const cells =
      problem === undefined
        ? columns.map(([, cell]) => cell(samples))
        : [inCell(problem), ...columns.slice(1).map(() => "")];
    return [contender.name, ...cells];
  });
  const head = [
    ["", ...columns.map(([title]) => title)],
    ["---", ...columns.map(() => "---:")],
  ];
  const table = [...head, ...lines].map((line) => `| ${line.join(" | ")} |`).join("\n");
  return `\n## ${name}\n\n${doc}\n\n${table}\n${notes.map((note) => `\n${note}\n`).join("")}`;
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

/** Text of a foreign program, fit for one cell. */
function inCell(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").slice(0, 160);
}
