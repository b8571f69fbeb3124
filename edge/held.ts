import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";
import type { Holder } from "./exchange.ts";

/** Milliseconds between two looks at how much memory is in use. A look costs half a microsecond. */
const LOOK_MS = 100;
/** The part of the bound that is left when it has been exceeded. */
const LEFT = 0.75;
/**
 * Times that it takes to add up what is held, before it is added up again: a hundredth of the time at most, while nothing comes. It
 * is sooner when so much more is in use, as a part of the bound: that may all be held.
 */
const REST = 100;
const GROWTH = 1 / 16;

const MIB = 1_048_576;
/** The part of the memory that all edge processes together may use for it, unless it is set; in MiB, what each has at least. */
const SHARE = 0.25;
const LEAST_MIB = 64;

interface Weighed {
  readonly holder: Holder;
  readonly held: number;
}

/** That too much was held, and what came of it. */
export interface Shed {
  /** Bytes that were held. */
  readonly held: number;
  /** Bytes that are left. */
  readonly left: number;
  /** Connections that were ended. */
  readonly ended: number;
}

/**
 * Bytes that this process may hold: `mib` MiB where that is set, 0 being no bound; else its share of what the container may use, among
 * so many processes. Pure but for the defaults.
 */
export function mostHeld(
  mib: number | undefined,
  processes: number,
  memory: number = Math.min(process.constrainedMemory() || Infinity, totalmem()),
): number {
  if (mib !== undefined) return mib === 0 ? Infinity : mib * MIB;
  return Math.max(LEAST_MIB * MIB, Math.floor((memory * SHARE) / processes));
}

/**
 * Bounds what the process holds for clients and workers that do not take it. Every other bound is one on a stream, or a connection, and
 * there may be many of these: together they could end the process, and everybody's requests with it.
 *
 * Nothing is counted when bytes come or go. What the process has in use, garbage included, is never less than what is held, and is cheap to
 * ask for: only where that is beyond the bound is it added up what each connection holds. Those that hold most are ended.
 */
export class HeldGuard {
  readonly #most: number;
  readonly #holders: () => Iterable<Holder>;
  readonly #onShed: (shed: Shed) => void;
  readonly #clock: NodeJS.Timeout | undefined;
  /** When it is added up again, on performance.now()'s clock, and with how many bytes in use it is before that. */
  #restsUntil = 0;
  #enough = 0;

  /** `most` is in bytes. `onShed` hears each time that it was exceeded. */
  constructor(most: number, holders: () => Iterable<Holder>, onShed: (shed: Shed) => void) {
    this.#most = most;
    this.#holders = holders;
    this.#onShed = onShed;
    if (most < Infinity) this.#clock = setInterval(() => this.look(), LOOK_MS).unref();
  }

  /** Bytes that are held now; to add them up takes some time. */
  get held(): number {
    return this.#addUp().sum;
  }

  /** `used` is the bytes that are in use; `now` on performance.now()'s clock. */
  look(used: number = memoryInUse(), now: number = performance.now()): void {
    if (used <= this.#most || (now < this.#restsUntil && used < this.#enough)) return;
    const began = performance.now();
    const { all, sum } = this.#addUp();
    this.#restsUntil = now + (performance.now() - began) * REST;
    this.#enough = used + this.#most * GROWTH;
    if (sum > this.#most) this.#shed(all, sum);
  }

  stop(): void {
    clearInterval(this.#clock);
  }

  #addUp(): { all: Weighed[]; sum: number } {
    const all: Weighed[] = [];
    let sum = 0;
    for (const holder of this.#holders()) {
      const { held } = holder;
      if (held === 0) continue;
      sum += held;
      all.push({ holder, held });
    }
    return { all, sum };
  }

  #shed(all: Weighed[], sum: number): void {
    all.sort((a, b) => b.held - a.held);
    let left = sum;
    let ended = 0;
    for (const { holder, held } of all) {
      if (left <= this.#most * LEFT) break;
      holder.shed();
      left -= held;
      ended++;
    }
    // What was let go of is garbage: it says nothing of what comes now.
    this.#restsUntil = 0;
    this.#onShed({ held: sum, left, ended });
  }
}

/** Not by process.memoryUsage, which opens a file in /proc, and throws where none is left. */
function memoryInUse(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}
