import { EdgeError } from "../errors.ts";
import type { HeaderList } from "../exchange.ts";
import { within } from "../within.ts";
import type { IdToken } from "./id-token.ts";

/**
 * Where Cloud Run looks for it first, and what it takes away before the worker: the client's own Authorization stays as it is.
 */
const FIELD = "x-serverless-authorization";

/** Milliseconds a fetch may take. */
const FETCH_MS = 10_000;
/** Milliseconds before a token's end at which it is renewed, and at which it is no longer sent; of a short life a part. */
const RENEW = { ms: 300_000, part: 0.2 } as const;
const LEAVE = { ms: 10_000, part: 0.05 } as const;
/** Milliseconds between two fetches, at least; while they fail this is doubled each time, up to the second. */
const PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;
/** A token that lives for months is renewed every day: a Node timer of more than 24 days would end at once. */
const DAY_MS = 86_400_000;

const NONE: HeaderList = [];

export interface IdentityOptions {
  readonly fetch: () => Promise<IdToken>;
  /** Milliseconds that a request waits for a token at most. */
  readonly waitMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Hears once that tokens cannot be had, and why, and once that they can be had again. */
  readonly failing: (reason: string) => void;
  readonly recovered: () => void;
}

/**
 * Who the edge is, for one worker: an ID token, fetched at once and renewed before its end, one fetch at a time, for as long as this
 * is not closed. A token that is still good serves while its successor cannot be had.
 */
export class Identity {
  readonly #options: IdentityOptions;
  #fields: HeaderList = NONE;
  /** When the token is no longer sent, in milliseconds since 1970. */
  #end = 0;
  #fetching: Promise<void> | undefined;
  /** Why the last fetch failed. */
  #error: Error | undefined;
  #pauseMs = PAUSE_MS;
  /** When the next fetch is due, in milliseconds since 1970. The timer may be late: a platform may take the CPU away meanwhile. */
  #due = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: IdentityOptions) {
    this.#options = options;
    void this.#renew();
  }

  get fields(): HeaderList {
    if (!this.isReady) throw this.#unavailable();
    return this.#fields;
  }

  get isReady(): boolean {
    return this.#options.now() < this.#end;
  }

  async ready(): Promise<void> {
    if (this.isReady) return;
    // After a fetch that failed there is a pause: who asks meanwhile is not kept waiting for the next.
    if (this.#fetching !== undefined || this.#options.now() >= this.#due)
      await within(this.#options.waitMs, this.#renew());
    if (!this.isReady) throw this.#unavailable();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Never rejects. */
  #renew(): Promise<void> {
    clearTimeout(this.#timer);
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { fetch, failing, recovered } = this.#options;
    let pauseMs: number;
    try {
      pauseMs = this.#take(await inTime(fetch()));
      if (this.#error !== undefined) recovered();
      this.#error = undefined;
      this.#pauseMs = PAUSE_MS;
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error("unknown");
      if (this.#error === undefined && !this.#closed) failing(error.message);
      this.#error = error;
      pauseMs = this.#pauseMs;
      this.#pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2);
    }
    this.#due = this.#options.now() + pauseMs;
    if (!this.#closed) this.#timer = setTimeout(() => void this.#renew(), pauseMs).unref();
  }

  /** Answers in how many milliseconds the token is to be renewed. */
  #take({ token, expires }: IdToken): number {
    const life = expires - this.#options.now();
    if (life <= 0) throw new Error("the token has expired already");
    this.#fields = [FIELD, `Bearer ${token}`];
    this.#end = expires - Math.min(LEAVE.ms, life * LEAVE.part);
    return Math.min(DAY_MS, Math.max(PAUSE_MS, life - Math.min(RENEW.ms, life * RENEW.part)));
  }

  #unavailable(): EdgeError {
    return new EdgeError("identity_unavailable", undefined, this.#error);
  }
}

/** A fetch that hangs is one that failed. */
async function inTime(fetching: Promise<IdToken>): Promise<IdToken> {
  const timeUp = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeUp.reject(new Error("no answer in time")), FETCH_MS).unref();
  return Promise.race([fetching, timeUp.promise]).finally(() => clearTimeout(timer));
}
