import type { Backing } from "./backends.ts";
import type { Call } from "./calls.ts";
import type { Contender, Launch, Site } from "./contender.ts";
import type { WsOrder } from "./generators/ws-load.ts";
import type { Generator, Load } from "./h2load.ts";
import { OVERTIME_MS, runH2load } from "./h2load.ts";
import { readUsage } from "./process-tree.ts";
import type { Running } from "./programs.ts";
import { probe, untilGood } from "./probe.ts";
import type { Work } from "./rows.ts";

/** What every measurement needs. */
export interface Bench extends Generator {
  /** With the project's workers as backends. */
  readonly site: Site;
  readonly backing: Backing;
  readonly tickUs: number;
  readonly seconds: number;
  readonly rounds: number;
  /** Seconds of load before the runs that count: what is used often is compiled meanwhile, where a runtime does that. */
  readonly warmUp: number;
  /** Tells how far it is. */
  readonly say: (line: string) => void;
}

/** A contender that answers. */
export interface Started {
  readonly launch: Launch;
  readonly port: number;
  /** As it has to be made with the backends of this run. */
  readonly call: Call;
  readonly running: Running | undefined;
}

/** One run. What a proxy used is undefined where there is none. */
export interface Sample extends Load {
  readonly cpuUs: number | undefined;
  readonly peakBytes: number | undefined;
}

/** Starts a contender in front of what is to answer the call, and waits for the first good answer to it. Undefined when it does not offer the protocol. */
export async function startContender(
  contender: Contender,
  wanted: Call,
  bench: Bench,
): Promise<Started | undefined> {
  const { backends, call } = bench.backing.serve(wanted);
  const launch = await contender.prepare({ ...bench.site, backends });
  const port = launch.ports[call.protocol];
  if (port === undefined) return undefined;
  const running = launch.program && bench.programs.start(launch.program);
  running?.stdout.resume();
  try {
    await untilGood(call, port, launch.headers, whileRunning(running, bench.signal));
    if (contender.guarded) await mustRefuse(call, port);
    return { launch, port, call, running };
  } catch (thrown) {
    if (running !== undefined) await bench.programs.stop(running);
    throw thrown;
  }
}

/** Loads a contender, as much as it takes or at a rate, and reads what it used for it. */
export async function measure(work: Work, started: Started, bench: Bench, rate?: number): Promise<Sample> {
  const { running } = started;
  const usage = () => (running === undefined ? undefined : readUsage(running.pid, bench.tickUs));
  const before = await usage();
  const signal = whileRunning(running, bench.signal);
  const load = await generate(work, started, rate, { ...bench, signal });
  const after = await usage();
  const spentUs = after === undefined || before === undefined ? undefined : after.cpuUs - before.cpuUs;
  return {
    ...load,
    cpuUs: spentUs === undefined ? undefined : spentUs / load.requests,
    peakBytes: after?.peakBytes,
  };
}

/** Makes the calls of some work for the length of a run. */
export function generate(
  { connections, streams }: Work,
  { call, port, launch }: Started,
  rate: number | undefined,
  bench: Bench,
): Promise<Load> {
  const order = { port, connections, streams, seconds: bench.seconds, headers: launch.headers };
  if (call.protocol === "ws" || call.protocol === "ws-h2") {
    return runWsLoad({ ...order, protocol: call.protocol }, bench);
  }
  return runH2load({ ...order, call, rate }, bench);
}

async function runWsLoad(order: WsOrder, { programs, signal }: Bench): Promise<Load> {
  const main = new URL("generators/ws-load.ts", import.meta.url).pathname;
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
async function mustRefuse(call: Call, port: number): Promise<void> {
  const answered = await probe(call, port, {}).then(
    () => true,
    () => false,
  );
  if (answered) throw new Error("answers requests without a token");
}
