// Workers whose exchanges fail are left out for a while; those that answer, whatever they answer, are not.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket, WebSocketServer } from "ws";
import type { EndpointView } from "../../edge/admin/admin.ts";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { swappable } from "../support/swapping.ts";
import { webSocketWorker } from "../support/websocket-worker.ts";
import { http2Worker, httpWorker, rawWorker } from "../support/workers.ts";

/** One failure is too many, and what is left out does not come back. */
const EJECT = { EJECT_FAILURES: "1", EJECT_MS: "60000", EJECT_MAX_MS: "60000" };

const GRPC = { ":method": "POST", ":path": "/x", "content-type": "application/grpc", te: "trailers" };

/** Sends requests one after the other until a worker is ejected, at most four; answers what came. */
async function untilEjected<T>(
  send: () => Promise<T>,
  lines: readonly Record<string, unknown>[],
): Promise<T[]> {
  const replies: T[] = [];
  while (ejections(lines).length === 0 && replies.length < 4) replies.push(await send());
  return replies;
}

function ejections(lines: readonly Record<string, unknown>[]): Record<string, unknown>[] {
  return lines.filter(({ message }) => message === "worker ejected");
}

for (const version of ["2", "1.1, by http2-proxy", "1.1, direct"]) {
  test(`a worker that breaks off is left out (HTTP/${version})`, async (t) => {
    let requests = 0;
    const bad = await rawWorker(t, (socket) => {
      requests++;
      socket.resetAndDestroy();
    });
    const good = await httpWorker(t, (_req, res) => void res.end("good"));
    const { port, url, lines } = await testEdge(t, {
      HTTP_UPSTREAMS: `${bad},${good}`,
      HTTP1_CARRIER: version.endsWith("direct") ? "direct" : "http2-proxy",
      ...EJECT,
    });
    const session = http2Client(t, port);
    const get = async (): Promise<number> =>
      version === "2"
        ? Number((await h2(session, { ":path": "/" })).headers[":status"])
        : (await fetch(url)).status;
    assert.deepEqual(await untilEjected(get, lines), [502]);
    const [line] = ejections(lines);
    assert.deepEqual([line?.["worker"], line?.["error"], line?.["ms"]], [bad, "upstream_reset", 60_000]);
    const before = requests;
    for (let i = 0; i < 6; i++) assert.equal(await get(), 200);
    assert.equal(requests, before);
  });
}

test("a worker that is left out comes back, and is left out for longer when it goes on", async (t) => {
  const bad = await rawWorker(t, (socket) => void socket.resetAndDestroy());
  const good = await httpWorker(t, (_req, res) => void res.end("good"));
  const { url, lines } = await testEdge(t, {
    HTTP_UPSTREAMS: `${bad},${good}`,
    EJECT_FAILURES: "1",
    EJECT_MS: "100",
    EJECT_MAX_MS: "150",
  });
  while (ejections(lines).length < 2) {
    await fetch(url);
    await sleep(20);
  }
  assert.deepEqual(
    ejections(lines).map(({ ms }) => ms),
    [100, 150],
  );
  const turns = lines
    .map(({ message }) => message)
    .filter((message) => String(message).startsWith("worker "));
  assert.deepEqual(turns.slice(0, 3), ["worker ejected", "worker back", "worker ejected"]);
});

test("a connection that is lost with many calls on it is one failure", async (t) => {
  const streams = { a: [] as ServerHttp2Stream[], b: [] as ServerHttp2Stream[] };
  const all = Promise.withResolvers<void>();
  const worker = (name: "a" | "b") =>
    http2Worker(t, (stream) => {
      streams[name].push(stream);
      if (streams.a.length === 20 && streams.b.length === 20) all.resolve();
    });
  const [a, b] = [await worker("a"), await worker("b")];
  const { port, lines } = await testEdge(t, { GRPC_UPSTREAMS: `${a},${b}`, ...EJECT, EJECT_FAILURES: "5" });
  const session = http2Client(t, port);
  const calls = Promise.all(Array.from({ length: 40 }, () => h2(session, GRPC, "")));
  await all.promise;
  streams.a[0]!.session!.destroy();
  for (const stream of streams.b) answer(stream);
  await calls;
  assert.equal(lines.filter(({ outcome }) => outcome === "upstream_reset").length, 20);
  assert.deepEqual(ejections(lines), []);
});

