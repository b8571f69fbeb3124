import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { freePort } from "../../support/family.ts";
import { GRPC, message } from "../../support/grpc.ts";
import { output, which } from "../../support/processes.ts";
import type { ReadMetrics } from "../../support/prometheus.ts";
import { parseMetrics } from "../../support/prometheus.ts";
import { severalStarted, shortly } from "../../support/several.ts";
import { startWorkers } from "../../support/stack.ts";
import { HANDSHAKE, wsWorker } from "../../support/websockets.ts";
import { http2Worker, httpWorker } from "../../support/workers.ts";

async function pageOf(admin: number): Promise<string> {
  const reply = await fetch(`http://127.0.0.1:${admin}/metrics`);
  assert.equal(reply.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return reply.text();
}

/** An edge with a worker of each kind that answers as it is asked, and what it measures. */
async function measured(t: TestContext): Promise<{
  port: number;
  url: string;
  endpoints: Record<"http" | "grpc" | "ws", string>;
  read: () => Promise<ReadMetrics>;
  page: () => Promise<string>;
}> {
  const http = await httpWorker(t, (req, res) => {
    res.statusCode = Number(req.url?.slice(1));
    res.end("body");
  });
  const grpc = await http2Worker(t, (stream, headers) => {
    const status = String(headers[":path"]).slice(1);
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": status },
      { endStream: true },
    );
  });
  const { url: ws } = await wsWorker(t);
  const admin = await freePort();
  const { port, url } = await testEdge(t, {
    HTTP_UPSTREAMS: http,
    GRPC_UPSTREAMS: grpc,
    WS_UPSTREAMS: ws,
    ADMIN_PORT: String(admin),
  });
  const page = (): Promise<string> => pageOf(admin);
  const read = async (): Promise<ReadMetrics> => parseMetrics(await page());
  return { port, url, endpoints: { http, grpc, ws }, read, page };
}

test("requests are counted by protocol, worker and outcome, and are there at once", async (t) => {
  const { port, url, endpoints, read } = await measured(t);
  for (const status of [200, 204, 302, 404, 500]) await fetch(`${url}/${status}`, { redirect: "manual" });
  const session = http2Client(t, port);
  for (const status of [0, 0, 5]) await h2(session, { ...GRPC, ":path": `/${status}` }, message());
  await h2(session, { ...GRPC, "content-type": "application/grpc-web", ":path": "/5" }, message());
  const metrics = await read();
  const requests = (
    protocol: "http" | "grpc",
    outcome: string,
    fault: string,
    endpoint = endpoints[protocol],
  ): number => metrics.value("oneport_requests_total", { protocol, endpoint, outcome, fault });
  assert.deepEqual(
    [
      requests("http", "2xx", "none"),
      requests("http", "3xx", "none"),
      requests("http", "4xx", "client"),
      requests("http", "5xx", "upstream"),
    ],
    [2, 1, 1, 1],
  );
  assert.deepEqual([requests("grpc", "OK", "none"), requests("grpc", "NOT_FOUND", "client")], [2, 2]);
  const http = { protocol: "http", endpoint: endpoints.http };
  assert.equal(metrics.value("oneport_request_duration_seconds_count", http), 5);
  assert.equal(metrics.value("oneport_requests_in_flight", { protocol: "http" }), 0);
});

test("what is open: connections, streams, WebSockets, and what workers have to do", async (t) => {
  const { port, endpoints, read } = await measured(t);
  const client = new RawClient(t, port);
  client.send(`${HANDSHAKE}\r\n`);
  await client.until(/^HTTP\/1\.1 101 /);
  const session = http2Client(t, port);
  await h2(session, { ...GRPC, ":path": "/0" }, message());
  const silent = new RawClient(t, port);
  while ((await read()).value("oneport_client_connections", { http: "undecided" }) === 0) await shortly();
  const metrics = await read();
  const ws = { protocol: "ws", endpoint: endpoints.ws };
  assert.deepEqual(
    [
      metrics.value("oneport_client_connections", { http: "1" }),
      metrics.value("oneport_client_connections", { http: "2" }),
      metrics.value("oneport_client_connections", { http: "undecided" }),
      metrics.value("oneport_client_connections_total"),
      metrics.value("oneport_http2_streams"),
      metrics.value("oneport_websockets"),
      metrics.value("oneport_requests_in_flight", { protocol: "ws" }),
      metrics.value("oneport_endpoint_up", ws),
      metrics.value("oneport_endpoint_active", ws),
      metrics.value("oneport_endpoint_connections", ws),
      metrics.value("oneport_endpoint_connections", { protocol: "grpc", endpoint: endpoints.grpc }),
    ],
    [1, 1, 1, 3, 0, 1, 1, 1, 1, 0, 1],
  );
  const received = metrics.value("oneport_client_received_bytes_total");
  assert.ok(received > HANDSHAKE.length, `${received}`);
  client.socket.destroy();
  silent.socket.destroy();
  while ((await read()).value("oneport_websockets") > 0) await shortly();
  const after = await read();
  assert.equal(after.value("oneport_request_duration_seconds_count", ws), 1);
  assert.ok(after.value("oneport_client_received_bytes_total") >= received);
});

