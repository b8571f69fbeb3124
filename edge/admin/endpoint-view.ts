import type { EndpointView } from "./admin.ts";
import type { Endpoint } from "../upstream/endpoint.ts";

/** What the admin port shows of an endpoint now. */
export function viewOf(endpoint: Endpoint<unknown>): EndpointView {
  const { address, isUsable, active, counts, ejectedUntil } = endpoint;
  const why = whyNot(endpoint);
  return {
    address: address.name,
    healthy: isUsable,
    active,
    checks: { passed: counts.passed, failed: counts.failed },
    ejections: counts.ejections,
    ...(why === undefined ? {} : { why }),
    ...(ejectedUntil === 0 ? {} : { ejectedUntil: asDate(ejectedUntil) }),
  };
}

/** Why an endpoint gets no new requests, the plainest reason first. */
function whyNot({ isReachable, failing, ejectedUntil }: Endpoint<unknown>): string | undefined {
  if (!isReachable) return "it accepts no connection";
  if (failing !== undefined) return `its checks fail: ${failing}`;
  return ejectedUntil === 0 ? undefined : "it is ejected: too many exchanges failed";
}

/** The clock that ejections go by has no date. */
function asDate(time: number): string {
  return new Date(Date.now() + time - performance.now()).toISOString();
}
