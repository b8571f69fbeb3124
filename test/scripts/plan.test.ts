import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../edge/settings/config.ts";
import { EDGE_FLAGS } from "../../scripts/start/flags.ts";
import { planProcesses } from "../../scripts/start/plan.ts";
import { ROOT } from "../support/processes.ts";

/** What each process is run with, by name. */
async function planned(env: Record<string, string>): Promise<Record<string, string[]>> {
  const { plan } = await planProcesses({ AUTH_MODE: "off", ...env }, readConfig, "json");
  return Object.fromEntries(plan.map(({ name, run }) => [name, [run.file, ...run.args]]));
}

test("each example is run by this Node, with the flags that its protocol wants", async () => {
  const node = process.execPath;
  assert.deepEqual(await planned({ HTTP_WORKERS: "2" }), {
    edge: [node, ...EDGE_FLAGS, `${ROOT}edge/main.ts`],
    "http-1": [node, `${ROOT}services/http/main.ts`],
    "http-2": [node, `${ROOT}services/http/main.ts`],
    grpc: [node, "--max-semi-space-size=4", `${ROOT}services/grpc/main.ts`],
    ws: [node, `${ROOT}services/ws/main.ts`],
  });
});

test("a worker of one's own is run as its line says", async () => {
  const { grpc } = await planned({ GRPC_WORKER_COMMAND: "exec python3 server.py" });
  assert.deepEqual(grpc, ["/bin/sh", "-c", "exec python3 server.py"]);
});
