import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { Config, Environment } from "../../edge/settings/config.ts";
import { ConfigError } from "../../edge/settings/config.ts";
import { SettingError, integer } from "../../edge/settings/parse.ts";
import { EDGE_FLAGS, WORKER_FLAGS } from "./flags.ts";

/** One process to start. */
export interface Planned {
  readonly name: string;
  readonly role: "edge" | "worker";
  /** What is run: a program with its arguments, or a line for /bin/sh. */
  readonly run: { readonly file: string; readonly args: readonly string[] };
  readonly env: Readonly<Record<string, string>>;
}

/** The settings that belong to starting workers, a row per protocol. docs/settings.md lists them. */
export const WORKERS = [
  {
    protocol: "http",
    scheme: "http",
    count: "HTTP_WORKERS",
    command: "HTTP_WORKER_COMMAND",
    upstreams: "HTTP_UPSTREAMS",
  },
  {
    protocol: "grpc",
    scheme: "h2c",
    count: "GRPC_WORKERS",
    command: "GRPC_WORKER_COMMAND",
    upstreams: "GRPC_UPSTREAMS",
  },
  {
    protocol: "ws",
    scheme: "http",
    count: "WS_WORKERS",
    command: "WS_WORKER_COMMAND",
    upstreams: "WS_UPSTREAMS",
  },
] as const;

const MAX_WORKERS = 32;

type Row = (typeof WORKERS)[number];

/** Decides what to start from the settings, each worker on a free loopback port. Throws one ConfigError with every mistake. */
export async function planProcesses(
  env: Environment,
  readConfig: (env: Environment) => Config,
  logFormat: string,
): Promise<{ plan: readonly Planned[]; config: Config }> {
  const mistakes: string[] = [];
  const workers: Planned[] = [];
  const upstreams: Record<string, string> = {};
  const counts = WORKERS.map((row) => {
    try {
      return copiesOf(row, env);
    } catch (thrown) {
      if (!(thrown instanceof SettingError)) throw thrown;
      mistakes.push(`${row.count} ${thrown.message}.`);
      return 0;
    }
  });
  const free = await freePorts(counts.reduce((sum, count) => sum + count, 0));
  const started = new Map<string, readonly number[]>();
  for (const [index, row] of WORKERS.entries()) {
    const ports = free.splice(0, counts[index]);
    if (ports.length === 0) continue;
    workers.push(...ports.map((port, copy) => worker(row, copy, ports.length, port, env, logFormat)));
    started.set(row.count, ports);
  }
  for (const row of WORKERS) {
    const ports = started.get(row.count) ?? started.get(env[row.upstreams]?.trim() ?? "");
    if (ports !== undefined)
      upstreams[row.upstreams] = ports.map((port) => `${row.scheme}://127.0.0.1:${port}`).join(",");
  }
  const config =
    mistakes.length === 0 ? readConfig({ ...env, ...upstreams }) : withMistakes(mistakes, env, readConfig);
  const edge: Planned = {
    name: "edge",
    role: "edge",
    run: { file: process.execPath, args: [...EDGE_FLAGS, file("edge/main.ts")] },
    env: { ...upstreams, LOG_FORMAT: logFormat },
  };
  return { plan: [edge, ...workers], config };
}

/** `*_UPSTREAMS` without a count means that the workers are elsewhere; both together contradict each other. */
function copiesOf(row: Row, env: Environment): number {
  const elsewhere = isSet(env[row.upstreams]);
  const count = env[row.count]?.trim();
  const copies = !isSet(count) ? (elsewhere ? 0 : 1) : integer(0, MAX_WORKERS)(count ?? "");
  if (copies > 0 && elsewhere)
    throw new SettingError(
      `starts workers, but ${row.upstreams} says they are elsewhere: set only one of them`,
    );
  if (copies === 0 && !elsewhere)
    throw new SettingError(`is 0, so ${row.upstreams} must say where the workers are, or none`);
  return copies;
}

function worker(
  row: Row,
  index: number,
  copies: number,
  port: number,
  env: Environment,
  logFormat: string,
): Planned {
  const command = env[row.command]?.trim() ?? "";
  const example = [...WORKER_FLAGS[row.protocol], file(`services/${row.protocol}/main.ts`)];
  return {
    name: copies === 1 ? row.protocol : `${row.protocol}-${index + 1}`,
    role: "worker",
    run:
      command === "" ? { file: process.execPath, args: example } : { file: "/bin/sh", args: ["-c", command] },
    env: { PORT: String(port), HOST: "127.0.0.1", LOG_FORMAT: logFormat },
  };
}

/** The mistakes found here, then the edge's own: a person fixes all in one go. */
function withMistakes(mistakes: string[], env: Environment, readConfig: (env: Environment) => Config): never {
  try {
    readConfig(env);
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    mistakes.push(...thrown.mistakes);
  }
  throw new ConfigError(mistakes);
}

/** Free loopback ports; all are held until all are known, so that none comes twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function file(path: string): string {
  return new URL(`../../${path}`, import.meta.url).pathname;
}

function isSet(text: string | undefined): boolean {
  return text !== undefined && text.trim() !== "";
}
