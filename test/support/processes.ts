import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import type { TestContext } from "node:test";
import { portIsOpen } from "../../scripts/bench/ports.ts";

export const ROOT = new URL("../../", import.meta.url).pathname;

/** A program under test, and what it has said. */
export class Program {
  readonly child: ChildProcess;
  out = "";
  err = "";
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  #waiting: (() => void)[] = [];

  constructor(
    file: string,
    args: readonly string[],
    env: Record<string, string | undefined> = {},
    cwd = ROOT,
  ) {
    this.child = spawn(file, args, { cwd, env: { ...cleanEnv(), ...env }, stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdout?.on("data", (chunk: Buffer) => this.#heard(() => (this.out += chunk.toString())));
    this.child.stderr?.on("data", (chunk: Buffer) => this.#heard(() => (this.err += chunk.toString())));
    this.exited = new Promise((resolve) => {
      this.child.once("error", (error) => {
        this.err += error.message;
        resolve({ code: -1, signal: null });
      });
      this.child.once("close", (code, signal) => resolve({ code, signal }));
    });
    void this.exited.then(() => this.#heard(() => {}));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The first match in what was said on stdout or stderr. Rejects when the program ends without it. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.out) ?? pattern.exec(this.err);
      if (match !== null) return match;
      if (!this.running) throw new Error(`ended without saying ${pattern}:\n${this.out}\n${this.err}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Ends the program and waits until it is gone. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.running) this.child.kill(signal);
    return (await this.exited).code;
  }

  #heard(change: () => void): void {
    change();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The environment without settings of ours, so that a developer's shell does not change what a test sees. */
function cleanEnv(): Record<string, string | undefined> {
  const ours =
    /^(AUTH_|LIMIT_|LOG_|K_|PORT$|HOST$|ADMIN_PORT$|DRAIN_|TRUSTED_|STARTUP_|EDGE_|HTTP1_|UPSTREAMS?_|HEALTH_|EJECT_|RETRY_|CORS_|WEBSOCKET_|DOCTOR$|GOOGLE_CLOUD_PROJECT$)|_UPSTREAMS$|_WORKERS$|_WORKER_COMMAND$|^NODE_TEST/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)));
}

/** Runs a TypeScript program of ours, and ends it with the test. */
export function runScript(
  t: Pick<TestContext, "after">,
  path: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Program {
  const program = new Program(process.execPath, [ROOT + path, ...args], env);
  t.after(() => program.stop("SIGKILL"));
  return program;
}

/** A command's output once it has ended. */
export async function output(
  file: string,
  args: readonly string[],
  env: Record<string, string> = {},
  input?: Buffer,
): Promise<Program> {
  const program = new Program(file, args, env);
  program.child.stdin?.on("error", () => {});
  program.child.stdin?.end(input);
  await program.exited;
  return program;
}

/** Where an installed program is; undefined when it is not. */
export function which(name: string): string | undefined {
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin`;
  return path
    .split(":")
    .map((folder) => `${folder}/${name}`)
    .find((file) => existsSync(file));
}

/** Resolves when a program that does not say so listens, as HAProxy does not; rejects when it ends. */
export async function untilOpen(port: number, program: Program): Promise<void> {
  const ended = new AbortController();
  void program.exited.then(() => ended.abort());
  await portIsOpen(port, ended.signal).catch((error: unknown) => {
    throw new Error(`ended: ${program.err}`, { cause: error });
  });
}
