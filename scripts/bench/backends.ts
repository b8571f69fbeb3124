import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Programs } from "./programs.ts";

/** Ports of the workers that every contender stands in front of. */
export interface Backends {
  readonly http: number;
  readonly grpc: number;
  readonly ws: number;
}

/** Starts the project's own workers. Resolves when all listen. */
export async function startBackends(programs: Programs, signal: AbortSignal): Promise<Backends> {
  const [http, grpc, ws] = await Promise.all([
    startWorker("http", programs, signal),
    startWorker("grpc", programs, signal),
    startWorker("ws", programs, signal),
  ]);
  return { http, grpc, ws };
}

/** A worker chooses a free port and says which, in its first line. */
async function startWorker(name: string, programs: Programs, signal: AbortSignal): Promise<number> {
  const running = programs.start({
    file: process.execPath,
    args: [new URL(`../../services/${name}/main.ts`, import.meta.url).pathname],
    env: { PORT: "0" },
  });
  const lines = createInterface({ input: running.stdout });
  const died = running.ended.then(({ words }) => {
    throw new Error(`the ${name} worker ${words}`);
  });
  // It ends when it is stopped, too, long after anyone waits for its first line.
  died.catch(() => {});
  const [line] = (await Promise.race([once(lines, "line", { signal }), died])) as [string];
  const { port } = JSON.parse(line) as { port: number };
  return port;
}
