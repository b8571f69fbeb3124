// Health checks of real workers, each kind, and what becomes of those that are not well.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocketServer } from "ws";
import type { EndpointView } from "../../edge/admin/admin.ts";
import { readConfig } from "../../edge/settings/config.ts";
import { EdgeError } from "../../edge/errors.ts";
import { webSocketAccept } from "../../edge/http1/upgrade.ts";
import { createLog } from "../../edge/observe/log.ts";
import { address } from "../../edge/settings/parse.ts";
import type { Verdict } from "../../edge/upstream/health-probe.ts";
import { probe } from "../../edge/upstream/health-probe.ts";
import { HealthWatch } from "../../edge/upstream/health-watch.ts";
import { Pool } from "../../edge/upstream/pool.ts";
import { askGrpc } from "../../edge/upstream/health-grpc.ts";
import { askHttp1 } from "../../edge/upstream/health-http1.ts";
import { Http1Upstream } from "../../edge/upstream/http1/upstream.ts";
import { Http2Upstream } from "../../edge/upstream/session.ts";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { freePort } from "../support/family.ts";
import { startWorker } from "../support/stack.ts";
import { swappable } from "../support/swapping.ts";
import { http2Worker, httpWorker, rawWorker } from "../support/workers.ts";

const NEVER = new AbortController().signal;

/** Checks a worker once, as settings say. */
async function check(
  protocol: "http" | "grpc" | "ws",
  how: string,
  worker: string,
  timeoutMs = 5000,
  signal = NEVER,
): Promise<Verdict> {
  const config = readConfig({
    [`${protocol.toUpperCase()}_HEALTH_CHECK`]: how,
    LIMIT_CONNECT_MS: "5000",
  });
  const { connectMs } = config;
  const where = address("http", "h2c")(worker);
  const openHttp1 = (at: typeof where) => new Http1Upstream(at, config);
  const asks = {
    http: askHttp1(config.httpHealthCheck, connectMs, openHttp1),
    grpc: askGrpc(config.grpcHealthCheck, connectMs, (at) => new Http2Upstream(at, config)),
    ws: askHttp1(config.wsHealthCheck, connectMs, openHttp1),
  }[protocol];
  assert.ok(asks);
  return probe(asks(where, undefined), timeoutMs, signal);
}

async function nobody(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`;
}

for (const [protocol, how] of [
  ["http", "tcp"],
  ["http", "http:/"],
  ["grpc", "tcp"],
  ["grpc", "grpc"],
  ["ws", "tcp"],
  ["ws", "websocket:/"],
] as const) {
  test(`${protocol}, ${how}: a worker that is not there has refused`, async () => {
    assert.equal((await check(protocol, how, await nobody()))?.code, "upstream_refused");
  });
}

test("tcp: the connection of the check is closed again", async (t) => {
  const closed = Promise.withResolvers<void>();
  const server = createServer((socket) => socket.resume().once("close", closed.resolve));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  assert.equal(await check("http", "tcp", `http://127.0.0.1:${port}`), undefined);
  await closed.promise;
});

for (const [status, well] of [
  [200, true],
  [204, true],
  [299, true],
  [302, false],
  [404, false],
  [503, false],
] as const) {
  test(`http: ${status} is ${well ? "well" : "not well"}`, async (t) => {
    const asked = Promise.withResolvers<unknown>();
    const worker = await httpWorker(t, (req, res) => {
      const { method, url, headers } = req;
      asked.resolve([method, url, headers["user-agent"], `http://${headers.host}`]);
      res.writeHead(status).end();
    });
    const verdict = await check("http", "http:/health?full=1", worker);
    assert.equal(verdict?.message, well ? undefined : `it answered ${status} in place of a 2xx`);
    assert.deepEqual(await asked.promise, ["GET", "/health?full=1", "oneport-health", worker]);
  });
}

