import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { Reaper } from "../start/reaper.ts";

export interface Program {
  readonly file: string;
  readonly args: readonly string[];
  /** Beside PATH; nothing else is passed on, so that nobody's settings change what is measured. */
  readonly env: Readonly<Record<string, string>>;
}

/** A program that was started. */
export interface Running {
  readonly pid: number;
  readonly stdout: Readable;
  /** Resolves, and never rejects, once the program is gone. */
  readonly ended: Promise<Ended>;
}

export interface Ended {
  readonly code: number | undefined;
  /** How it ended and the last line of what it complained about. */
  readonly words: string;
}

/** Milliseconds that a program has to end once asked to. */
const GRACE_MS = 3000;

const MAX_COMPLAINT_CHARS = 2000;

/** Starts programs and ends every one of them: each leads a process group, which a reaper ends should we be killed. */
export class Programs {
  readonly #reaper = new Reaper();
  readonly #running = new Set<Running>();

  start(program: Program): Running {
    const child = spawn(program.file, program.args, {
      env: { PATH: process.env["PATH"] ?? "", ...program.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const { pid } = child;
    const ended = ending(child);
    if (pid === undefined) return { pid: 0, stdout: child.stdout, ended };
    this.#reaper.watch(pid);
    const running: Running = { pid, stdout: child.stdout, ended };
    this.#running.add(running);
    return running;
  }

  /** Runs a program to its end and resolves with its output. Rejects when it fails or takes more than `limitMs`. */
  async run(program: Program, limitMs: number, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const running = this.start(program);
    const stop = (): void => killGroup(running.pid, "SIGKILL");
    const timer = setTimeout(stop, limitMs);
    signal.addEventListener("abort", stop);
    try {
      // What could not be started has no output; how it ended says so.
      const output = text(running.stdout).catch(() => "");
      const ended = await running.ended;
      signal.throwIfAborted();
      if (ended.code !== 0) throw new Error(`${program.file} ${ended.words}`);
      return await output;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      this.#forget(running);
    }
  }

  /** Asks a program to end, sees to it that it does, and that nothing of its group is left. */
  async stop(running: Running): Promise<void> {
    if (!this.#running.has(running)) return;
    kill(running.pid, "SIGTERM");
    const timer = setTimeout(() => killGroup(running.pid, "SIGKILL"), GRACE_MS);
    await running.ended;
    clearTimeout(timer);
    this.#forget(running);
  }

  /** Stops whatever is still running. */
  async close(): Promise<void> {
    await Promise.all([...this.#running].map((running) => this.stop(running)));
    await this.#reaper.close();
  }

  #forget(running: Running): void {
    if (!this.#running.delete(running)) return;
    killGroup(running.pid, "SIGKILL");
    this.#reaper.forget(running.pid);
  }
}

function ending(child: ChildProcess): Promise<Ended> {
  let complaints = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    complaints = (complaints + chunk).slice(-MAX_COMPLAINT_CHARS);
  });
  return new Promise((resolve) => {
    child.once("error", (error) =>
      resolve({ code: undefined, words: `could not be started: ${error.message}` }),
    );
    child.once("exit", (code, signal) => {
      const last = complaints.trimEnd().split("\n").at(-1) ?? "";
      const words = code === null ? `was ended by ${signal}` : `exited with ${code}`;
      resolve({ code: code ?? undefined, words: last === "" ? words : `${words}: ${last}` });
    });
  });
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  kill(-pid, signal);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  // A pid of 0 is our own group: a program that never started has none.
  if (pid === 0) return;
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}