/** A call that goes well. */
function answer(stream: ServerHttp2Stream): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
    { endStream: true },
  );
}

const faults: [why: string, act: (stream: ServerHttp2Stream) => void, error: string][] = [
  ["resets its calls", (stream) => stream.close(2), "upstream_reset"],
  ["refuses every call", (stream) => stream.close(7), "upstream_unprocessed"],
  [
    "answers gRPC with a web page",
    (stream) => stream.respond({ ":status": 200, "content-type": "text/html" }, { endStream: true }),
    "upstream_garbage",
  ],
];
for (const [why, act, error] of faults) {
  test(`a gRPC worker that ${why} is left out`, async (t) => {
    const bad = await http2Worker(t, act);
    const good = await http2Worker(t, answer);
    const { port, lines, logged } = await testEdge(t, { GRPC_UPSTREAMS: `${bad},${good}`, ...EJECT });
    const session = http2Client(t, port);
    await untilEjected(() => h2(session, GRPC, ""), lines);
    const line = await logged(({ message }) => message === "worker ejected");
    assert.deepEqual([line["worker"], line["error"]], [bad, error]);
  });
}

test("a gRPC worker that lets deadlines of a second pass is left out, one that has less than that is not", async (t) => {
  let ms = 50;
  const bad = await http2Worker(t, () => {});
  const good = await http2Worker(t, answer);
  const { port, lines } = await testEdge(t, {
    GRPC_UPSTREAMS: `${bad},${good}`,
    ...EJECT,
  });
  const session = http2Client(t, port);
  const call = () => h2(session, { ...GRPC, "grpc-timeout": `${ms}m` }, "");
  const short = await untilEjected(call, lines);
  assert.deepEqual(
    [short.filter(({ headers }) => headers["grpc-status"] === "4").length, ejections(lines).length],
    [2, 0],
  );
  ms = 1000;
  const long = await untilEjected(call, lines);
  assert.deepEqual(
    [long.filter(({ headers }) => headers["grpc-status"] === "4").length, ejections(lines).length],
    [1, 1],
  );
});

test("a WebSocket worker that breaks off handshakes is left out", async (t) => {
  const bad = await rawWorker(t, (socket) => void socket.resetAndDestroy());
  const good = await webSocketWorker(t, "hello");
  const { port, lines, logged } = await testEdge(t, { WS_UPSTREAMS: `${bad},${good}`, ...EJECT });
  const open = (): Promise<string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
      socket.once("message", (data) => {
        resolve(String(data));
        socket.terminate();
      });
      socket.on("error", () => resolve("error"));
    });
  assert.deepEqual(await untilEjected(open, lines), ["error"]);
  assert.deepEqual([await open(), await open()], ["hello", "hello"]);
  assert.equal((await logged(({ message }) => message === "worker ejected"))["worker"], bad);
});

test("how WebSockets end does not speak against their worker", async (t) => {
  const sockets = new Set<Socket>();
  const worker = async (): Promise<string> => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await once(server, "listening");
    server.on("connection", (_socket, { socket }) => sockets.add(socket));
    t.after(() => server.close());
    return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  };
  const { port, lines } = await testEdge(t, {
    WS_UPSTREAMS: `${await worker()},${await worker()}`,
    ...EJECT,
  });
  for (let i = 0; i < 4; i++) {
    const client = new WebSocket(`ws://127.0.0.1:${port}/`);
    await once(client, "open");
    const closed = once(client, "close");
    for (const socket of sockets) socket.resetAndDestroy();
    sockets.clear();
    await closed;
  }
  assert.equal(lines.filter(({ outcome }) => outcome === "upstream_reset").length, 4);
  assert.deepEqual(ejections(lines), []);
});

/** Two workers that do the same; `requests` is how many each had. */
async function twins(
  t: TestContext,
  act: (res: import("node:http").ServerResponse) => void,
): Promise<{ upstreams: string; requests: number[] }> {
  const requests = [0, 0];
  const urls = await Promise.all(
    [0, 1].map((which) =>
      httpWorker(t, (_req, res) => {
        requests[which]!++;
        act(res);
      }),
    ),
  );
  return { upstreams: urls.join(","), requests };
}