test("http: a reply of which the end does not come is none", async (t) => {
  const gone = Promise.withResolvers<void>();
  const worker = await rawWorker(t, (socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf");
    socket.once("close", gone.resolve);
    socket.once("end", () => socket.end());
  });
  assert.match((await check("http", "http:/", worker, 100))?.message ?? "", /no answer within 100 ms/);
  await gone.promise;
});

test("http: nonsense is not well", async (t) => {
  const worker = await rawWorker(t, (socket) => void socket.end("SSH-2.0-x\r\n"));
  assert.equal((await check("http", "http:/", worker))?.code, "upstream_garbage");
});

test("the example workers are well by each kind of check, and the gRPC one by the name of its service", async (t) => {
  const [http, grpc, ws] = await Promise.all([
    startWorker(t, "http"),
    startWorker(t, "grpc"),
    startWorker(t, "ws"),
  ]);
  const found = await Promise.all([
    check("http", "http:/ping", `http://127.0.0.1:${http}`),
    check("grpc", "grpc", `h2c://127.0.0.1:${grpc}`),
    check("grpc", "grpc:Echo", `h2c://127.0.0.1:${grpc}`),
    check("ws", "websocket:/ws", `http://127.0.0.1:${ws}`),
  ]);
  assert.deepEqual(found, [undefined, undefined, undefined, undefined]);
  assert.match(
    (await check("grpc", "grpc:Other", `h2c://127.0.0.1:${grpc}`))?.message ?? "",
    /it knows no service of that name/,
  );
  assert.match(
    (await check("ws", "websocket:/other", `http://127.0.0.1:${ws}`))?.message ?? "",
    /it answered 400 in place of 101/,
  );
});

/** Answers with a HealthCheckResponse of this state. */
function says(state: number): (stream: ServerHttp2Stream) => void {
  return (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.from([0, 0, 0, 0, 2, 8, state]));
  };
}

const grpcWorkers: [why: string, act: (stream: ServerHttp2Stream) => void, want: RegExp | undefined][] = [
  ["says NOT_SERVING", says(2), /NOT_SERVING/],
  [
    "has no health service",
    (stream) =>
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "12" },
        { endStream: true },
      ),
    undefined,
  ],
  [
    "answers HTTP",
    (stream) => stream.respond({ ":status": 404 }, { endStream: true }),
    /HTTP 404, and not gRPC/,
  ],
  ["resets", (stream) => stream.close(2), /reset code 2/],
  ["refuses the stream", (stream) => stream.close(7), /refused the request/],
  ["does not answer", () => {}, /no answer within 300 ms/],
];
for (const [why, act, want] of grpcWorkers) {
  test(`grpc: a worker that ${why} is ${want === undefined ? "well" : "not well"}`, async (t) => {
    const verdict = await check("grpc", "grpc", await http2Worker(t, act), 300);
    if (want === undefined) return assert.equal(verdict, undefined);
    return assert.match(verdict?.message ?? "", want);
  });
}

test("websocket: the worker sees a WebSocket that is closed with 1000", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  t.after(() => server.close());
  const closed = new Promise<number>((resolve) => {
    server.on("connection", (socket) => socket.once("close", resolve));
  });
  const { port } = server.address() as { port: number };
  assert.equal(await check("ws", "websocket:/", `http://127.0.0.1:${port}`), undefined);
  assert.equal(await closed, 1000);
});

test("websocket: a worker that goes on talking after the goodbye is not listened to for long", async (t) => {
  const gone = Promise.withResolvers<void>();
  let talking: NodeJS.Timeout | undefined;
  t.after(() => clearInterval(talking));
  const worker = await rawWorker(t, (socket, text) => {
    if (talking !== undefined) return;
    const accept = webSocketAccept(/sec-websocket-key: (\S+)/i.exec(text)?.[1] ?? "");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
    );
    talking = setInterval(() => socket.write(Buffer.from([0x82, 1, 0])), 50);
    socket.once("close", gone.resolve);
  });
  assert.equal(await check("ws", "websocket:/", worker), undefined);
  await gone.promise;
});

