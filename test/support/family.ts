import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

const given = new Set<number>();

/** A port that nobody listens on, and that nobody here was given before: the system may hand out one twice. */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}

/** Pids of all that came from one program: they carry its mark, TEST_MARK, in their environment. */
export function family(mark: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`TEST_MARK=${mark}\0`);
      } catch {
        return false;
      }
    });
}

/** The pid of one of the children, by what it runs. */
export function childPid(mark: string, script: string): number {
  const pid = family(mark).find((each) => readFileSync(`/proc/${each}/cmdline`, "latin1").includes(script));
  assert.ok(pid, `no process runs ${script}`);
  return pid;
}

/** Ends whatever is left of the family. */
export function endFamily(mark: string): void {
  for (const pid of family(mark)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself meanwhile.
    }
  }
}

/** Resolves when no process of the family is left. */
export async function allGone(mark: string): Promise<void> {
  while (family(mark).length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
}
