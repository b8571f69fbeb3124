import type { Config } from "./settings/config.ts";
import { ConfigError, readConfig } from "./settings/config.ts";
import { whyNotListening } from "./errors.ts";
import { settingsOrExplain } from "./settings/explain.ts";
import { withoutUndici } from "./lean.ts";
import type { Log } from "./observe/log.ts";
import { createLog } from "./observe/log.ts";
import { standardOutput } from "./observe/log-output.ts";
import type { Swap } from "./upstream/swap.ts";
import { withUpstreamsFile } from "./settings/upstreams-file.ts";

if (process.argv.includes("--help") || process.argv.includes("-h")) {
  process.stdout.write(
    "Usage: node edge/main.ts\n\nThe edge alone, in front of workers that are already running.\nSettings are environment variables: see docs/settings.md.\n",
  );
} else {
  await main();
}

async function main(): Promise<void> {
  const config = await settingsOrExplain(readSettings);
  if (config === undefined) return;
  const format = config.logFormat ?? (process.stdout.isTTY ? "pretty" : "json");
  const log = createLog({ level: config.logLevel, format }, standardOutput(false));
  const starting = new AbortController();
  let edge: Running | undefined;
  let signals = 0;
  const stop = (name: NodeJS.Signals): void => {
    log.info({ signal: name }, "signal received");
    if (++signals > 1) {
      // The system would end connections in the way in which replies to HTTP/1.0 end: one that is cut would look whole.
      edge?.destroy?.();
      process.exit(130);
    }
    if (edge === undefined) return starting.abort();
    // Nothing keeps the process alive after that; whatever else does must not hold it.
    void edge.drain().then((code) => process.exit(code));
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  if (config.upstreamsFile !== undefined)
    process.on("SIGHUP", () => void readUpstreamsAgain(edge?.swap, log));
  // From a terminal it says that the terminal is gone: then it ends the process as it does any other.
  else if (!process.stdout.isTTY)
    process.on("SIGHUP", () =>
      log.warn("SIGHUP: there is no file to read again, since UPSTREAMS_FILE is not set"),
    );

  try {
    edge = await run(config, log, starting.signal);
  } catch (thrown) {
    if (starting.signal.aborted) process.exit(0);
    log.error(explain(thrown, config));
    process.exit(exitCodeOf(thrown));
  }
  log.info({ port: edge.port, auth: config.authMode, ...edge.fields }, "ready");
  process.send?.({ ready: edge.port });
}

function readSettings(): Config {
  return readConfig(withUpstreamsFile(process.env));
}

/** What is wrong with the file is logged, and the upstreams stay as they are. */
async function readUpstreamsAgain(swap: Swap | undefined, log: Log): Promise<void> {
  try {
    const { upstreamsOf } = await import("./upstream/swap.ts");
    if (swap === undefined) throw new Error("the edge is still starting");
    await swap(upstreamsOf(readSettings()));
  } catch (thrown) {
    log.error(
      { error: thrown instanceof ConfigError ? thrown.mistakes : thrown },
      "SIGHUP: upstreams not exchanged",
    );
  }
}

interface Running {
  readonly port: number;
  readonly swap: Swap;
  /** Further fields of the ready line. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Resolves with the exit code. */
  drain(): Promise<number>;
  /** Ends everything at once, where that is not what the end of this process does. */
  destroy?(): void;
}

/** The edge in this process, or in several others. Only what is needed is loaded: the parent of several carries no request. */
async function run(config: Config, log: Log, signal: AbortSignal): Promise<Running> {
  withoutUndici();
  const count = await countProcesses(config.edgeProcesses);
  if (count === 1) {
    const { startEdge } = await import("./edge.ts");
    return { ...(await startEdge(config, log, signal)), fields: {} };
  }
  const { startProcesses } = await import("./processes/parent.ts");
  return { ...(await startProcesses(config, count, log, signal)), fields: { processes: count } };
}

async function countProcesses(setting: number | "auto"): Promise<number> {
  return setting === "auto" ? (await import("./processes/count.ts")).countCpus() : setting;
}

function exitCodeOf(thrown: unknown): number {
  if (typeof thrown !== "object" || thrown === null || !("exitCode" in thrown)) return 1;
  return typeof thrown.exitCode === "number" ? thrown.exitCode : 1;
}

function explain(thrown: unknown, config: Config): string {
  const why = whyNotListening(thrown);
  if (why !== undefined)
    return `port ${config.port} or admin port ${config.adminPort} ${why} (PORT, ADMIN_PORT)`;
  return thrown instanceof Error ? thrown.message : String(thrown);
}
