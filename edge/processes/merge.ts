import type { EndpointView, UpstreamsView } from "../admin/admin.ts";

/**
 * One view of the endpoints from those of several processes: healthy when it gets requests from any of them, numbers added up,
 * and the reason of one that does not send it any. Pure.
 */
export function mergeUpstreams(views: readonly UpstreamsView[]): UpstreamsView {
  const merged: Record<string, EndpointView[]> = {};
  for (const [protocol, endpoints] of views.flatMap((view) => Object.entries(view))) {
    merged[protocol] = mergeEndpoints([...(merged[protocol] ?? []), ...endpoints]);
  }
  return merged;
}

function mergeEndpoints(endpoints: readonly EndpointView[]): EndpointView[] {
  const byAddress = new Map<string, EndpointView>();
  for (const endpoint of endpoints) {
    const known = byAddress.get(endpoint.address);
    byAddress.set(endpoint.address, known === undefined ? endpoint : mergeTwo(known, endpoint));
  }
  return [...byAddress.values()];
}

function mergeTwo(a: EndpointView, b: EndpointView): EndpointView {
  const why = a.why ?? b.why;
  const ejectedUntil = [a.ejectedUntil, b.ejectedUntil]
    .filter((time) => time !== undefined)
    .toSorted()
    .at(-1);
  return {
    address: a.address,
    healthy: a.healthy || b.healthy,
    active: a.active + b.active,
    checks: { passed: a.checks.passed + b.checks.passed, failed: a.checks.failed + b.checks.failed },
    ejections: a.ejections + b.ejections,
    ...(why === undefined ? {} : { why }),
    ...(ejectedUntil === undefined ? {} : { ejectedUntil }),
  };
}
