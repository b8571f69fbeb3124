import type { Socket } from "node:net";
import { readConfig } from "../settings/config.ts";
import type { Edge } from "../edge.ts";
import { withoutUndici } from "../lean.ts";
import { createLog } from "../observe/log.ts";
import { standardOutput } from "../observe/log-output.ts";
import { adopt } from "../port/socket-end.ts";
import { Connections } from "./connections.ts";
import { countCpus } from "./count.ts";
import type { ToChild, ToParent } from "./messages.ts";

/**
 * One of several edge processes: the whole data path, without a port. Started by parent.ts, which gives it its
 * connections. With `--again` it does not wait for the workers: the port is open already.
 */
await main();

async function main(): Promise<void> {
  // They reach the whole process group; what follows from them is the parent's to say.
  process.on("SIGTERM", () => {});
  process.on("SIGHUP", () => {});
  process.on("SIGINT", () => {});
  // Without its parent it would serve nobody new, and nobody would end it.
  process.on("disconnect", () => process.exit(1));
  if (!process.connected) process.exit(1);

  const config = readConfig(process.env);
  const format = config.logFormat ?? (process.stdout.isTTY ? "pretty" : "json");
  const fields = { pid: process.pid };
  const log = createLog({ level: config.logLevel, format, fields }, standardOutput(true));
  const { edgeProcesses } = config;
  withoutUndici();
  const { createEdge } = await import("../edge.ts");
  const edge = createEdge(config, log, edgeProcesses === "auto" ? countCpus() : edgeProcesses);
  listenToParent(edge);
  try {
    if (!process.argv.includes("--again")) await edge.workersReachable(new AbortController().signal);
  } catch (thrown) {
    log.error(thrown instanceof Error ? thrown.message : String(thrown));
    process.exit(1);
  }
  edge.lifecycle.phase = "ready";
  say({ kind: "ready" });
}

function listenToParent(edge: Edge): void {
  // Before this process ends for want of a parent: the system would end connections so that a cut reply to HTTP/1.0 looked whole.
  process.prependListener("disconnect", () => edge.destroy());
  const connections = new Connections(say);
  process.on("message", (message: ToChild, socket: Socket | undefined) => {
    switch (message.kind) {
      case "connection": {
        const end = socket === undefined ? undefined : adopt(socket);
        connections.take(message.id, end?.socket);
        return end === undefined ? undefined : edge.accept(end);
      }
      case "ask": {
        const report = {
          running: edge.lifecycle.running,
          upstreams: edge.upstreams(),
          families: message.metrics ? edge.families() : undefined,
        };
        return say({ kind: "report", id: message.id, report });
      }
      case "swap":
        return edge.swap(message.upstreams);
      case "drain":
        return void edge.drain().then(() => process.exit(0));
    }
  });
}

/** A parent that is gone need not be told; 'disconnect' ends this process. */
function say(message: ToParent): void {
  process.send?.(message, undefined, undefined, () => {});
}