test("websocket: a 101 that does not answer the handshake is not well", async (t) => {
  const worker = await rawWorker(t, (socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAA\r\n\r\n",
    );
  });
  assert.match((await check("ws", "websocket:/", worker))?.message ?? "", /does not answer this handshake/);
});

test("a check that is not wanted any more ends at once, and closes its connection", async (t) => {
  const asked = Promise.withResolvers<Socket>();
  const worker = await rawWorker(t, (socket) => asked.resolve(socket));
  const stop = new AbortController();
  const checking = check("http", "http:/", worker, 60_000, stop.signal);
  const closed = once(await asked.promise, "end");
  stop.abort();
  assert.equal(await checking, undefined);
  await closed;
});

const FAST = { HEALTH_INTERVAL_MS: "100", HEALTH_FAILURES: "2", HEALTH_SUCCESSES: "2" };

/** An HTTP worker whose health is the test's to say. */
async function patient(
  t: TestContext,
  name: string,
): Promise<{ url: string; checks: () => number; become: (ill: boolean) => void }> {
  let isIll = false;
  let checks = 0;
  const url = await httpWorker(t, (req, res) => {
    if (req.url !== "/health") return res.end(name);
    checks++;
    return res.writeHead(isIll ? 503 : 200).end();
  });
  return { url, checks: () => checks, become: (ill) => void (isIll = ill) };
}

test("a worker that is not well gets no new requests until it is; what it carries goes on", async (t) => {
  const running = Promise.withResolvers<ServerHttp2Stream>();
  let isIll = false;
  const worker = (name: string) =>
    http2Worker(t, (stream, headers) => {
      if (headers[":path"] === "/grpc.health.v1.Health/Check")
        return says(isIll && name === "a" ? 2 : 1)(stream);
      if (headers[":path"] === "/long") return running.resolve(stream);
      return stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "0", "x-worker": name },
        { endStream: true },
      );
    });
  const [a, b] = [await worker("a"), await worker("b")];
  const { port, logged, lines } = await testEdge(t, {
    GRPC_UPSTREAMS: `${a},${b}`,
    GRPC_HEALTH_CHECK: "grpc",
    ...FAST,
  });
  const session = http2Client(t, port);
  const call = (path: string) =>
    h2(session, { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" }, "");
  const long = call("/long");
  const stream = await running.promise;
  isIll = true;
  const line = await logged(({ message }) => message === "worker unhealthy");
  assert.deepEqual([line["worker"], line["why"]], [a, "it is NOT_SERVING"]);
  for (let i = 0; i < 6; i++) assert.equal((await call("/x")).headers["x-worker"], "b");
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
    { endStream: true },
  );
  assert.equal((await long).headers["grpc-status"], "0");
  isIll = false;
  await logged(({ message }) => message === "worker healthy again");
  const names = [await call("/x"), await call("/x")].map(({ headers }) => headers["x-worker"]);
  assert.deepEqual(names.toSorted(), ["a", "b"]);
  assert.equal(lines.filter(({ message }) => message === "worker unhealthy").length, 1);
});

test("where no worker is well, they are used all the same, and /upstreams tells why not", async (t) => {
  const only = await patient(t, "only");
  only.become(true);
  const { url, admin } = await swappable(t, {
    HTTP_UPSTREAMS: only.url,
    HTTP_HEALTH_CHECK: "http:/health",
    ...FAST,
  });
  const view = async (): Promise<EndpointView> => {
    const shown = (await (await fetch(`http://127.0.0.1:${admin}/upstreams/http`)).json()) as EndpointView[];
    return shown[0]!;
  };
  while ((await view()).healthy) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await (await fetch(url)).text(), "only");
  const { why, checks } = await view();
  assert.equal(why, "its checks fail: it answered 503 in place of a 2xx");
  assert.deepEqual([checks.passed, checks.failed >= 2], [0, true]);
});

