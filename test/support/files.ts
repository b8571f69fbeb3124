import { execFileSync } from "node:child_process";
import type { TestContext } from "node:test";
import { Program, ROOT } from "./processes.ts";

type After = Pick<TestContext, "after">;

/** A program of ours that may have so many files open, or its whole family so many each; ends with the test. */
export function withFiles(t: After, files: number, path: string, env: Record<string, string>): Program {
  const script = `ulimit -n ${files} && exec "$0" "$1"`;
  const program = new Program("/bin/sh", ["-c", script, process.execPath, ROOT + path], env);
  t.after(() => program.stop("SIGKILL"));
  return program;
}

/** How many files a program may be given here. */
export function mostFiles(): number {
  const text = execFileSync("/bin/sh", ["-c", "ulimit -H -n"], { encoding: "utf8" }).trim();
  return text === "unlimited" ? 1_048_576 : Number(text);
}
