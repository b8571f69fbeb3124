import type { Family } from "./families.ts";

/** prom-client's JSON of metrics in and out: several processes' become one's. */
export interface Prometheus {
  /** What several have counted, each metric as its `aggregator` says. */
  merge(views: readonly (readonly Family[])[]): Family[];
  /** In Prometheus' text format, version 0.0.4. */
  render(views: readonly (readonly Family[])[]): Promise<string>;
}

/** Loads prom-client, which takes its time and which nobody needs before the first look at the metrics. */
export async function loadPrometheus(): Promise<Prometheus> {
  const { AggregatorRegistry } = await import("prom-client");
  return {
    merge: (views) =>
      AggregatorRegistry.aggregate([
        ...views,
      ]).getMetricsAsArray() as unknown as readonly Family[] as Family[],
    render: (views) => AggregatorRegistry.aggregate([...views]).metrics(),
  };
}

/** The part that must not get lost with the process that counted it: what never falls. */
export function cumulative(families: readonly Family[]): Family[] {
  return families.filter(({ type }) => type !== "gauge");
}