test("a worker that was taken out is checked no more, and the new one is", async (t) => {
  const [old, fresh] = [await patient(t, "old"), await patient(t, "new")];
  const { put } = await swappable(t, { HTTP_UPSTREAMS: old.url, HTTP_HEALTH_CHECK: "http:/health", ...FAST });
  while (old.checks() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  await put("http", fresh.url);
  const before = old.checks();
  while (fresh.checks() < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(old.checks(), before);
});

test("an idle worker that stops to accept connections is found out by the check alone, and so is its return", async (t) => {
  const other = await patient(t, "other");
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, "127.0.0.1", resolve));
  const { port } = gone.address() as { port: number };
  const { logged } = await testEdge(t, { HTTP_UPSTREAMS: `${other.url},http://127.0.0.1:${port}`, ...FAST });
  await new Promise((resolve) => gone.close(resolve));
  const line = await logged(({ message }) => message === "worker unreachable");
  assert.equal(line["worker"], `http://127.0.0.1:${port}`);
  const again = createServer((socket) => socket.resume());
  await new Promise<void>((resolve) => again.listen(port, "127.0.0.1", resolve));
  t.after(() => again.close());
  await logged(({ message }) => message === "worker reachable again");
});

test("a check during which the edge itself stood still says nothing", async (t) => {
  const checks: string[] = [];
  const worker = await httpWorker(t, (_req, res) => {
    // Edge and worker are one process here: neither runs meanwhile.
    if (checks.push("one") === 1) for (const until = performance.now() + 700; performance.now() < until;);
    res.writeHead(checks.length === 1 ? 503 : 200).end();
  });
  const { admin } = await swappable(t, {
    HTTP_UPSTREAMS: worker,
    HTTP_HEALTH_CHECK: "http:/",
    HEALTH_INTERVAL_MS: "100",
    HEALTH_TIMEOUT_MS: "100",
    HEALTH_FAILURES: "1",
  });
  while (checks.length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  const shown = (await (await fetch(`http://127.0.0.1:${admin}/upstreams/http`)).json()) as EndpointView[];
  assert.deepEqual([shown[0]?.healthy, shown[0]?.checks.failed], [true, 0]);
});

test("a check that the edge has no file left for says nothing", async (t) => {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const output = { write: () => {}, flush: () => {}, dropped: 0 };
  const pool = new Pool(
    1,
    () => ({ origin: undefined }),
    () => {},
  );
  pool.swap([address("http")("http://127.0.0.1:1")]);
  const asked = Promise.withResolvers<void>();
  let checks = 0;
  const asks = () => (tell: (verdict: Verdict) => void) => {
    tell(new EdgeError("out_of_files"));
    if (++checks === 4) asked.resolve();
    return () => {};
  };
  const config = { ...readConfig({ HEALTH_FAILURES: "1" }), healthIntervalMs: 5 };
  const log = createLog({ level: "silent", format: "json" }, output);
  const watch = new HealthWatch(pool, asks, { ...config, log, isOpen: () => true, stopping: stop.signal });
  watch.begin();
  // A check may keep no process alive, so something else has to.
  const awake = setInterval(() => {}, 1000);
  await asked.promise.finally(() => clearInterval(awake));
  const [endpoint] = pool.endpoints;
  assert.deepEqual([endpoint?.isUsable, endpoint?.counts.failed], [true, 0]);
});

test("with the checks off nobody is asked", async (t) => {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on("error", () => {});
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const checked = await patient(t, "checked");
  await testEdge(t, {
    HTTP_UPSTREAMS: checked.url,
    GRPC_UPSTREAMS: `h2c://127.0.0.1:${port}`,
    WS_UPSTREAMS: `http://127.0.0.1:${port}`,
    HTTP_HEALTH_CHECK: "http:/health",
    GRPC_HEALTH_CHECK: "off",
    WS_HEALTH_CHECK: "off",
    ...FAST,
  });
  while (checked.checks() < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  // One for each protocol, as the port opened.
  assert.equal(connections, 2);
});
