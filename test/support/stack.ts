import type { TestContext } from "node:test";
import type { Program } from "./processes.ts";
import { runScript } from "./processes.ts";

type After = Pick<TestContext, "after">;

/** The real workers, a process each: their ports. */
export interface Workers {
  readonly http: number;
  readonly grpc: number;
  readonly ws: number;
}

/** The real workers and the real edge, a process each, on free ports. */
export interface Stack extends Workers {
  readonly port: number;
  readonly url: string;
  readonly edge: Program;
}

/** Starts one of the example workers; answers its port. */
export async function startWorker(
  t: After,
  name: "http" | "grpc" | "ws",
  env: Record<string, string> = {},
): Promise<number> {
  return (await startWorkerProgram(t, name, env)).port;
}

export async function startWorkerProgram(
  t: After,
  name: "http" | "grpc" | "ws",
  env: Record<string, string> = {},
): Promise<{ port: number; program: Program }> {
  const program = runScript(t, `services/${name}/main.ts`, [], { PORT: "0", ...env });
  const said = await program.says(/"port":(\d+)/);
  return { port: Number(said[1]), program };
}

/** Starts one of each. */
export async function startWorkers(t: After): Promise<Workers> {
  const [http, grpc, ws] = await Promise.all([
    startWorker(t, "http"),
    startWorker(t, "grpc"),
    startWorker(t, "ws"),
  ]);
  return { http, grpc, ws };
}

/** The settings by which an edge finds them. */
export function upstreams({ http, grpc, ws }: Workers): Record<string, string> {
  return {
    HTTP_UPSTREAMS: `http://127.0.0.1:${http}`,
    GRPC_UPSTREAMS: `h2c://127.0.0.1:${grpc}`,
    WS_UPSTREAMS: `http://127.0.0.1:${ws}`,
  };
}

/** Starts workers and edge. `env` adds settings; upstreams given there replace the workers started here. */
export async function startStack(t: After, env: Record<string, string> = {}): Promise<Stack> {
  const workers = await startWorkers(t);
  const edge = runScript(t, "edge/main.ts", [], {
    PORT: "0",
    ADMIN_PORT: "0",
    LOG_FORMAT: "json",
    ...upstreams(workers),
    ...env,
  });
  const said = await edge.says(/"port":(\d+)/);
  const port = Number(said[1]);
  return { port, url: `http://127.0.0.1:${port}`, edge, ...workers };
}
