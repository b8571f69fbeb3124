import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeError, FAILURES } from "../../edge/errors.ts";
import type { FailureCode } from "../../edge/errors.ts";
import type { Exchange } from "../../edge/exchange.ts";
import type { Clients } from "../../edge/observe/families.ts";
import { counter, edgeFamilies, gauge, sample } from "../../edge/observe/families.ts";
import { EXCEEDED } from "../../edge/limits.ts";
import { Metrics, Tallies, Tally } from "../../edge/observe/metrics.ts";
import { OUTCOMES, outcomeOf, readGrpcStatus } from "../../edge/observe/outcomes.ts";
import { cumulative, loadPrometheus } from "../../edge/observe/prometheus.ts";
import { parseMetrics } from "../support/prometheus.ts";

const { merge, render } = await loadPrometheus();

const NO_CLIENTS: Clients = {
  accepted: 0,
  received: 0,
  sent: 0,
  open: { "1": 0, "2": 0, undecided: 0 },
  streams: 0,
  tunnels: 0,
  held: 0,
};
const NOBODY = { pool: { endpoints: [] }, retries: { denied: 0 } };
const NO_WORKERS = { http: NOBODY, grpc: NOBODY, ws: NOBODY };

function familiesOf(metrics: Metrics): ReturnType<typeof edgeFamilies> {
  return edgeFamilies({ metrics, workers: NO_WORKERS, clients: NO_CLIENTS });
}

function place(name: string): number {
  return OUTCOMES.findIndex((outcome) => outcome.name === name);
}

test("each limit has a counter, from the start", async () => {
  const metrics = new Metrics();
  metrics.countExceeded("resets");
  metrics.countExceeded("resets");
  const read = parseMetrics(await render([familiesOf(metrics)]));
  assert.equal(read.value("oneport_limit_exceeded_total", { limit: "resets" }), 2);
  for (const limit of Object.keys(EXCEEDED).filter((name) => name !== "resets"))
    assert.equal(read.value("oneport_limit_exceeded_total", { limit }), 0, limit);
});

interface Seen {
  readonly status?: number;
  readonly grpcStatus?: number;
  readonly protocol?: string;
}

function seen({ status, grpcStatus, protocol }: Seen): Exchange {
  return { status, grpcStatus, head: { protocol } } as unknown as Exchange;
}

const ends: [why: string, exchange: Seen, error: FailureCode | undefined, name: string, fault: string][] = [
  ["a reply", { status: 204 }, undefined, "2xx", "none"],
  ["a redirect", { status: 301 }, undefined, "3xx", "none"],
  ["a client's mistake", { status: 404 }, undefined, "4xx", "client"],
  ["a worker's mistake", { status: 500 }, undefined, "5xx", "upstream"],
  ["a call that went well", { status: 200, grpcStatus: 0 }, undefined, "OK", "none"],
  ["a call that the worker refused", { status: 200, grpcStatus: 5 }, undefined, "NOT_FOUND", "client"],
  ["a call that failed there", { status: 200, grpcStatus: 13 }, undefined, "INTERNAL", "upstream"],
  ["a WebSocket over HTTP/1.1", { status: 101, protocol: "websocket" }, undefined, "closed", "none"],
  ["a WebSocket over HTTP/2", { status: 200, protocol: "websocket" }, undefined, "closed", "none"],
  ["a refused handshake", { status: 403, protocol: "websocket" }, undefined, "4xx", "client"],
  ["no token", { status: 401 }, "unauthenticated", "unauthenticated", "client"],
  ["a worker that broke off", { status: 200 }, "upstream_reset", "upstream_reset", "upstream"],
  ["a client that left", {}, "client_gone", "client_gone", "client"],
];
for (const [why, exchange, code, name, fault] of ends) {
  test(`outcome: ${why} is ${name}, ${fault}`, () => {
    const error = code === undefined ? undefined : new EdgeError(code);
    assert.deepEqual(OUTCOMES[outcomeOf(seen(exchange), error)], { name, fault });
  });
}

test("every failure is an outcome, with the fault of its row", () => {
  for (const [code, { side }] of Object.entries(FAILURES))
    assert.deepEqual(OUTCOMES[outcomeOf(seen({}), new EdgeError(code as FailureCode))], {
      name: code,
      fault: side,
    });
});

