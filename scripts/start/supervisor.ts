import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { Logger, LogOutput, createConcurrently } from "concurrently";
import type { CloseEvent, Command } from "concurrently";
import type { Planned } from "./plan.ts";
import { isPortOpen } from "./ports.ts";
import { Reaper } from "./reaper.ts";

export interface SupervisorOptions {
  /** Prefixed lines for a terminal; else the processes write to our own output, line by line as they are. */
  readonly pretty: boolean;
  readonly drainMs: number;
  /** Milliseconds after which workers whose port is not open are named; 5 s if it is not set. */
  readonly portMs?: number;
  /** Called when the port is open, with its number. */
  readonly ready: (port: number) => void;
}

/** Milliseconds that a worker may take to open its port without a word of it. */
const PORT_MS = 5000;
/** Milliseconds before a worker that died is started again: doubled each time, up to the last. */
const BACKOFF_MS = { first: 250, last: 10_000 };
/** A worker that ran this long has recovered. */
const STABLE_MS = 10_000;
/** Before the edge is ready, a worker that dies this often is not going to come up. */
const MAX_EARLY_DEATHS = 5;
/** Milliseconds beyond its drain time that the edge has to exit, and what the workers have after it. */
const EDGE_GRACE_MS = 700;
const WORKER_GRACE_MS = 1000;

/** Milliseconds that the last output of a process that has ended may take to be read. */
const LAST_OUTPUT_MS = 200;

interface Running {
  readonly plan: Planned;
  readonly command: Command;
  deaths: number;
  startedAt: number;
  restart: NodeJS.Timeout | undefined;
}