test("a worker's own 500 is an answer: it stays", async (t) => {
  const { upstreams, requests } = await twins(t, (res) => res.writeHead(500).end());
  const { url, lines } = await testEdge(t, { HTTP_UPSTREAMS: upstreams, ...EJECT });
  await untilEjected(async () => (await fetch(url)).status, lines);
  assert.deepEqual(requests, [2, 2]);
  assert.deepEqual(ejections(lines), []);
});

test("clients that leave do not speak against a worker", async (t) => {
  let asked = Promise.withResolvers<void>();
  const { upstreams, requests } = await twins(t, () => asked.resolve());
  const { port, lines, logged } = await testEdge(t, { HTTP_UPSTREAMS: upstreams, ...EJECT });
  const session = http2Client(t, port);
  for (let i = 1; i <= 4; i++) {
    asked = Promise.withResolvers<void>();
    const stream = session.request({ ":path": "/" });
    stream.on("error", () => {});
    await asked.promise;
    stream.close(8);
    await logged(() => lines.filter(({ outcome }) => outcome === "client_gone").length === i);
  }
  assert.deepEqual(requests, [2, 2]);
  assert.deepEqual(ejections(lines), []);
});

test("the last one stays, however bad it is", async (t) => {
  let requests = 0;
  const bad = await rawWorker(t, (socket) => {
    requests++;
    socket.resetAndDestroy();
  });
  const { url, lines } = await testEdge(t, { HTTP_UPSTREAMS: bad, ...EJECT });
  await untilEjected(async () => (await fetch(url)).status, lines);
  assert.equal(requests, 4);
  assert.deepEqual(ejections(lines), []);
});

test("/upstreams tells until when a worker is left out", async (t) => {
  const bad = await rawWorker(t, (socket) => void socket.resetAndDestroy());
  const good = await httpWorker(t, (_req, res) => void res.end("good"));
  const { url, admin } = await swappable(t, {
    HTTP_UPSTREAMS: `${bad},${good}`,
    ...EJECT,
  });
  const view = async (): Promise<EndpointView[]> =>
    (await (await fetch(`http://127.0.0.1:${admin}/upstreams/http`)).json()) as EndpointView[];
  while ((await view())[0]!.healthy) {
    await fetch(url);
  }
  const [out, stays] = (await view()) as [EndpointView, EndpointView];
  assert.deepEqual(
    [out.address, out.ejections, out.why],
    [bad, 1, "it is ejected: too many exchanges failed"],
  );
  const left = Date.parse(out.ejectedUntil ?? "") - Date.now();
  assert.ok(left > 50_000 && left <= 60_000, `${left} ms are left`);
  assert.deepEqual([stays.healthy, stays.ejections, "ejectedUntil" in stays], [true, 0, false]);
});

test("no client has a worker left out: by calls that it finds too much", async (t) => {
  const bad = await http2Worker(t, (stream) => stream.close(11));
  const good = await http2Worker(t, (stream) => stream.close(11));
  const { port, lines } = await testEdge(t, { GRPC_UPSTREAMS: `${bad},${good}`, ...EJECT });
  const session = http2Client(t, port);
  for (let i = 0; i < 4; i++) {
    const { headers } = await h2(session, GRPC);
    assert.equal(headers["grpc-status"], "8");
  }
  assert.deepEqual(ejections(lines), []);
});

test("no client has a worker left out: by bodies that it breaks off at", async (t) => {
  const workers = await Promise.all([1, 2].map(() => rawWorker(t, (socket) => socket.resetAndDestroy())));
  const { url, lines } = await testEdge(t, { HTTP_UPSTREAMS: workers.join(), ...EJECT });
  for (let i = 0; i < 4; i++) assert.equal((await fetch(url, { method: "POST", body: "x" })).status, 502);
  assert.deepEqual(ejections(lines), []);
});

test("no client has a worker left out: by calls that are none", async (t) => {
  const asked: unknown[] = [];
  const grpc = await http2Worker(t, (stream, { ":method": method }) => {
    asked.push(method);
    stream.respond({ ":status": 405 }, { endStream: true });
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: grpc });
  const session = http2Client(t, port);
  for (const method of ["GET", "PUT", "OPTIONS"]) {
    const { headers } = await h2(session, {
      ":method": method,
      ":path": "/x",
      "content-type": "application/grpc",
    });
    assert.deepEqual([headers[":status"], headers["grpc-status"]], [200, "3"]);
  }
  assert.deepEqual(asked, []);
});
