import type { TestContext } from "node:test";
import { endFamily, freePort } from "./family.ts";
import type { Program } from "./processes.ts";
import { runScript } from "./processes.ts";

/** `npm start`, and the mark by which all that it starts is found. */
export interface Started {
  readonly program: Program;
  readonly port: number;
  readonly mark: string;
}

type Env = Record<string, string>;

/** Runs scripts/start.ts, or what `run` runs, on a free port; not waited for. What it leaves behind is ended with the test. */
export async function start(
  t: Pick<TestContext, "after">,
  env: Env = {},
  run = (all: Env): Program => runScript(t, "scripts/start.ts", [], all),
): Promise<Started> {
  const port = await freePort();
  const mark = `${process.pid}-${port}`;
  t.after(() => endFamily(mark));
  const program = run({
    PORT: String(port),
    ADMIN_PORT: "0",
    TEST_MARK: mark,
    DRAIN_SECONDS: "1",
    ...env,
  });
  return { program, port, mark };
}
