import type { Config, Environment, Protocol } from "../config.ts";
import { SETTINGS, UPSTREAMS, readUpstreams } from "../config.ts";
import type { Log } from "../log.ts";
import type { Address } from "../parse.ts";
import { SettingError } from "../parse.ts";
import { reachable } from "./health.ts";

/** The upstreams of every protocol. */
export type Upstreams = Readonly<Record<Protocol, readonly Address[]>>;

/** The lists as settings have them. */
export function textsOf(upstreams: Upstreams): Record<Protocol, string> {
  const text = (protocol: Protocol): string => upstreams[protocol].map(({ name }) => name).join(",");
  return { http: text("http"), grpc: text("grpc"), ws: text("ws") };
}

/** The settings that name these upstreams. */
export function settingsOf(upstreams: Upstreams): Environment {
  const texts = textsOf(upstreams);
  const { httpUpstreams, grpcUpstreams, wsUpstreams } = SETTINGS;
  return { [httpUpstreams.env]: texts.http, [grpcUpstreams.env]: texts.grpc, [wsUpstreams.env]: texts.ws };
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

/** Why nothing was exchanged, in a sentence. `unreachable` tells a worker that is not there from a mistake in the words. */
export class SwapError extends Error {
  readonly unreachable: boolean;

  constructor(message: string, unreachable: boolean) {
    super(message);
    this.unreachable = unreachable;
  }
}

/**
 * Exchanges upstreams while requests run: all that was asked for, or nothing. `wanted` has lists as the settings have them. Resolves
 * with what it did. Rejects with a SwapError, and nothing is changed, for what no setting could be, and, unless `check` is false,
 * when a new upstream accepts no connection.
 */
export type Swap = (
  wanted: Readonly<Partial<Record<Protocol, string>>>,
  check?: boolean,
) => Promise<SwapView>;

/** Exchanges the upstreams of `config`, one exchange at a time; `apply` gets those to be used from now on. */
export function createSwap(config: Config, log: Log, apply: (upstreams: Upstreams) => void): Swap {
  let current = upstreamsOf(config);
  let last: Promise<unknown> = Promise.resolve();

  const swap: Swap = async (wanted, check = true) => {
    const lists = (Object.entries(wanted) as [Protocol, string][]).map(
      ([protocol, text]) => [protocol, parse(protocol, text)] as const,
    );
    const before = current;
    const fresh = lists.flatMap(([protocol, list]) => newcomers(before[protocol], list));
    if (check) await assertReachable(fresh, config.connectMs);
    current = { ...before, ...Object.fromEntries(lists) };
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
    throw new SwapError(`${lost.join(", ")} accepted no connection; nothing was changed`, true);
}

function parse(protocol: Protocol, text: string): readonly Address[] {
  if (!Object.hasOwn(UPSTREAMS, protocol)) throw new SwapError(`there is no protocol ${protocol}`, false);
  try {
    return readUpstreams(protocol, text);
  } catch (thrown) {
    if (thrown instanceof SettingError)
      throw new SwapError(`${protocol} upstreams: ${thrown.message}`, false);
    throw thrown;
  }
}

function difference(before: readonly Address[], after: readonly Address[]): Swapped {
  const added = newcomers(before, after).map(({ name }) => name);
  const removed = newcomers(after, before).map(({ name }) => name);
  const kept = after.map(({ name }) => name).filter((name) => !added.includes(name));
  return { added, removed, kept };
}
