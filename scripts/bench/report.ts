import type { ColdStart } from "./cold-start.ts";
import type { Entry } from "./load-row.ts";
import type { Sample } from "./measure.ts";
import type { Row } from "./rows.ts";
import { median } from "./statistics.ts";

/** How to read the tables, and how they were made. `machine` is a list of what they were made on. */
export function preamble(machine: string, seconds: number, rounds: number): string {
  return `# Benchmarks

Written by \`npm run bench -- --markdown docs/benchmarks.md\`. Absolute numbers hold for one machine on one day; what counts is
how the contenders compare, which is why they run side by side.

${machine}
- each contender ran ${rounds} × ${seconds} s in each row

**Columns.** *CPU µs* is what the proxy costs: user and system time of all its processes and threads during a run, divided by the
requests of that run; *range* is its least and greatest value over the rounds. *÷ best peer* compares it to the cheapest of the
peers (1.00 is as cheap, less is cheaper). *p50* and *p99* are latencies as the client sees them, and *peak RSS* is the most
memory the processes had resident. *direct* has no proxy: it shows what the workers and the load generator can do.

**Method.** All contenders stand in front of the same three workers (those in \`services/\`), on loopback, with one process or thread
for the data path and without logs. The peers are told no more than to forward, and get a port for each protocol where that is less
work for them; oneport tells the protocols apart on one port, rewrites the forwarding headers, and with *oneport-auth* verifies
an ID token, which only its requests carry, as a header of about 700 bytes. For each row all contenders are started anew and warmed up
with a run that does not count. Then every contender runs once in each round, in rotated order, never two at a time; a cell is the median
over the rounds. HTTP and gRPC load comes from h2load, WebSocket load from a generator of our own. Connections are opened within
the run. A run in which a request failed, or in which bytes of the replies are missing, gives an error, not a number.
Workers, proxy and load generator share the machine, so requests per second say more about the workers than about a proxy.
`;
}

/** A load row as a section of markdown. */
export function loadSection(row: Row, entries: readonly Entry<Sample>[]): string {
  return section(
    row,
    ["CPU µs", "range", "÷ best peer", "requests/s", "p50 ms", "p99 ms", "peak RSS MiB"],
    entries,
    ({ samples }) => [
      fixed(middle(samples, cpuOf), 1),
      range(samples.map(cpuOf)),
      fixed(middle(samples, cpuOf) / bestPeer(entries, cpuOf), 2),
      fixed(
        middle(samples, (sample) => sample.perSecond),
        0,
      ),
      fixed(
        middle(samples, (sample) => sample.p50Ms),
        2,
      ),
      fixed(
        middle(samples, (sample) => sample.p99Ms),
        2,
      ),
      fixed(mebibytes(Math.max(...samples.map((sample) => sample.peakBytes ?? Number.NaN))), 0),
    ],
  );
}

/** The cold start as a section of markdown. */
export function coldStartSection(row: Row, entries: readonly Entry<ColdStart>[]): string {
  return section(
    row,
    ["HTTP ms", "gRPC ms", "WebSocket ms", "all ms", "÷ best peer", "CPU ms", "peak RSS MiB"],
    entries,
    ({ samples }) => [
      fixed(
        middle(samples, (sample) => sample.h1Ms),
        0,
      ),
      fixed(
        middle(samples, (sample) => sample.grpcMs),
        0,
      ),
      fixed(
        middle(samples, (sample) => sample.wsMs),
        0,
      ),
      fixed(middle(samples, timeOf), 0),
      fixed(middle(samples, timeOf) / bestPeer(entries, timeOf), 2),
      fixed(
        middle(samples, (sample) => sample.cpuMs),
        0,
      ),
      fixed(mebibytes(middle(samples, (sample) => sample.peakBytes)), 0),
    ],
  );
}

function cpuOf({ cpuUs }: Sample): number {
  return cpuUs ?? Number.NaN;
}

function timeOf({ allMs }: ColdStart): number {
  return allMs;
}

function section<S>(
  row: Row,
  columns: readonly string[],
  entries: readonly Entry<S>[],
  cells: (entry: Entry<S>) => string[],
): string {
  const lines = entries.map((entry) => {
    const { contender, problem } = entry;
    const values =
      problem === undefined ? cells(entry) : [inCell(problem), ...columns.slice(1).map(() => "")];
    return [contender.name, ...values];
  });
  const table = [["", ...columns], ["---", ...columns.map(() => "---:")], ...lines];
  return `\n## ${row.name}\n\n${row.doc}\n\n${table.map((line) => `| ${line.join(" | ")} |`).join("\n")}\n`;
}

/** The least cost among the peers that have one; NaN when none has. */
function bestPeer<S>(entries: readonly Entry<S>[], cost: (sample: S) => number): number {
  const costs = entries
    .filter(({ contender, problem }) => contender.peer !== undefined && problem === undefined)
    .map(({ samples }) => middle(samples, cost));
  return costs.length === 0 ? Number.NaN : Math.min(...costs);
}

function middle<S>(samples: readonly S[], value: (sample: S) => number): number {
  return median(samples.map(value));
}

function range(values: readonly number[]): string {
  const [least, greatest] = [Math.min(...values), Math.max(...values)];
  return Number.isNaN(least) ? "–" : `${fixed(least, 1)}–${fixed(greatest, 1)}`;
}

function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

function mebibytes(bytes: number): number {
  return bytes / 2 ** 20;
}

/** Text of a foreign program, fit for one cell. */
function inCell(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").slice(0, 160);
}
