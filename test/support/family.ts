import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";

/**
 * Ports below the ones that the system hands out by itself (ip_local_port_range), which may go to a connection of anybody before they
 * are listened on.
 */
const FIRST = 12_000;
const COUNT = 20_000;

/**
 * Where this process begins to look. Test files run side by side: one that draws, or tries, a port that another has just been given and
 * not opened yet takes it away. With a stride of its own each process has a hundred ports to itself.
 */
const STRIDE = 101;
let next = (process.pid * STRIDE) % COUNT;

/** A port that nobody listens on, and that nobody here was given before. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + next;
    next = (next + 1) % COUNT;
    if (await canListen(port)) return port;
  }
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  const listening = new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "0.0.0.0", () => resolve(true));
  });
  if (!(await listening)) return false;
  server.close();
  await once(server, "close");
  return true;
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
