import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../settings/config.ts";
import { EdgeError, toEdgeError } from "../errors.ts";
import type { Address } from "../settings/parse.ts";
import { connectTo, failedBy, readyEvent, unfit } from "./connect.ts";
import type { Endpoint } from "./endpoint.ts";
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

/**
 * Resolves when every worker can be used, before which the port does not open: Cloud Run takes an open port for a container that is
 * ready. Rejects with a sentence when one cannot be within `startupSeconds`, and with the signal's reason.
 */
export async function allReachable(
  endpoints: readonly Endpoint<{ readonly origin: Origin | undefined }>[],
  { connectMs, startupSeconds }: Pick<Config, "connectMs" | "startupSeconds">,
  signal: AbortSignal,
): Promise<void> {
  const timeUp = AbortSignal.timeout(startupSeconds * 1000);
  const either = AbortSignal.any([timeUp, signal]);
  await Promise.all(
    endpoints.map(async ({ address, connection }) => {
      let last: EdgeError | undefined;
      const failed = (error: EdgeError): void => {
        last = error;
      };
      try {
        await untilReachable(address, connectMs, either, failed);
        await untilIdentified(connection.origin, either, failed);
      } catch (thrown) {
        if (!timeUp.aborted) throw thrown;
        throw new Error(whyNotStarted(address, startupSeconds, last), { cause: thrown });
      }
    }),
  );
}

function whyNotStarted({ name }: Address, seconds: number, last: EdgeError | undefined): string {
  return last === undefined || last.code === "upstream_refused"
    ? `the worker at ${name} did not accept a connection within ${seconds} s`
    : `the worker at ${name} could not be used within ${seconds} s: ${last.message} (${last.reason})`;
}
