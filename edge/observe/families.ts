import type { Metrics, Tallies, Tally } from "./metrics.ts";
import { BOUNDS_MS } from "./metrics.ts";
import { OUTCOMES } from "./outcomes.ts";

export type Labels = Readonly<Record<string, string>>;

/** One number of a metric. `metricName` is the name of a histogram's part. */
export interface Sample {
  readonly value: number;
  readonly labels: Labels;
  readonly metricName?: string;
}

/** One metric, as prom-client has it in JSON. `aggregator` says what several processes' numbers come to. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly aggregator: "sum" | "max" | "min" | "first";
  readonly values: readonly Sample[];
}

/** A worker, as far as it is measured. */
export interface MeasuredEndpoint {
  readonly address: { readonly name: string };
  readonly isUsable: boolean;
  readonly active: number;
  readonly connection: { readonly connections: number };
}

/** The workers of one protocol, as far as they are measured. */
export interface MeasuredWorkers {
  readonly pool: { readonly endpoints: readonly MeasuredEndpoint[] };
  readonly retries: { readonly denied: number };
}

/** What is open towards clients. */
export interface Clients {
  /** Connections that have come, and bytes to and from them. */
  readonly accepted: number;
  readonly received: number;
  readonly sent: number;
  /** Connections that are open, by what is spoken on them. */
  readonly open: Readonly<Record<"1" | "2" | "undecided", number>>;
  readonly streams: number;
  readonly tunnels: number;
  /** Bytes of memory that are held for who does not take them. */
  readonly held: number;
}

/** All that is measured of the data path. */
export interface Sources {
  readonly metrics: Metrics;
  readonly workers: Readonly<Record<"http" | "grpc" | "ws", MeasuredWorkers>>;
  readonly clients: Clients;
}

/** A counter: it never falls. */
export function counter(name: string, help: string, values: readonly Sample[]): Family {
  return { name, help, type: "counter", aggregator: "sum", values };
}

export function gauge(
  name: string,
  help: string,
  values: readonly Sample[],
  aggregator: Family["aggregator"] = "sum",
): Family {
  return { name, help, type: "gauge", aggregator, values };
}

export function sample(value: number, labels: Labels = {}): Sample {
  return { value, labels };
}

const PROTOCOLS = ["http", "grpc", "ws"] as const;

/** What an edge counts and has open, as metrics. */
export function edgeFamilies({ metrics, workers, clients }: Sources): Family[] {
  return [
    ...exchangeFamilies(metrics),
    ...endpointFamilies(workers),
    ...clientFamilies(clients),
    counter(
      "oneport_limit_exceeded_total",
      "Times that clients exceeded a limit.",
      Object.entries(metrics.exceeded).map(([limit, count]) => sample(count, { limit })),
    ),
  ];
}

function exchangeFamilies(metrics: Metrics): Family[] {
  const each = PROTOCOLS.flatMap((protocol) =>
    metrics[protocol].all().map((tally) => ({ tally, labels: { protocol, endpoint: tally.worker } })),
  ).filter(({ tally }) => tally.users > 0 || tally.total > 0 || tally.retries > 0);
  const byWorker = each.filter(({ tally }) => tally.worker !== "");
  return [
    counter(
      "oneport_requests_total",
      "Exchanges that have ended, by worker (none: empty), by how they ended and whose fault that was.",
      each.flatMap(({ tally, labels }) => outcomes(tally, labels)),
    ),
    {
      name: "oneport_request_duration_seconds",
      help: "How long exchanges took, from their head to the end of the worker's reply.",
      type: "histogram",
      aggregator: "sum",
      values: each.flatMap(({ tally, labels }) => histogram(tally, labels)),
    },
    counter(
      "oneport_retries_total",
      "Attempts at a worker that another one followed, or could have, because it had not processed the request.",
      byWorker.map(({ tally, labels }) => sample(tally.retries, labels)),
    ),
    counter(
      "oneport_ejections_total",
      "Times that a worker was left out for a while because exchanges with it failed.",
      byWorker.map(({ tally, labels }) => sample(tally.ejections, labels)),
    ),
    gauge(
      "oneport_requests_in_flight",
      "Exchanges under way.",
      PROTOCOLS.map((protocol) => sample(inFlight(metrics[protocol]), { protocol })),
    ),
  ];
}

function outcomes(tally: Tally, labels: Labels): Sample[] {
  return OUTCOMES.flatMap(({ name, fault }, at) => {
    const count = tally.outcomes[at] ?? 0;
    return count === 0 ? [] : [sample(count, { ...labels, outcome: name, fault })];
  });
}

const NAME = "oneport_request_duration_seconds";

function histogram(tally: Tally, labels: Labels): Sample[] {
  let below = 0;
  const buckets = [...BOUNDS_MS, Infinity].map((bound, at) => {
    below += tally.durations[at] ?? 0;
    const le = bound === Infinity ? "+Inf" : String(bound / 1000);
    return { value: below, labels: { ...labels, le }, metricName: `${NAME}_bucket` };
  });
  return [
    ...buckets,
    { value: tally.ms / 1000, labels, metricName: `${NAME}_sum` },
    { value: below, labels, metricName: `${NAME}_count` },
  ];
}

function inFlight(tallies: Tallies): number {
  return tallies.begun - tallies.all().reduce((sum, { total }) => sum + total, 0);
}

function endpointFamilies(workers: Sources["workers"]): Family[] {
  const of = (value: (endpoint: MeasuredEndpoint) => number): Sample[] =>
    PROTOCOLS.flatMap((protocol) =>
      workers[protocol].pool.endpoints.map((endpoint) =>
        sample(value(endpoint), { protocol, endpoint: endpoint.address.name }),
      ),
    );
  return [
    gauge(
      "oneport_endpoint_up",
      "1 while a worker gets requests, 0 while it is left out.",
      of(({ isUsable }) => Number(isUsable)),
      "max",
    ),
    gauge(
      "oneport_endpoint_active",
      "Exchanges that a worker has under way.",
      of(({ active }) => active),
    ),
    gauge(
      "oneport_endpoint_connections",
      "Connections open to a worker, those of open WebSockets not included.",
      of(({ connection }) => connection.connections),
    ),
    counter(
      "oneport_retries_denied_total",
      "Requests that were not sent again because the retry budget was used up.",
      PROTOCOLS.map((protocol) => sample(workers[protocol].retries.denied, { protocol })),
    ),
  ];
}

function clientFamilies({ accepted, received, sent, open, streams, tunnels, held }: Clients): Family[] {
  return [
    counter("oneport_client_connections_total", "Connections that clients have opened.", [sample(accepted)]),
    gauge(
      "oneport_client_connections",
      "Connections of clients that are open, by HTTP version; undecided until it is clear.",
      Object.entries(open).map(([http, count]) => sample(count, { http })),
    ),
    counter("oneport_client_received_bytes_total", "Bytes read from clients.", [sample(received)]),
    counter("oneport_client_sent_bytes_total", "Bytes written to clients.", [sample(sent)]),
    gauge("oneport_http2_streams", "HTTP/2 streams of clients that are open.", [sample(streams)]),
    gauge("oneport_websockets", "WebSockets that are open.", [sample(tunnels)]),
    gauge("oneport_held_bytes", "Memory of what waits for clients and workers to take it.", [sample(held)]),
  ];
}
