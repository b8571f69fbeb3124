/** What a check came to. `unknown` is no failure: it says what would have to be done to know. */
export type Verdict = "ok" | "failed" | "unknown";

/** One row of the diagnosis. */
export interface Finding {
  readonly check: string;
  readonly verdict: Verdict;
  readonly saw: string;
  /** One sentence: what to change. Always there, but for `ok`. */
  readonly change?: string;
}

export function ok(check: string, saw: string): Finding {
  return { check, verdict: "ok", saw };
}

export function failed(check: string, saw: string, change: string): Finding {
  return { check, verdict: "failed", saw, change };
}

export function unknown(check: string, saw: string, change: string): Finding {
  return { check, verdict: "unknown", saw, change };
}

/** Runs a check again that has failed by the clock: a machine that is busy makes late what was sent in time. */
export async function again(check: () => Promise<Finding>): Promise<Finding> {
  const first = await check();
  return first.verdict === "failed" ? check() : first;
}

/** What a thing that went wrong says of itself. */
export function sentence(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