test("a worker that cannot be reached: down, and retries are counted", async (t) => {
  const http = await httpWorker(t, (_req, res) => void res.end());
  const gone = `http://127.0.0.1:${await freePort()}`;
  const admin = await freePort();
  const edge = await testEdge(t, { HTTP_UPSTREAMS: http, ADMIN_PORT: String(admin) });
  const reply = await fetch(`http://127.0.0.1:${admin}/upstreams/http?check=off`, {
    method: "PUT",
    body: `${gone},${http}`,
  });
  assert.equal(reply.status, 200);
  await fetch(`${edge.url}/a`);
  await fetch(`${edge.url}/a`);
  const metrics = parseMetrics(await pageOf(admin));
  const labels = { protocol: "http", endpoint: gone };
  assert.deepEqual(
    [metrics.value("oneport_endpoint_up", labels), metrics.value("oneport_retries_total", labels)],
    [0, 1],
  );
});

test("the process is measured, and its counters do not fall", async (t) => {
  const { read } = await measured(t);
  const [first, second] = [await read(), await read()];
  for (const name of ["process_cpu_seconds_total", "oneport_event_loop_busy_seconds_total"])
    assert.ok(second.value(name) >= first.value(name) && second.value(name) > 0, name);
  for (const name of [
    "process_resident_memory_bytes",
    "process_heap_bytes",
    "process_open_fds",
    "process_max_fds",
  ])
    assert.ok(second.value(name) > 0, name);
  const started = second.value("process_start_time_seconds");
  assert.ok(started <= Date.now() / 1000 && started > Date.now() / 1000 - 3600, `${started}`);
  for (const part of ["p50", "p99", "max"])
    assert.ok(second.value(`oneport_event_loop_lag_${part}_seconds`) < 10, part);
  assert.equal(second.value("oneport_log_lines_dropped_total"), 0);
});

test("the event loop's lag is seen", async (t) => {
  const { read } = await measured(t);
  await read();
  // The delay is measured by a timer of its own, which has to have begun.
  await new Promise((resolve) => setTimeout(resolve, 60));
  const until = performance.now() + 300;
  while (performance.now() < until);
  await new Promise((resolve) => setTimeout(resolve, 60));
  const lag = (await read()).value("oneport_event_loop_lag_max_seconds");
  assert.ok(lag > 0.2 && lag < 5, `${lag}`);
});

const promtool = which("promtool");
test(
  "promtool, Prometheus' own reader, finds nothing wrong",
  { skip: promtool === undefined && "promtool is missing" },
  async (t) => {
    const { url, page } = await measured(t);
    await fetch(`${url}/200`);
    const { out, err, exited } = await output(
      promtool ?? "",
      ["check", "metrics"],
      {},
      Buffer.from(await page()),
    );
    assert.deepEqual([(await exited).code, out, err], [0, "", ""]);
  },
);

test("several processes: sums, and no counter falls when one of them ends", async (t) => {
  const workers = await startWorkers(t);
  const several = await severalStarted(t, workers, 2);
  const endpoint = `http://127.0.0.1:${workers.http}`;
  const read = async (): Promise<ReadMetrics> => parseMetrics(await several.page("/metrics"));
  const labels = { protocol: "http", endpoint, outcome: "2xx", fault: "none" };
  // Each connection goes to the process that has fewer.
  const clients = [0, 1, 2, 3].map(() => new RawClient(t, several.port));
  for (const client of clients) {
    client.send("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until(/pong/);
  }
  const before = await read();
  assert.deepEqual(
    [
      before.value("oneport_requests_total", labels),
      before.value("oneport_request_duration_seconds_count", { protocol: "http", endpoint }),
      before.value("oneport_client_connections_total"),
      before.value("oneport_endpoint_up", { protocol: "http", endpoint }),
      before.value("oneport_processes"),
    ],
    [4, 4, 4, 1, 3],
  );
  const [pid = 0] = await several.pids();
  process.kill(pid, "SIGKILL");
  await several.program.says(/edge process ready/);
  const after = await read();
  assert.equal(after.value("oneport_requests_total", labels), 4);
  const counters = [...before.samples].filter(([key]) => /_(total|bucket|sum|count)\{/.test(key));
  assert.ok(counters.length > 20);
  for (const [key, value] of counters) assert.ok((after.samples.get(key) ?? -1) >= value, key);
  const client = new RawClient(t, several.port);
  client.send("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
  await client.until(/pong/);
  assert.equal((await read()).value("oneport_requests_total", labels), 5);
});