/**
 * Runs the edge and the workers by concurrently, and ends them in order.
 *
 * concurrently's own controllers kill in any order, restart what was told to stop, and go through a shell whose exit
 * code hides the program's; so spawning, killing and what follows a death are decided here.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #plan: readonly Planned[];
  readonly #reaper = new Reaper();
  readonly #finished = Promise.withResolvers<number>();
  #all: Running[] = [];
  #phase: "starting" | "ready" | "stopping" = "starting";
  #wasReady = false;
  #exitCode: number | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(plan: readonly Planned[], options: SupervisorOptions) {
    this.#plan = plan;
    this.#options = options;
  }

  /** Starts everything. Resolves with the exit code once no process is left. */
  run(): Promise<number> {
    const logger = new Logger({ prefixFormat: "name" });
    const byName = new Map(this.#plan.map((planned) => [planned.name, planned]));
    const { result } = createConcurrently(
      this.#plan.map((planned) => ({
        command: planned.name,
        name: planned.name,
        env: planned.env,
        ...(planned.role === "edge" ? { ipc: 3 } : {}),
      })),
      {
        raw: !this.#options.pretty,
        logger,
        ...(this.#options.pretty ? { outputStream: process.stdout } : {}),
        prefixColors: ["cyan", "green", "yellow", "magenta"],
        spawn: (name, options) => this.#spawn(byName.get(name), options),
        kill: (pid, signal) => killGroup(pid, (signal ?? "SIGTERM") as NodeJS.Signals),
        controllers: [
          { handle: (commands) => this.#take(commands, byName) },
          ...(this.#options.pretty ? [new LogOutput({ logger })] : []),
        ],
      },
    );
    // It settles when every process has closed once; restarts are beyond it, so the end is ours to tell.
    result.catch(() => {});
    this.#later(this.#options.portMs ?? PORT_MS, () => {
      for (const worker of this.#workers()) void this.#tellClosedPort(worker);
    });
    return this.#finished.promise;
  }

  /** Drains the edge, then stops the workers. Called again, ends everything at once. */
  stop(): void {
    if (this.#phase === "stopping") return this.#killAll();
    this.#phase = "stopping";
    this.#exitCode ??= 0;
    this.#cancelRestarts();
    const edge = this.#edge();
    if (edge === undefined || !isRunning(edge)) return this.#stopWorkers();
    edge.command.kill("SIGTERM");
    this.#later(this.#options.drainMs + EDGE_GRACE_MS, () => {
      if (!isRunning(edge)) return;
      this.#exitCode = 1;
      edge.command.kill("SIGKILL");
    });
  }

  /** Has the edge read its upstreams file again. */
  readAgain(): void {
    this.#edge()?.command.kill("SIGHUP");
  }

  #take(commands: Command[], byName: ReadonlyMap<string, Planned>): { commands: Command[] } {
    for (const command of commands) {
      const plan = byName.get(command.name);
      if (plan === undefined) continue;
      const running: Running = { plan, command, deaths: 0, startedAt: performance.now(), restart: undefined };
      this.#all.push(running);
      // A command that could not be spawned is told by 'error' and by 'close' both; 'close' comes for every one.
      command.close.subscribe((event) => this.#onClose(running, event));
      command.messages.incoming.subscribe(({ message }) => this.#onMessage(message));
    }
    return { commands };
  }

  /** Each process leads a group of its own: a terminal's Ctrl-C reaches only us, and a shell's children die with it. */
  #spawn(planned: Planned | undefined, options: object): ChildProcess {
    if (planned === undefined) throw new Error("a command that was not planned");
    const stdout = this.#options.pretty ? "pipe" : "inherit";
    const ipc = planned.role === "edge" ? ["ipc" as const] : [];
    const child = spawn(planned.run.file, planned.run.args, {
      ...options,
      detached: true,
      stdio: ["ignore", stdout, stdout === "pipe" ? "pipe" : "inherit", ...ipc],
    });
    const { pid } = child;
    if (pid !== undefined) {
      this.#reaper.watch(pid);
      // What a worker left behind in its group must not outlive it; while it holds the output, 'close' would not come.
      child.once("exit", () => {
        killGroup(pid, "SIGKILL");
        closeOutput(child);
      });
    }
    return child;
  }

  #onMessage(message: object): void {
    if (!("ready" in message) || typeof message.ready !== "number" || this.#phase !== "starting") return;
    this.#phase = "ready";
    this.#wasReady = true;
    this.#options.ready(message.ready);
  }

  #onClose(running: Running, { exitCode }: Pick<CloseEvent, "exitCode">): void {
    const { pid } = running.command;
    if (pid !== undefined) this.#reaper.forget(pid);
    if (running.plan.role === "edge") return this.#onEdgeExit(exitCode);
    if (this.#phase === "stopping") return this.#finishIfAllGone();
    this.#restart(running, exitCode);
  }

  /** A worker that ended has been told of. The edge goes on waiting for STARTUP_SECONDS. */
  async #tellClosedPort(worker: Running): Promise<void> {
    const { name, env } = worker.plan;
    const port = env["PORT"];
    if (port === undefined || this.#phase !== "starting" || (await isPortOpen(Number(port)))) return;
    if (this.#phase === "starting" && isRunning(worker))
      this.#say("warn", `${name}: port ${port} is not open yet; a worker must listen on PORT at 127.0.0.1`);
  }

  /** Without the edge nothing is reachable: everything ends, with the edge's exit code. */
  #onEdgeExit(exitCode: number | string): void {
    const code = typeof exitCode === "number" ? exitCode : 1;
    if (this.#phase !== "stopping") {
      this.#exitCode = code === 0 ? 1 : code;
      this.#say("error", `the edge exited (${exitCode}); stopping everything`);
    } else if (exitCode !== 0 && !(exitCode === "SIGTERM" && !this.#wasReady)) {
      // Ended by our SIGTERM before it could listen for one is as good as a clean end.
      this.#exitCode = code;
    }
    this.#phase = "stopping";
    this.#cancelRestarts();
    this.#stopWorkers();
  }

  #stopWorkers(): void {
    for (const worker of this.#workers()) if (isRunning(worker)) worker.command.kill("SIGTERM");
    this.#later(WORKER_GRACE_MS, () => this.#killAll());
    this.#finishIfAllGone();
  }

  #restart(running: Running, exitCode: number | string): void {
    if (performance.now() - running.startedAt > STABLE_MS) running.deaths = 0;
    running.deaths++;
    if (this.#phase === "starting" && running.deaths >= MAX_EARLY_DEATHS) {
      this.#say(
        "error",
        `${running.plan.name} exited (${exitCode}) ${running.deaths} times before it was reachable; giving up`,
      );
      this.#exitCode = 1;
      return this.stop();
    }
    const waitMs = Math.min(BACKOFF_MS.last, BACKOFF_MS.first * 2 ** (running.deaths - 1));
    this.#say("warn", `${running.plan.name} exited (${exitCode}); starting it again in ${waitMs} ms`);
    running.restart = setTimeout(() => {
      running.restart = undefined;
      running.startedAt = performance.now();
      running.command.start();
    }, waitMs);
  }

  #cancelRestarts(): void {
    for (const running of this.#all) {
      clearTimeout(running.restart);
      running.restart = undefined;
    }
  }

  #killAll(): void {
    for (const running of this.#all) if (isRunning(running)) running.command.kill("SIGKILL");
  }

  #finishIfAllGone(): void {
    if (this.#phase !== "stopping" || this.#all.some(isRunning)) return;
    for (const timer of this.#timers) clearTimeout(timer);
    void this.#reaper.close().then(() => this.#finished.resolve(this.#exitCode ?? 0));
  }

  #later(ms: number, act: () => void): void {
    this.#timers.push(setTimeout(act, ms));
  }

  #edge(): Running | undefined {
    return this.#all.find(({ plan }) => plan.role === "edge");
  }

  #workers(): Running[] {
    return this.#all.filter(({ plan }) => plan.role === "worker");
  }

  #say(level: "warn" | "error", message: string): void {
    const severity = level === "warn" ? "WARNING" : "ERROR";
    const time = new Date().toISOString();
    const line = this.#options.pretty ? `[start] ${message}` : JSON.stringify({ severity, time, message });
    process.stderr.write(`${line}\n`);
  }
}

function isRunning({ command }: Running): boolean {
  return command.state === "started";
}

/** Gives up on the output of a process that has ended: what left its group may hold it open for ever. */
function closeOutput(child: ChildProcess): void {
  const timer = setTimeout(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, LAST_OUTPUT_MS);
  child.once("close", () => clearTimeout(timer));
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone already.
  }
}
