import type { Handler, Holder } from "../exchange.ts";
import type { LimitName } from "../limits.ts";
import type { FieldReader } from "../message/fields.ts";
import type { Progress } from "../port/progress.ts";

/** What holds for every connection; the limits are those of config.ts, in bytes and milliseconds. */
export interface ConnectionOptions {
  readonly headBytes: number;
  readonly headMs: number;
  readonly idleMs: number;
  readonly lingerMs: number;
  readonly stallMs: number;
  readonly fields: FieldReader;
  readonly handle: Handler;
  /** Hears of each limit that a client exceeded. */
  readonly exceeded: (limit: LimitName) => void;
}

/** What a client has a time for: to send a first byte, the rest of a head, and what nobody waits for any more. */
export type TimeLimit = "idleMs" | "headMs" | "lingerMs";

/** One connection, as all of them see it. */
export interface Member extends Holder {
  /** Where it stands among all; for Connections alone. */
  place: number;
  /** Whether the client takes what waits for it. */
  readonly progress: Progress;
  /** `ms` milliseconds have passed. */
  tick(ms: number): void;
  /** Takes no further request. */
  drain(): void;
  destroy(): void;
}

/** The HTTP/1.1 connections. An array, in which each knows its place: taking one out touches two, however many there are. */
export class Connections {
  isDraining = false;
  readonly options: ConnectionOptions;

  readonly #all: Member[] = [];
  /** Milliseconds since it was last looked whether clients take what waits for them. */
  #lookedMs = 0;
  #emptied = (): void => {};

  constructor(options: ConnectionOptions) {
    this.options = options;
  }

  get size(): number {
    return this.#all.length;
  }

  all(): readonly Member[] {
    return this.#all;
  }

  add(connection: Member): void {
    connection.place = this.#all.length;
    this.#all.push(connection);
  }

  /** Puts another in the place of one. */
  replace(connection: Member, by: Member): void {
    by.place = connection.place;
    this.#all[by.place] = by;
  }

  /** The last one takes the place of the one that goes. */
  remove(connection: Member): void {
    const last = this.#all.pop();
    if (last !== undefined && last !== connection) {
      last.place = connection.place;
      this.#all[connection.place] = last;
    }
    if (this.#all.length === 0) this.#emptied();
  }

  /** `ms` milliseconds have passed. */
  tick(ms: number): void {
    for (const connection of Array.from(this.#all)) connection.tick(ms);
    this.#lookedMs += ms;
    if (this.#lookedMs >= this.options.stallMs) this.#look();
  }

  /** A tunnel's client has to read like any other, here as over HTTP/2. */
  #look(): void {
    this.#lookedMs = 0;
    for (const connection of Array.from(this.#all)) {
      if (!connection.progress.isStalled()) continue;
      this.options.exceeded("stall");
      connection.destroy();
    }
  }

  /** Closes what is idle, and the others as they become so. Resolves when none is left. */
  drain(): Promise<void> {
    this.isDraining = true;
    for (const connection of Array.from(this.#all)) connection.drain();
    if (this.#all.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied = resolve;
    });
  }

  destroy(): void {
    for (const connection of Array.from(this.#all)) connection.destroy();
  }
}
