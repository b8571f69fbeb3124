import { ascending, percentile } from "../../scripts/bench/statistics.ts";
import type { Kind, LoadClient, Outcome } from "./load-kinds.ts";
import { KINDS } from "./load-kinds.ts";

export const ALL = Object.keys(KINDS) as Kind[];

/** Kinds whose replies come as soon as they can. */
const QUICK: ReadonlySet<Kind> = new Set(["http1", "http2", "unary"]);

/** Clients of each kind, and the milliseconds that each of them waits between two requests. */
const AT_ONCE = 4;
const PAUSE_MS = 20;
/** Milliseconds after which a client gives a request up, if it is not told otherwise; a gRPC deadline is a little shorter. */
const GIVE_UP_MS = 5000;
const DEADLINE = 0.8;
/** Milliseconds without a failure, and with a good reply to each kind, after which all is well again. */
const WELL_MS = 500;

/** Requests of each kind, at a steady pace until they are stopped; what became of each is counted. */
export class Load {
  /** By kind and outcome. */
  readonly counts = new Map<Kind, Map<Outcome, number>>();
  readonly #giveUpMs: number;
  readonly #clients: LoadClient[] = [];
  readonly #lastGood = new Map<Kind, number>();
  /** Milliseconds that good replies took since the last look, of kinds that take no time of their own. */
  #quick: number[] = [];
  #lastBad = 0;
  #asked = 0;
  #isOver = false;
  #all: Promise<unknown> = Promise.resolve();

  /** Starts at once. */
  constructor(port: number, kinds: readonly Kind[] = ALL, giveUpMs = GIVE_UP_MS) {
    this.#giveUpMs = giveUpMs;
    this.#all = Promise.all(
      kinds.flatMap((kind) => {
        this.counts.set(kind, new Map());
        return Array.from({ length: AT_ONCE }, () => this.#run(kind, port));
      }),
    );
  }

  get requests(): number {
    return this.#asked;
  }

  get lost(): number {
    let lost = 0;
    for (const counts of this.counts.values())
      for (const [outcome, count] of counts) if (outcome !== "ok") lost += count;
    return lost;
  }

  /** Of one kind; 0 to 1. */
  lostShare(kind: Kind): number {
    const all = [...(this.counts.get(kind)?.values() ?? [])].reduce((sum, count) => sum + count, 0);
    return all === 0 ? 0 : 1 - (this.counts.get(kind)?.get("ok") ?? 0) / all;
  }

  /** The time within which 99 of 100 good replies came since the last look, in milliseconds; NaN when there were none. */
  p99(): number {
    const sorted = ascending(this.#quick);
    this.#quick = [];
    return percentile(sorted, 0.99);
  }

  /** Resolves once nothing has failed for a while and each kind had a good reply; with the milliseconds from `since` to the last failure. */
  async untilWell(since: number, limitMs: number): Promise<number> {
    for (;;) {
      const now = performance.now();
      const quietSince = Math.max(since, this.#lastBad);
      const isGood = [...this.counts.keys()].every((kind) => (this.#lastGood.get(kind) ?? 0) > quietSince);
      if (isGood && now - quietSince > WELL_MS) return Math.max(0, this.#lastBad - since);
      if (now - since > limitMs) return Infinity;
      await pause(50);
    }
  }

  /** Asks no further; resolves when all that was asked is settled. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#all;
    for (const client of this.#clients) client.close();
  }

  async #run(kind: Kind, port: number): Promise<void> {
    let client = this.#newClient(kind, port);
    while (!this.#isOver) {
      this.#asked++;
      const asked = performance.now();
      const outcome = await inTime(client.ask(), this.#giveUpMs);
      this.#count(kind, outcome);
      if (outcome === "ok" && QUICK.has(kind)) this.#quick.push(performance.now() - asked);
      if (outcome === GAVE_UP) {
        client.close();
        client = this.#newClient(kind, port);
      }
      await pause(PAUSE_MS);
    }
  }

  #newClient(kind: Kind, port: number): LoadClient {
    const client = KINDS[kind](port, this.#giveUpMs * DEADLINE);
    this.#clients.push(client);
    return client;
  }

  #count(kind: Kind, outcome: Outcome): void {
    const counts = this.counts.get(kind);
    counts?.set(outcome, (counts.get(outcome) ?? 0) + 1);
    if (outcome === "ok") this.#lastGood.set(kind, performance.now());
    else this.#lastBad = performance.now();
  }
}

/** What a client says of a request that it no longer waits for. */
const GAVE_UP = "no answer";

async function inTime(asked: Promise<Outcome>, ms: number): Promise<Outcome> {
  const late = Promise.withResolvers<Outcome>();
  const timer = setTimeout(() => late.resolve(GAVE_UP), ms);
  return Promise.race([asked, late.promise]).finally(() => clearTimeout(timer));
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
