import { readConfig } from "../edge/settings/config.ts";
import { settingsOrExplain } from "../edge/settings/explain.ts";
import { withUpstreamsFile } from "../edge/settings/upstreams-file.ts";
import { planProcesses } from "./start/plan.ts";
import { whenOrphaned } from "./start/orphaned.ts";
import { readyBlock, replacedProtocols } from "./start/ready.ts";
import { Supervisor } from "./start/supervisor.ts";

const HELP = `Usage: npm start        (or: node scripts/start.ts)

Starts the edge on PORT (8080) and the workers behind it, and keeps them running.
Ctrl-C or SIGTERM drains the edge, then stops the workers; a second one ends all at once.
SIGHUP makes the edge read the file again that UPSTREAMS_FILE names.

Settings are environment variables: see docs/settings.md. The most common ones:
  PORT=8080                        the public port
  AUTH_AUDIENCE, AUTH_SERVICE_ACCOUNTS   who may call
  HTTP_WORKERS=2                   copies of a worker (GRPC_WORKERS, WS_WORKERS)
  HTTP_WORKER_COMMAND='…'          your own program instead; it gets its own PORT
  HTTP_UPSTREAMS=http://host:port  a worker that runs elsewhere
`;

if (process.argv.includes("--help") || process.argv.includes("-h")) process.stdout.write(HELP);
else await start();

async function start(): Promise<void> {
  const pretty = (process.env["LOG_FORMAT"] ?? (process.stdout.isTTY ? "pretty" : "json")) === "pretty";
  const planned = await settingsOrExplain(async () =>
    planProcesses(withUpstreamsFile(process.env), readConfig, pretty ? "pretty" : "json"),
  );
  if (planned === undefined) return;
  const { plan, config } = planned;
  const supervisor = new Supervisor(plan, {
    pretty,
    drainMs: config.drainSeconds * 1000,
    ready: (port) => {
      if (pretty) process.stdout.write(readyBlock(port, config, replacedProtocols(process.env)));
    },
  });
  process.on("SIGTERM", () => supervisor.stop());
  process.on("SIGINT", () => supervisor.stop());
  whenOrphaned(() => supervisor.stop());
  if (config.upstreamsFile !== undefined) process.on("SIGHUP", () => supervisor.readAgain());
  process.exit(await supervisor.run());
}
