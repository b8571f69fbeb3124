import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Call } from "./calls.ts";
import type { Programs, Running } from "./programs.ts";
import { WORKER_FLAGS } from "../start/flags.ts";

/** Ports of what a contender stands in front of. */
export interface Backends {
  readonly http: number;
  readonly grpc: number;
  readonly ws: number;
}

/** Where a call is to be answered, and the call as it is to be made there. */
export interface Served {
  readonly backends: Backends;
  readonly call: Call;
}

/** What stands behind all contenders for a whole run. */
export interface Backing {
  /** For the report: what it is. */
  readonly doc: string;
  serve(call: Call): Served;
}

/** Starts the project's own workers, as `npm start` does. Resolves when all listen. */
export async function startWorkers(programs: Programs, signal: AbortSignal): Promise<Backends> {
  const services = new URL("../../services/", import.meta.url).pathname;
  const start = async (name: keyof typeof WORKER_FLAGS): Promise<number> =>
    (await startOwn(`${services}${name}/main.ts`, programs, signal, WORKER_FLAGS[name])).port;
  const [http, grpc, ws] = await Promise.all([start("http"), start("grpc"), start("ws")]);
  return { http, grpc, ws };
}

/** Starts a server of ours, which takes a free port and says which, in JSON in its first line. */
export async function startOwn(
  file: string,
  programs: Programs,
  signal: AbortSignal,
  flags: readonly string[] = [],
): Promise<{ running: Running; port: number }> {
  const running = programs.start({ file: process.execPath, args: [...flags, file], env: { PORT: "0" } });
  const line = await firstLine(file, running, signal);
  const { port } = JSON.parse(line) as { port: number };
  return { running, port };
}

/** The first line that a program says. Rejects when it ends before. */
export async function firstLine(name: string, running: Running, signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: running.stdout });
  const died = running.ended.then(({ words }) => {
    throw new Error(`${name} ${words}`);
  });
  // It ends when it is stopped, too, long after anyone waits for its first line.
  died.catch(() => {});
  const [line] = (await Promise.race([once(lines, "line", { signal }), died])) as [string];
  return line;
}

/** The project's own workers behind everything. */
export function workersOnly(backends: Backends): Backing {
  return {
    doc: "`--backends workers`: the project's own workers (`services/`) behind every row",
    serve: (call) => ({ backends, call }),
  };
}
