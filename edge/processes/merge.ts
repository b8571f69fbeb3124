import type { CountsView, EndpointView, UpstreamsView } from "../admin.ts";

/** One view of the endpoints from those of several processes: healthy when any of them can reach it, `active` added up. Pure. */
export function mergeUpstreams(views: readonly UpstreamsView[]): UpstreamsView {
  const merged: Record<string, EndpointView[]> = {};
  for (const [protocol, endpoints] of views.flatMap((view) => Object.entries(view))) {
    merged[protocol] = mergeEndpoints([...(merged[protocol] ?? []), ...endpoints]);
  }
  return merged;
}

/** What several processes counted, added up. Pure. */
export function mergeCounts(views: readonly CountsView[]): CountsView {
  const merged: Record<string, number> = {};
  for (const [name, count] of views.flatMap((view) => Object.entries(view)))
    merged[name] = (merged[name] ?? 0) + count;
  return merged;
}

function mergeEndpoints(endpoints: readonly EndpointView[]): EndpointView[] {
  const byAddress = new Map<string, EndpointView>();
  for (const { address, healthy, active } of endpoints) {
    const known = byAddress.get(address);
    byAddress.set(address, {
      address,
      healthy: healthy || known?.healthy === true,
      active: active + (known?.active ?? 0),
    });
  }
  return [...byAddress.values()];
}