for (const [value, want] of [
  ["0", 0],
  ["16", 16],
  ["17", 2],
  ["-1", 2],
  ["1.5", 2],
  ["", 2],
  ["0x0", 2],
  ["x", 2],
] as const) {
  test(`grpc-status ${JSON.stringify(value)} counts as ${OUTCOMES[place("OK") + want]?.name}`, () =>
    assert.equal(readGrpcStatus(value), want));
}

test("how long exchanges took is a histogram in seconds, whose bounds count in", async () => {
  const metrics = new Metrics();
  const tally = metrics.grpc.join("h2c://a:1");
  metrics.grpc.begun = 4;
  for (const ms of [0.5, 1, 1.5, 700_000]) tally.count(place("OK"), ms);
  const read = parseMetrics(await render([familiesOf(metrics)]));
  const name = "oneport_request_duration_seconds";
  const labels = { protocol: "grpc", endpoint: "h2c://a:1" };
  for (const [le, count] of [
    ["0.001", 2],
    ["0.005", 3],
    ["600", 3],
    ["+Inf", 4],
  ] as const)
    assert.equal(read.value(`${name}_bucket`, { ...labels, le }), count, le);
  assert.equal(read.value(`${name}_count`, labels), 4);
  assert.equal(read.value(`${name}_sum`, labels), 700.003);
  const outcome = { outcome: "OK", fault: "none" };
  assert.equal(read.value("oneport_requests_total", { ...labels, ...outcome }), 4);
});

test("what has begun and not ended is in flight, wherever the others ended", async () => {
  const metrics = new Metrics();
  metrics.http.begun = 5;
  metrics.http.join("a").count(place("2xx"), 1);
  metrics.http.nowhere.count(place("no_upstream"), 1);
  const read = parseMetrics(await render([familiesOf(metrics)]));
  assert.equal(read.value("oneport_requests_in_flight", { protocol: "http" }), 3);
  const nowhere = { protocol: "http", endpoint: "", outcome: "no_upstream", fault: "upstream" };
  assert.equal(read.value("oneport_requests_total", nowhere), 1);
});

test("a worker that is taken out and comes back goes on counting where it was", () => {
  const tallies = new Tallies();
  const tally = tallies.join("a");
  tally.count(0, 1);
  tallies.leave(tally);
  assert.equal(tallies.join("a"), tally);
});

test("of very many workers that were taken out the oldest become one; none that is in use does", () => {
  const tallies = new Tallies();
  const used = tallies.join("used");
  used.count(0, 1);
  const twice = tallies.join("twice");
  tallies.leave(tallies.join("twice"));
  for (let at = 0; at < 150; at++) {
    const tally = tallies.join(`gone-${at}`);
    tally.count(0, 2);
    tally.retries++;
    tallies.leave(tally);
  }
  const all = tallies.all();
  assert.ok(all.includes(used));
  assert.ok(all.includes(twice));
  assert.ok(all.length < 110, `${all.length}`);
  const sum = all.reduce((total, tally) => total + tally.total, 0);
  assert.equal(sum, 151);
  assert.equal(all.find(({ worker }) => worker === "gone")?.retries, 50);
});

test("a tally's sums are those of what it took over", () => {
  const [one, other] = [new Tally("a"), new Tally("b")];
  one.count(3, 10);
  other.count(3, 20);
  other.count(4, 30_000);
  one.add(other);
  assert.deepEqual([one.total, one.ms, one.outcomes[3]], [3, 30_030, 2]);
});

test("several processes: counters and gauges are added up, as each metric says", () => {
  const [a, b] = [{ endpoint: "a" }, { endpoint: "b" }];
  const merged = merge([
    [counter("x_total", "X.", [sample(1, a)]), gauge("up", "Up.", [sample(0, a)], "max")],
    [counter("x_total", "X.", [sample(2, a), sample(5, b)]), gauge("up", "Up.", [sample(1, a)], "max")],
  ]);
  assert.deepEqual(
    merged.map(({ name, values }) => [name, values.map(({ value, labels }) => [value, labels])]),
    [
      ["x_total", [[3, a], [5, b]]], // prettier-ignore
      ["up", [[1, a]]],
    ],
  );
});

test("of a process that has ended what never falls stays", () => {
  const left = cumulative([counter("x_total", "X.", [sample(7)]), gauge("y", "Y.", [sample(7)])]);
  assert.deepEqual(
    merge([left, [counter("x_total", "X.", [sample(1)])]]).map(({ name, values }) => [
      name,
      values[0]?.value,
    ]),
    [["x_total", 8]],
  );
});
