import { setTimeout as sleep } from "node:timers/promises";
import { firstLine, startOwn } from "./backends.ts";
import { PING_PONG_H1, webSocketUrl } from "./calls.ts";
import type { Contender } from "./contender.ts";
import { mostFiles, withFileLimit } from "./file-limit.ts";
import type { IdleOrder } from "./generators/ws-idle.ts";
import type { Bench, Started } from "./measure.ts";
import { startContender, whileRunning } from "./measure.ts";
import { readUsage } from "./process-tree.ts";
import type { IdleRow } from "./rows.ts";
import type { Entry } from "./runners.ts";
import { NOT_SUPPORTED, attempt, emptyEntry } from "./runners.ts";

/** Resident bytes of all processes of a contender, without and with the WebSockets. */
export interface Idle {
  readonly sockets: number;
  readonly beforeBytes: number;
  readonly afterBytes: number;
}

/** Files that a contender has open beside two for every WebSocket. */
const SPARE_FILES = 400;
/** Connections beside those that are counted. */
const SPARE_CONNECTIONS = 50;
/** Milliseconds from the last handshake to the reading: buffers and garbage of the handshakes are gone by then. */
const SETTLE_MS = 5000;

/** Measures what silent WebSockets cost in memory: every contender once, each with a backend of its own. */
export async function runIdleRow(
  row: IdleRow,
  contenders: readonly Contender[],
  bench: Bench,
): Promise<{ entries: Entry<Idle>[]; sockets: number }> {
  const files = mostFiles(2 * row.sockets + SPARE_FILES);
  const sockets = Math.min(row.sockets, Math.floor((files - SPARE_FILES) / 2));
  const entries = contenders.map((contender) => emptyEntry<Idle>(contender));
  for (const entry of entries) {
    await attempt(row, entry, bench, () => measureIdle(row, entry, sockets, files, bench));
  }
  return { entries, sockets };
}

async function measureIdle(
  row: IdleRow,
  entry: Entry<Idle>,
  sockets: number,
  files: number,
  bench: Bench,
): Promise<void> {
  const main = new URL("backends/idle.ts", import.meta.url).pathname;
  const backend = await startOwn(main, bench.programs, bench.signal);
  let started: Started | undefined;
  try {
    started = await startContender(roomy(entry.contender, files), PING_PONG_H1, {
      ...bench,
      site: { ...bench.site, connections: sockets + SPARE_CONNECTIONS },
      backing: {
        doc: "",
        serve: (call) => ({ backends: { ...bench.site.backends, ws: backend.port }, call }),
      },
    });
    if (started?.running === undefined) entry.problem = NOT_SUPPORTED;
    else entry.samples.push(await hold(sockets, started, started.running.pid, bench));
    for (const { beforeBytes, afterBytes } of entry.samples) {
      const kibEach = (afterBytes - beforeBytes) / sockets / 1024;
      bench.say(`${row.name}  ${entry.contender.name}  ${sockets} open: ${kibEach.toFixed(1)} KiB each`);
    }
  } finally {
    if (started?.running !== undefined) await bench.programs.stop(started.running);
    await bench.programs.stop(backend.running);
  }
}

/** The contender, started with so many files. */
function roomy(contender: Contender, files: number): Contender {
  return {
    ...contender,
    async prepare(site) {
      const launch = await contender.prepare(site);
      return { ...launch, program: launch.program && withFileLimit(launch.program, files) };
    },
  };
}

/** Opens the WebSockets, reads the contender's memory, and sees that all of them are still alive. */
async function hold(sockets: number, { launch, port }: Started, pid: number, bench: Bench): Promise<Idle> {
  const { programs, tickUs } = bench;
  const order: IdleOrder = { url: webSocketUrl(port), sockets, headers: launch.headers };
  const main = new URL("generators/ws-idle.ts", import.meta.url).pathname;
  const before = await readUsage(pid, tickUs);
  const generator = programs.start({ file: process.execPath, args: [main, JSON.stringify(order)], env: {} });
  try {
    const signal = whileRunning(generator, bench.signal);
    await firstLine("the generator", generator, signal);
    await sleep(SETTLE_MS, undefined, { signal });
    const after = await readUsage(pid, tickUs);
    process.kill(generator.pid, "SIGUSR2");
    const { code, words } = await generator.ended;
    if (code !== 0) throw new Error(`the generator ${words}`);
    return { sockets, beforeBytes: before.residentBytes, afterBytes: after.residentBytes };
  } finally {
    await programs.stop(generator);
  }
}
