import type { TestContext } from "node:test";
import { endFamily } from "./family.ts";
import { runScript } from "./processes.ts";
import type { Stage } from "./scenarios.ts";
import { ports, untilReady } from "./scenarios.ts";
import type { Workers } from "./stack.ts";
import { startWorkers, upstreams } from "./stack.ts";
import { start } from "./start.ts";

/** A stage with workers that are started once and for all. */
export interface EdgeStage extends Stage {
  readonly workers: Workers;
}

/** `npm start`, whose supervisor starts again what dies. */
export function started(env: Record<string, string> = {}): (t: TestContext) => Promise<Stage> {
  return async (t) => {
    const { admin } = await ports();
    const { port, mark } = await start(t, { ADMIN_PORT: String(admin), LOG_LEVEL: "warn", ...env });
    await untilReady(admin);
    return { port, admin, mark };
  };
}

/** How the edge is started, if not plainly. */
type Starter = (path: string, settings: Record<string, string>, workers: Workers) => unknown;

/** The edge alone, in front of one worker of each protocol. */
export async function edgeAlone(
  t: TestContext,
  env: Record<string, string> = {},
  starter: Starter = (path, settings) => runScript(t, path, [], settings),
): Promise<EdgeStage> {
  const [workers, { port, admin }] = await Promise.all([startWorkers(t), ports()]);
  const mark = `${process.pid}-${port}`;
  t.after(() => endFamily(mark));
  const settings = {
    PORT: String(port),
    ADMIN_PORT: String(admin),
    TEST_MARK: mark,
    LOG_LEVEL: "warn",
    DRAIN_SECONDS: "1",
    ...upstreams(workers),
    ...env,
  };
  starter("edge/main.ts", settings, workers);
  await untilReady(admin);
  return { port, admin, mark, workers };
}
