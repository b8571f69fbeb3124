import { EdgeError, toEdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import type { Address } from "../settings/parse.ts";
import { connectTo, failedBy, readyEvent, unfit } from "./connect.ts";
import type { Origin } from "./origin.ts";

/** What a check found: undefined, or why the worker is not well. `upstream_refused` says that it accepts no connection. */
export type Verdict = EdgeError | undefined;

/** Asks a worker; tells once what came of it, and answers how to end it, whether it has come to an end or not. */
export type Ask = (tell: (verdict: Verdict) => void) => () => void;

/** How each worker of a pool is asked, with its origin if it has one; undefined when none is. */
export type Check = ((address: Address, origin: Origin | undefined) => Ask) | undefined;

/** Asks, with a time limit. Never rejects, and leaves nothing open. When `signal` is over first, the verdict says nothing. */
export async function probe(ask: Ask, timeoutMs: number, signal: AbortSignal): Promise<Verdict> {
  const told = Promise.withResolvers<Verdict>();
  const timer = setTimeout(
    () => told.resolve(new EdgeError("deadline", `no answer within ${timeoutMs} ms`)),
    timeoutMs,
  );
  const stop = (): void => told.resolve(undefined);
  signal.addEventListener("abort", stop, { once: true });
  let end: (() => void) | undefined;
  try {
    end = ask(told.resolve);
    return await told.promise;
  } catch (thrown) {
    return toEdgeError(thrown);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    end?.();
  }
}

/** Whether it accepts a connection, over TLS with its handshake. */
export function askTcp(address: Address, connectMs: number): Ask {
  return (tell) => {
    const socket = connectTo(address, connectMs);
    socket.once(readyEvent(address), () => tell(unfit(address, socket)));
    socket.on("error", (thrown) => tell(failedBy(address, thrown)));
    return () => socket.destroy();
  };
}

/** How a check names the worker: the authority that its address has. */
export function authorityOf({ kind, name }: Address): string {
  return kind === "unix" ? "localhost" : name.slice(name.indexOf("//") + 2);
}

/** What tells the worker who asks. Throws `identity_unavailable`. */
export function credentialsOf(origin: Origin | undefined): HeaderList {
  return origin?.credentials.fields ?? [];
}

/** What its access log sees. */
export const USER_AGENT = "oneport-health";
