import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HttpCall } from "./calls.ts";
import { GRPC_HEADERS } from "./calls.ts";
import type { Headers } from "./probe.ts";
import type { Programs } from "./programs.ts";
import { readLog, readOutput } from "./h2load-output.ts";
import { percentile } from "./statistics.ts";

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

export interface H2loadOrder {
  readonly call: HttpCall;
  readonly port: number;
  readonly connections: number;
  readonly streams: number;
  readonly seconds: number;
  readonly headers: Headers;
  /** Requests per second over all connections; as many as possible without it. */
  readonly rate: number | undefined;
}

/** Milliseconds beyond the duration of a run after which the generator is given up. */
export const OVERTIME_MS = 15_000;

/** Runs h2load. Rejects unless every request got its whole, good reply. */
export async function runH2load(order: H2loadOrder, { programs, folder, signal }: Generator): Promise<Load> {
  const { call, seconds } = order;
  // Several may run at once, each with a call of its own.
  const own = join(folder, `h2load-${call.protocol}${call.path.replaceAll(/\W/g, "-")}-${call.replyBytes}`);
  const log = `${own}.tsv`;
  if (call.body !== undefined) await writeFile(`${own}.bin`, call.body);
  // It appends to a log that is there already.
  await rm(log, { force: true });
  const program = {
    file: "h2load",
    args: [...argsOf(order, own), `--log-file=${log}`, urlOf(order)],
    env: {},
  };
  const output = await programs.run(program, seconds * 1000 + OVERTIME_MS, signal);
  const counted = readOutput(output, order);
  const times = readLog(await readFile(log, "latin1"), seconds);
  return { ...counted, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
}

function argsOf({ call, connections, streams, seconds, headers, rate }: H2loadOrder, own: string): string[] {
  const all = call.protocol === "grpc" ? { ...GRPC_HEADERS, ...headers } : headers;
  return [
    `--duration=${seconds}`,
    `--clients=${connections}`,
    `--max-concurrent-streams=${streams}`,
    ...Object.entries(all).map(([name, value]) => `--header=${name}: ${value}`),
    ...(call.protocol === "h1" ? ["--h1"] : []),
    ...(call.body === undefined ? [] : [`--data=${own}.bin`]),
    ...(rate === undefined ? [] : [`--rps=${rate / connections}`]),
  ];
}

function urlOf({ call, port }: H2loadOrder): string {
  return `http://127.0.0.1:${port}${call.path}`;
}
