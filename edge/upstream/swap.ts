import type { Config, Environment, Protocol } from "../config.ts";
import { SETTINGS, UPSTREAMS } from "../config.ts";
import type { Log } from "../log.ts";
import type { Address } from "../parse.ts";
import { reachable } from "./health.ts";

/** The upstreams of every protocol. */
export type Upstreams = Readonly<Record<Protocol, readonly Address[]>>;

/** The settings that name these upstreams. */
export function settingsOf(upstreams: Upstreams): Environment {
  const lists = (Object.entries(upstreams) as [Protocol, readonly Address[]][]).map(
    ([protocol, list]) =>
      [SETTINGS[UPSTREAMS[protocol]].env, list.map(({ name }) => name).join(",") || "none"] as const,
  );
  return Object.fromEntries(lists);
}

/** The upstreams that the settings name. */
export function upstreamsOf({ httpUpstreams, grpcUpstreams, wsUpstreams }: Config): Upstreams {
  return { http: httpUpstreams, grpc: grpcUpstreams, ws: wsUpstreams };
}

/** What an exchange of upstreams did, by their names. */
export interface Swapped {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly kept: readonly string[];
}

/** By protocol; only those that were asked for. */
export type SwapView = Readonly<Partial<Record<Protocol, Swapped>>>;

/** A new upstream accepts no connection; the message says which. */
export class UnreachableError extends Error {}

/**
 * Exchanges upstreams while requests run: all that was asked for, or nothing. Resolves with what it did. Rejects with an
 * UnreachableError, and nothing is changed, when a new upstream accepts no connection, unless `check` is false.
 */
export type Swap = (wanted: Partial<Upstreams>, check?: boolean) => Promise<SwapView>;

/** Exchanges the upstreams of `config`, one exchange at a time; `apply` gets those to be used from now on. */
export function createSwap(config: Config, log: Log, apply: (upstreams: Upstreams) => void): Swap {
  let current = upstreamsOf(config);
  let last: Promise<unknown> = Promise.resolve();

  const swap: Swap = async (wanted, check = true) => {
    const lists = Object.entries(wanted) as [Protocol, readonly Address[]][];
    const before = current;
    const fresh = lists.flatMap(([protocol, list]) => newcomers(before[protocol], list));
    if (check) await assertReachable(fresh, config.connectMs);
    current = { ...before, ...wanted };
    apply(current);
    const view = Object.fromEntries(
      lists.map(([protocol, list]) => [protocol, difference(before[protocol], list)]),
    );
    log.info({ upstreams: view }, "upstreams exchanged");
    return view;
  };

  return (wanted, check) => {
    const done = last.then(() => swap(wanted, check));
    last = done.catch(() => {});
    return done;
  };
}

function newcomers(before: readonly Address[], after: readonly Address[]): Address[] {
  const known = new Set(before.map(({ name }) => name));
  return after.filter(({ name }) => !known.has(name));
}

async function assertReachable(addresses: readonly Address[], connectMs: number): Promise<void> {
  const answers = await Promise.all(addresses.map((address) => reachable(address, connectMs)));
  const lost = addresses.filter((_, at) => answers[at] === false).map(({ name }) => name);
  if (lost.length > 0)
    throw new UnreachableError(`${lost.join(", ")} accepted no connection; nothing was changed`);
}

function difference(before: readonly Address[], after: readonly Address[]): Swapped {
  const added = newcomers(before, after).map(({ name }) => name);
  const removed = newcomers(after, before).map(({ name }) => name);
  const kept = after.map(({ name }) => name).filter((name) => !added.includes(name));
  return { added, removed, kept };
}
