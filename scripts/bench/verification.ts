import type { Sample } from "./measure.ts";
import type { LoadRow } from "./rows.ts";
import type { Entry } from "./runners.ts";
import { median } from "./statistics.ts";

/**
 * What a token costs, as a sentence: to carry it, and to verify it. Each is a difference between two contenders that ran in the
 * same round. Nothing for a WebSocket, where only the handshake has a token.
 */
export function verificationPrice({ work }: LoadRow, entries: readonly Entry<Sample>[]): string[] {
  if (work.call.protocol === "ws" || work.call.protocol === "ws-h2") return [];
  const costs = (name: string): number[] =>
    entries
      .filter(({ contender, problem }) => contender.name === name && problem === undefined)
      .flatMap(({ samples }) => samples.map(({ cpuUs }) => cpuUs ?? Number.NaN));
  const [plain, token, auth] = ["oneport", "oneport-token", "oneport-auth"].map(costs) as [
    number[],
    number[],
    number[],
  ];
  if (token.length === 0 || auth.length === 0) return [];
  const verifying = `Verification (oneport-auth − oneport-token) costs ${difference(auth, token)} of CPU per request`;
  if (plain.length === 0) return [`${verifying}.`];
  return [`${verifying}, carrying the token (oneport-token − oneport) ${difference(token, plain)}.`];
}

/** Median and range of the differences within the rounds. */
function difference(these: readonly number[], those: readonly number[]): string {
  const all = these.map((value, round) => value - (those[round] ?? Number.NaN));
  const [least, middle, greatest] = [Math.min(...all), median(all), Math.max(...all)].map((us) =>
    us.toFixed(1),
  );
  return `${middle} µs (${least} to ${greatest})`;
}
