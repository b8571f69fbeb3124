import type { TestContext } from "node:test";
import { RawClient } from "./clients.ts";
import { endFamily, freePort } from "./family.ts";
import type { Program } from "./processes.ts";
import { runScript } from "./processes.ts";
import type { Workers } from "./stack.ts";
import { upstreams } from "./stack.ts";

export interface Several {
  readonly program: Program;
  readonly port: number;
  readonly mark: string;
  /** A page of the admin port, and its status. */
  ask(path: string): Promise<[status: number, body: unknown]>;
  /** A page of the admin port that is no JSON. */
  page(path: string): Promise<string>;
  /** How often a limit was exceeded, as /metrics says. */
  metric(limit: string): Promise<number>;
  /** Pids of the children that are ready, in the order of their places. */
  pids(): Promise<number[]>;
  /** Resolves when that many exchanges are under way. */
  untilRunning(count: number): Promise<void>;
}

/** An edge of several processes in front of these workers; not waited for. */
export async function startSeveral(
  t: TestContext,
  workers: Workers,
  processes: number | "auto",
  more: Record<string, string> = {},
): Promise<Several> {
  const [port, admin] = [await freePort(), await freePort()];
  const mark = `${process.pid}-${port}`;
  const program = runScript(t, "edge/main.ts", [], {
    PORT: String(port),
    ADMIN_PORT: String(admin),
    EDGE_PROCESSES: String(processes),
    LOG_FORMAT: "json",
    ...upstreams(workers),
    TEST_MARK: mark,
    ...more,
  });
  t.after(() => endFamily(mark));
  const ask = async (path: string): Promise<[number, unknown]> => {
    const reply = await fetch(`http://127.0.0.1:${admin}${path}`);
    return [reply.status, await reply.json()];
  };
  const page = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${admin}${path}`)).text();
  const metric = async (limit: string): Promise<number> => {
    const text = await page("/metrics");
    return Number(new RegExp(`\\{limit="${limit}"\\} (\\d+)`).exec(text)?.[1]);
  };
  const pids = async (): Promise<number[]> =>
    ((await ask("/processes"))[1] as { pid: number; ready: boolean }[])
      .filter(({ ready }) => ready)
      .map(({ pid }) => pid);
  const untilRunning = async (count: number): Promise<void> => {
    while (((await ask("/readyz"))[1] as { running: number }).running < count) await shortly();
  };
  return { program, port, mark, ask, page, metric, pids, untilRunning };
}

export async function severalStarted(
  t: TestContext,
  workers: Workers,
  processes: number,
  more: Record<string, string> = {},
): Promise<Several> {
  const several = await startSeveral(t, workers, processes, more);
  await several.program.says(/"message":"ready"/);
  return several;
}

/** Between two looks at something that tells nobody when it changes. */
export function shortly(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 10));
}

/** A request on a kept connection, by a path of its own, that the log knows it by; answers the pid of who served it. */
export async function served(client: RawClient, program: Program, name: string): Promise<number> {
  client.text = "";
  client.send(`HEAD /${name} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await client.until(/^HTTP\/1\.1 404 [\s\S]*\r\n\r\n$/);
  return Number((await program.says(new RegExp(`"pid":(\\d+)[^\\n]*"requestUrl":"/${name}"`)))[1]);
}
