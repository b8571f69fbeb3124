import { setTimeout as sleep } from "node:timers/promises";
import type { Address } from "../parse.ts";
import { connectTo } from "./connect.ts";

/** How often a worker that is not there is asked again, in milliseconds. */
const RETRY_MS = 100;

/** Resolves true when the worker accepts a connection, false when it does not. */
export function reachable(address: Address, connectMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTo(address, connectMs);
    socket.once("connect", () => {
      resolve(true);
      socket.destroy();
    });
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}

/** Resolves once the worker accepts connections; rejects with the signal's reason when that is over first. */
export async function untilReachable(
  address: Address,
  connectMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!(await reachable(address, connectMs))) {
    signal.throwIfAborted();
    await sleep(RETRY_MS, undefined, { signal });
  }
}
