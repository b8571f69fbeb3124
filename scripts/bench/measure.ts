import type { Contender, Launch, Site } from "./contender.ts";
import type { Generator, Load } from "./h2load.ts";
import { OVERTIME_MS, runH2load } from "./h2load.ts";
import { readUsage } from "./process-tree.ts";
import type { Running } from "./programs.ts";
import type { Headers } from "./probe.ts";
import { probe, untilGood } from "./probe.ts";
import type { LoadRow } from "./rows.ts";
import type { WsOrder } from "./ws-load.ts";

/** What every measurement needs. */
export interface Bench extends Generator {
  readonly site: Site;
  readonly tickUs: number;
  readonly seconds: number;
  readonly rounds: number;
  /** Tells how far it is. */
  readonly say: (line: string) => void;
}

/** A contender that answers. */
export interface Started {
  readonly launch: Launch;
  readonly port: number;
  readonly running: Running | undefined;
}

/** One run. What a proxy used is undefined where there is none. */
export interface Sample extends Load {
  readonly cpuUs: number | undefined;
  readonly peakBytes: number | undefined;
}

/** Starts a contender and waits for its first good answer. Undefined when it does not offer the row's protocol. */
export async function startContender(
  contender: Contender,
  row: LoadRow,
  bench: Bench,
): Promise<Started | undefined> {
  const launch = await contender.prepare(bench.site);
  const port = launch.ports[row.protocol];
  if (port === undefined) return undefined;
  const running = launch.program && bench.programs.start(launch.program);
  running?.stdout.resume();
  try {
    await untilGood(row.protocol, port, launch.headers, whileRunning(running, bench.signal));
    if (contender.guarded) await mustRefuse(row, port);
    return { launch, port, running };
  } catch (thrown) {
    if (running !== undefined) await bench.programs.stop(running);
    throw thrown;
  }
}

/** Runs the row's load on a contender, and reads what the contender used for it. */
export async function measure(row: LoadRow, started: Started, bench: Bench): Promise<Sample> {
  const { launch, port, running } = started;
  const usage = () => (running === undefined ? undefined : readUsage(running.pid, bench.tickUs));
  const before = await usage();
  const load = await generate(row, port, launch.headers, {
    ...bench,
    signal: whileRunning(running, bench.signal),
  });
  const after = await usage();
  const spentUs = after === undefined || before === undefined ? undefined : after.cpuUs - before.cpuUs;
  return {
    ...load,
    cpuUs: spentUs === undefined ? undefined : spentUs / load.requests,
    peakBytes: after?.peakBytes,
  };
}

function generate(row: LoadRow, port: number, headers: Headers, bench: Bench): Promise<Load> {
  if (row.protocol !== "ws") return runH2load(row, port, headers, bench.seconds, bench);
  return runWsLoad(
    { url: `ws://127.0.0.1:${port}/ws`, connections: row.connections, seconds: bench.seconds, headers },
    bench,
  );
}

async function runWsLoad(order: WsOrder, { programs, signal }: Bench): Promise<Load> {
  const main = new URL("ws-load.ts", import.meta.url).pathname;
  const program = { file: process.execPath, args: [main, JSON.stringify(order)], env: {} };
  const output = await programs.run(program, order.seconds * 1000 + OVERTIME_MS, signal);
  return JSON.parse(output) as Load;
}

/** A signal that also tells, with the reason, when the program has ended: nothing more is to be had from it then. */
export function whileRunning(running: Running | undefined, signal: AbortSignal): AbortSignal {
  const died = new AbortController();
  void running?.ended.then(({ words }) => died.abort(new Error(words)));
  return AbortSignal.any([signal, died.signal]);
}

/** A door that is open to everyone would make the price of authentication look small. */
async function mustRefuse(row: LoadRow, port: number): Promise<void> {
  const answered = await probe(row.protocol, port, {}).then(
    () => true,
    () => false,
  );
  if (answered) throw new Error("answers requests without a token");
}
