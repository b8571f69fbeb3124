import type { H2loadOrder, Load } from "./h2load.ts";
import { ascending } from "./statistics.ts";

/** A connection with less than this share of what an average one got has stood still for a while. */
const LEAST_SHARE = 0.1;
/** Replies that end before this share of a run is over have ended for good. */
const LEAST_SPAN = 0.5;

/** Reads h2load's summary. Throws unless every request that was not cut off by the end of the run got its whole, good reply. */
export function readOutput(output: string, order: H2loadOrder): Pick<Load, "requests" | "perSecond"> {
  const read = (pattern: RegExp): number => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  const requests = read(/^requests: .* ([0-9]+) succeeded/m);
  const failed = [/([0-9]+) failed/, /([0-9]+) errored/, /([0-9]+) timeout/].map(read);
  const refused = [/([0-9]+) 3xx/, /([0-9]+) 4xx/, /([0-9]+) 5xx/].map(read);
  if (!(requests > 0)) throw new Error("no request succeeded");
  if (failed.some((count) => count !== 0))
    throw new Error(`requests failed: ${failed.join(", ")} of ${requests}`);
  if (refused.some((count) => count !== 0))
    throw new Error(`replies were no 2xx: ${refused.join(", ")} of ${requests}`);
  checkBytes(read(/^traffic: .*\(([0-9]+)\) data$/m), requests, order);
  checkShares(read(/^req\/s +: +([0-9.]+)/m), requests, order);
  return { requests, perSecond: read(/^finished in .*, ([0-9.]+) req\/s/m) };
}

/**
 * The replies' bytes, and at most those of the replies that were under way at the end. A gRPC failure is a 200 too, but one
 * without a body.
 */
function checkBytes(bytes: number, requests: number, { call, connections, streams }: H2loadOrder): void {
  const least = requests * call.replyBytes;
  if (!(bytes >= least)) throw new Error("replies were incomplete, or failures in gRPC's terms");
  if (bytes > least + connections * streams * call.replyBytes)
    throw new Error("replies were longer than they should be");
}

/** A connection whose replies do not end is hidden among the others: nothing failed on it, and nothing ended. */
function checkShares(leastPerSecond: number, requests: number, { connections, seconds }: H2loadOrder): void {
  const mean = requests / seconds / connections;
  if (!(leastPerSecond >= mean * LEAST_SHARE)) throw new Error("a connection stood still");
}

/**
 * Milliseconds of each request, ascending, from h2load's log: microseconds at which it began, status, and microseconds
 * that it took, separated by tabs. Throws when replies stopped long before the run was over.
 */
export function readLog(log: string, seconds: number): Float64Array {
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  const times: number[] = [];
  for (const line of log.trimEnd().split("\n")) {
    const [begin = Number.NaN, , took = Number.NaN] = line.split("\t").map(Number);
    first = Math.min(first, begin);
    last = Math.max(last, begin + took);
    times.push(took / 1000);
  }
  const spanMs = (last - first) / 1000;
  if (!(spanMs >= seconds * 1000 * LEAST_SPAN))
    throw new Error(`replies stopped after ${Math.round(spanMs)} ms`);
  return ascending(times);
}
