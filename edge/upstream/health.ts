import { setTimeout as sleep } from "node:timers/promises";
import { EdgeError, toEdgeError } from "../errors.ts";
import type { Address } from "../parse.ts";
import { connectTo, failedBy, readyEvent, unfit } from "./connect.ts";
import type { Origin } from "./origin.ts";

/** How often a worker that is not there is asked again, in milliseconds. */
const RETRY_MS = 100;

/** Resolves undefined when the worker accepts a connection, over TLS with its handshake; else with why it does not. */
export function whyUnreachable(address: Address, connectMs: number): Promise<EdgeError | undefined> {
  return new Promise((resolve) => {
    const socket = connectTo(address, connectMs);
    socket.once(readyEvent(address), () => {
      resolve(unfit(address, socket));
      socket.destroy();
    });
    socket.once("error", (thrown) => resolve(failedBy(address, thrown)));
    socket.once("close", () => resolve(new EdgeError("upstream_refused")));
  });
}

/**
 * Resolves once the worker accepts connections; rejects with the signal's reason when that is over first. `failed` hears why it
 * does not, each time.
 */
export async function untilReachable(
  address: Address,
  connectMs: number,
  signal: AbortSignal,
  failed: (error: EdgeError) => void = () => {},
): Promise<void> {
  for (;;) {
    const error = await whyUnreachable(address, connectMs);
    if (error === undefined) return;
    failed(error);
    signal.throwIfAborted();
    await sleep(RETRY_MS, undefined, { signal });
  }
}

/** Resolves once the worker can be told who the edge is; else as untilReachable. */
export async function untilIdentified(
  origin: Origin | undefined,
  signal: AbortSignal,
  failed: (error: EdgeError) => void,
): Promise<void> {
  while (origin?.credentials.isReady === false) {
    await origin.credentials.ready().catch((thrown: unknown) => failed(toEdgeError(thrown)));
    signal.throwIfAborted();
    if (!origin.credentials.isReady) await sleep(RETRY_MS, undefined, { signal });
  }
}
