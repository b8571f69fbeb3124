import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Headers } from "./probe.ts";
import { GRPC_PING, REPLY_BYTES } from "./probe.ts";
import type { Programs } from "./programs.ts";
import type { LoadRow } from "./rows.ts";
import { ascending, percentile } from "./statistics.ts";

/** What the load generator saw. */
export interface Load {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Generator {
  readonly programs: Programs;
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** Milliseconds beyond the duration of a run after which the generator is given up. */
export const OVERTIME_MS = 15_000;

/** Runs h2load for `seconds`. Rejects unless every request got its whole, good reply. */
export async function runH2load(
  row: LoadRow,
  port: number,
  headers: Headers,
  seconds: number,
  { programs, folder, signal }: Generator,
): Promise<Load> {
  const log = join(folder, "h2load.tsv");
  const body = join(folder, "ping.bin");
  await writeFile(body, GRPC_PING);
  const grpc = row.protocol === "grpc";
  const all = grpc ? { "content-type": "application/grpc", te: "trailers", ...headers } : headers;
  const args = [
    `--duration=${seconds}`,
    `--clients=${row.connections}`,
    `--max-concurrent-streams=${row.streams}`,
    `--log-file=${log}`,
    ...Object.entries(all).map(([name, value]) => `--header=${name}: ${value}`),
    ...(row.protocol === "h1" ? ["--h1"] : []),
    ...(grpc ? [`--data=${body}`] : []),
    `http://127.0.0.1:${port}${grpc ? "/Echo/Ping" : "/ping"}`,
  ];
  // It appends to a log that is there already.
  await rm(log, { force: true });
  const output = await programs.run({ file: "h2load", args, env: {} }, seconds * 1000 + OVERTIME_MS, signal);
  const counted = readOutput(output, grpc ? REPLY_BYTES.grpc : REPLY_BYTES.http);
  const times = readLog(await readFile(log, "latin1"));
  return { ...counted, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
}

/** Checks h2load's summary. A gRPC failure is a 200 too, but one without a body: so bytes are counted as well. */
function readOutput(output: string, replyBytes: number): Pick<Load, "requests" | "perSecond"> {
  const read = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  const requests = read(/^requests: .* ([0-9]+) succeeded/m);
  const failed = [/([0-9]+) failed/, /([0-9]+) errored/, /([0-9]+) timeout/].map(read);
  const refused = [/([0-9]+) 3xx/, /([0-9]+) 4xx/, /([0-9]+) 5xx/].map(read);
  const bytes = read(/^traffic: .*\(([0-9]+)\) data$/m);
  if (!(requests > 0)) throw new Error("no request succeeded");
  if (failed.some((count) => count !== 0))
    throw new Error(`requests failed: ${failed.join(", ")} of ${requests}`);
  if (refused.some((count) => count !== 0))
    throw new Error(`replies were no 2xx: ${refused.join(", ")} of ${requests}`);
  if (!(bytes >= requests * replyBytes))
    throw new Error("replies were incomplete, or failures in gRPC's terms");
  return { requests, perSecond: read(/^finished in .*, ([0-9.]+) req\/s/m) };
}

/** Milliseconds of each request, ascending, from h2load's log: start, status and microseconds, separated by tabs. */
function readLog(log: string): Float64Array {
  const lines = log.trimEnd().split("\n");
  return ascending(lines.map((line) => Number(line.slice(line.lastIndexOf("\t") + 1)) / 1000));
}
