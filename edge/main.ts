import { readConfig } from "./config.ts";
import type { Config } from "./config.ts";
import { whyNotListening } from "./errors.ts";
import type { Edge } from "./edge.ts";
import { startEdge } from "./edge.ts";
import { settingsOrExplain } from "./explain.ts";
import { createLog } from "./log.ts";

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  process.stdout.write(
    "Usage: node edge/main.ts\n\nThe edge alone, in front of workers that are already running.\nSettings are environment variables: see docs/settings.md.\n",
  );
} else {
  await main();
}

async function main(): Promise<void> {
  const config = await settingsOrExplain(() => readConfig(process.env));
  if (config === undefined) return;
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat ?? (process.stdout.isTTY ? "pretty" : "json"),
  });
  const starting = new AbortController();
  let edge: Edge | undefined;
  let signals = 0;
  const stop = (name: NodeJS.Signals): void => {
    log.info({ signal: name }, "signal received");
    if (++signals > 1) process.exit(130);
    if (edge === undefined) return starting.abort();
    // Nothing keeps the process alive after that; whatever else does must not hold it.
    void edge.drain().then(() => process.exit(0));
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);

  try {
    edge = await startEdge(config, log, starting.signal);
  } catch (thrown) {
    if (starting.signal.aborted) process.exit(0);
    log.error(explain(thrown, config));
    process.exit(1);
  }
  log.info({ port: edge.port, auth: config.authMode }, "ready");
  process.send?.({ ready: edge.port });
}

function explain(thrown: unknown, config: Config): string {
  const why = whyNotListening(thrown);
  if (why !== undefined)
    return `port ${config.port} or admin port ${config.adminPort} ${why} (PORT, ADMIN_PORT)`;
  return thrown instanceof Error ? thrown.message : String(thrown);
}
