import { execFileSync } from "node:child_process";
import type { Program } from "./programs.ts";

/** Makes a program start with room for so many files. It ends at once where that is not allowed. */
export function withFileLimit({ file, args, env }: Program, files: number): Program {
  return {
    file: "/bin/sh",
    args: ["-c", `ulimit -n ${files} || exit 1; exec "$0" "$@"`, file, ...args],
    env,
  };
}

/** How many files a program may be given here, up to `wanted`. */
export function mostFiles(wanted: number): number {
  const script = `ulimit -n ${wanted} 2>/dev/null || ulimit -n "$(ulimit -H -n)"; ulimit -n`;
  const limit = execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" }).trim();
  return limit === "unlimited" ? wanted : Math.min(wanted, Number(limit));
}
