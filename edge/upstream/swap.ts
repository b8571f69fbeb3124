import type { Config, Environment, Protocol } from "../settings/config.ts";
import { SETTINGS, UPSTREAMS } from "../settings/config.ts";
import type { EdgeError } from "../errors.ts";
import { toEdgeError } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import type { Address } from "../settings/parse.ts";
import { whyUnreachable } from "./reachable.ts";

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

/** A new upstream accepts no connection, or cannot be told who the edge is; the message says which. */
export class UnreachableError extends Error {}

/**
 * Exchanges upstreams while requests run: all that was asked for, or nothing. Resolves with what it did. Rejects with an
 * UnreachableError, and nothing is changed, when a new upstream cannot be used, unless `check` is false.
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
    if (check) await assertReachable(fresh, config, log);
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

async function assertReachable(addresses: readonly Address[], config: Config, log: Log): Promise<void> {
  const answers = await Promise.all(addresses.map((address) => whyUnusable(address, config, log)));
  const lost = addresses.flatMap(({ name }, at) => {
    const error = answers[at];
    if (error === undefined) return [];
    return error.code === "upstream_refused"
      ? [`${name} accepted no connection`]
      : [`${name}: ${error.message} (${error.reason})`];
  });
  if (lost.length > 0) throw new UnreachableError(`${lost.join(", ")}; nothing was changed`);
}

async function whyUnusable(address: Address, config: Config, log: Log): Promise<EdgeError | undefined> {
  const error = await whyUnreachable(address, config.connectMs);
  if (error !== undefined || address.kind !== "tls") return error;
  // Loaded only here: the parent of several processes needs it for nothing else.
  const { originOf } = await import("./origin.ts");
  const credentials = originOf(address, config, log)?.credentials;
  try {
    await credentials?.ready();
    return undefined;
  } catch (thrown) {
    return toEdgeError(thrown);
  } finally {
    credentials?.close();
  }
}

function difference(before: readonly Address[], after: readonly Address[]): Swapped {
  const added = newcomers(before, after).map(({ name }) => name);
  const removed = newcomers(after, before).map(({ name }) => name);
  const kept = after.map(({ name }) => name).filter((name) => !added.includes(name));
  return { added, removed, kept };
}
