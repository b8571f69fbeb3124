// What is cut when the drain time is over must not look whole to any client: those of Node, curl and grpc-js are asked.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { ServerHttp2Stream } from "node:http2";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { webSocketAccept } from "../../edge/http1/upgrade.ts";
import { within } from "../../edge/within.ts";
import { ChatMessageSchema, CountRequestSchema } from "../../services/grpc/gen/echo_pb.ts";
import { FrameClient, headers } from "../support/frames.ts";
import { RawClient, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { freePort } from "../support/family.ts";
import { GRPC, echoClient, ended, message } from "../support/grpc.ts";
import { Program, runScript, which } from "../support/processes.ts";
import { severalStarted, shortly } from "../support/several.ts";
import type { Workers } from "../support/stack.ts";
import { startStack, startWorkers, upstreams } from "../support/stack.ts";
import { suiteScope } from "../support/suite.ts";
import { HANDSHAKE, closedWith, openWebSocket } from "../support/websockets.ts";
import { httpWorker, readAll } from "../support/workers.ts";

const EVENTS = "/events?count=1000&interval_ms=10";
const AT_ONCE = { DRAIN_SECONDS: "0" };

let workers: Workers;
const suite = suiteScope();
before(async () => {
  workers = await startWorkers(suite);
});

for (const processes of ["1", "2"]) {
  test(`a second signal cuts an HTTP/1.0 reply that only its connection ends by a reset (EDGE_PROCESSES=${processes})`, async (t) => {
    const worker = await httpWorker(t, (_req, res) => void res.write("half of it"));
    const edge = runScript(t, "edge/main.ts", [], {
      PORT: "0",
      ADMIN_PORT: "0",
      HTTP_UPSTREAMS: worker,
      GRPC_UPSTREAMS: "none",
      WS_UPSTREAMS: "none",
      EDGE_PROCESSES: processes,
    });
    const [, port] = await edge.says(/"port":(\d+)/);
    const client = connect(Number(port), "127.0.0.1");
    client.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    await once(client, "data");
    const ends: unknown[] = [];
    client.on("end", () => ends.push("end"));
    client.on("error", ({ code }: NodeJS.ErrnoException) => ends.push(code));
    const closed = new Promise((resolve) => client.once("close", resolve));
    edge.child.kill("SIGTERM");
    await edge.says(/draining/);
    edge.child.kill("SIGTERM");
    assert.equal((await edge.exited).code, 130);
    await closed;
    assert.deepEqual(ends, ["ECONNRESET"]);
  });
}

test("server-sent events over HTTP/1.1: fetch sees a body that breaks off", async (t) => {
  const { edge, url } = await testEdge(t, { ...upstreams(workers), ...AT_ONCE });
  const reader = (await fetch(url + EVENTS)).body?.getReader();
  assert.equal((await reader?.read())?.done, false);
  const drained = edge.drain();
  await assert.rejects(async () => {
    while ((await reader?.read())?.done === false);
  }, /terminated/);
  await drained;
});

const curl = which("curl");
/** CURLE_PARTIAL_FILE and CURLE_HTTP2_STREAM, curl's own words for a body that is not whole; which of them depends on its version. */
const BROKEN_OFF = new Set<unknown>([18, 92]);
for (const [version, flag] of [
  ["HTTP/1.1", "--http1.1"],
  ["HTTP/2", "--http2-prior-knowledge"],
] as const) {
  const skip = curl === undefined && "curl is not installed";
  test(`server-sent events over ${version}: curl says that they broke off`, { skip }, async (t) => {
    const { edge, url } = await testEdge(t, { ...upstreams(workers), ...AT_ONCE });
    const program = new Program(curl ?? "", ["-sSN", "-m", "20", flag, url + EVENTS]);
    await program.says(/pong/);
    await edge.drain();
    const { code } = await program.exited;
    assert.ok(BROKEN_OFF.has(code), `curl exited with ${code}`);
  });
}

test("gRPC streams, the server's and both ways: grpc-js gets UNAVAILABLE and why", async (t) => {
  const { edge, port } = await testEdge(t, { ...upstreams(workers), ...AT_ONCE });
  const client = echoClient(t, port);
  const count = client.count(create(CountRequestSchema, { count: 1000, intervalMs: 10 }), new Metadata());
  const chat = client.chat(new Metadata());
  const ends = [ended(count), ended(chat)];
  chat.write(create(ChatMessageSchema, { message: "hello" }));
  await Promise.all([once(count, "data"), once(chat, "data")]);
  await edge.drain();
  for (const { code, details } of await Promise.all(ends))
    assert.deepEqual([code, details], [14, "the server is shutting down"]);
});

test("several processes: each client is told in its own way", async (t) => {
  const { program, port } = await severalStarted(t, workers, 2, { DRAIN_SECONDS: "1" });
  const url = `http://127.0.0.1:${port}`;
  const reader = (await fetch(url + EVENTS)).body?.getReader();
  const events = http2Client(t, port).request({ ":path": EVENTS });
  const reset = settle(events);
  const count = echoClient(t, port).count(
    create(CountRequestSchema, { count: 1000, intervalMs: 10 }),
    new Metadata(),
  );
  const status = ended(count);
  const socket = openWebSocket(t, port);
  await Promise.all([reader?.read(), once(events, "data"), once(count, "data"), once(socket, "open")]);
  const left = closedWith(socket);
  program.child.kill("SIGTERM");
  assert.equal((await left)[0], 1001);
  assert.equal((await status).code, 14);
  assert.notEqual((await reset).code, 0);
  await assert.rejects(async () => {
    while ((await reader?.read())?.done === false);
  }, /terminated/);
  assert.equal((await program.exited).code, 0);
});

test("clients that never read do not hold the drain beyond its time", async (t) => {
  const { edge, port } = await testEdge(t, { ...upstreams(workers), ...AT_ONCE });
  const plain = connect(port, "127.0.0.1").pause();
  t.after(() => plain.destroy());
  plain.on("error", () => {});
  plain.write("GET /download?bytes=100000000 HTTP/1.1\r\nHost: a\r\n\r\n");
  // It reads frames, but opens no window.
  const framed = new FrameClient(t, port);
  framed.open(headers(1, "GET", "/download?bytes=100000000"));
  await Promise.all([once(plain, "readable"), framed.until(/^DATA 1 /)]);
  const started = performance.now();
  await edge.drain();
  assert.ok(performance.now() - started < 1000);
  await framed.ended;
  assert.ok(!framed.frames.some((text) => text.endsWith("END_STREAM")));
  let bytes = 0;
  plain.on("data", (chunk: Buffer) => (bytes += chunk.length));
  await once(plain, "close");
  assert.ok(bytes < 100_000_000);
});

/** A gRPC worker that takes one call at a time; the calls come one by one from `next`. */
async function oneAtATime(t: TestContext): Promise<{ url: string; next: () => Promise<ServerHttp2Stream> }> {
  const server = createHttp2Server({ settings: { maxConcurrentStreams: 1 } });
  server.on("session", (session) => {
    t.after(() => session.destroy());
    session.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const next = async (): Promise<ServerHttp2Stream> => {
    const [stream] = (await once(server, "stream")) as [ServerHttp2Stream];
    stream.on("error", () => {});
    return stream;
  };
  return { url: `h2c://127.0.0.1:${(server.address() as AddressInfo).port}`, next };
}

test("a call that waits for a worker's turn gets it while the edge drains", async (t) => {
  const worker = await oneAtATime(t);
  const { edge, port } = await testEdge(t, { GRPC_UPSTREAMS: worker.url, LIMIT_UPSTREAM_CONNECTIONS: "1" });
  const session = http2Client(t, port);
  const running = worker.next();
  const replies = [settle(session.request(GRPC).end(message()))];
  const stream = await running;
  replies.push(settle(session.request(GRPC).end(message())));
  await new Promise((resolve) => session.ping(Buffer.alloc(8), resolve));
  const drained = edge.drain();
  const waited = worker.next();
  answer(stream);
  answer(await waited);
  for (const reply of await Promise.all(replies)) assert.equal(reply.headers["grpc-status"], "0");
  await drained;
});

function answer(stream: ServerHttp2Stream): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
    { endStream: true },
  );
}

test("a call that still waits when the drain time is over is told UNAVAILABLE, as the one that runs is", async (t) => {
  const worker = await oneAtATime(t);
  const { edge, port } = await testEdge(t, { GRPC_UPSTREAMS: worker.url, ...AT_ONCE });
  const session = http2Client(t, port);
  const running = worker.next();
  const replies = [settle(session.request(GRPC).end(message()))];
  await running;
  replies.push(settle(session.request(GRPC).end(message())));
  await new Promise((resolve) => session.ping(Buffer.alloc(8), resolve));
  await edge.drain();
  for (const reply of await Promise.all(replies)) assert.equal(reply.headers["grpc-status"], "14");
});

test("workers that are gone do not hold the drain, nor a request that was waiting for one", async (t) => {
  const asked = Promise.withResolvers<Socket>();
  const worker = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => asked.resolve(socket));
  });
  await new Promise<void>((resolve) => worker.listen(0, "127.0.0.1", resolve));
  const { edge, port, logged } = await testEdge(t, {
    HTTP_UPSTREAMS: `http://127.0.0.1:${(worker.address() as AddressInfo).port}`,
  });
  const running = new RawClient(t, port);
  running.send("POST /lost HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  const socket = await asked.promise;
  worker.close();
  const refused = new RawClient(t, port);
  refused.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await refused.until(/^HTTP\/1\.1 503 /);
  await logged(({ message: text }) => text === "worker unreachable");
  const started = performance.now();
  const drained = edge.drain();
  socket.destroy();
  assert.match(await running.closed, /^HTTP\/1\.1 502 [\s\S]*connection: close/i);
  assert.equal(await drained, 0);
  assert.ok(performance.now() - started < 1000);
});

test("not ready while it drains, but alive; SIGINT after SIGTERM ends it at once, whatever runs", async (t) => {
  const admin = await freePort();
  const { edge, port } = await startStack(t, { DRAIN_SECONDS: "60", ADMIN_PORT: String(admin) });
  const slow = new RawClient(t, port);
  slow.send("GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n");
  const held = openWebSocket(t, port);
  await once(held, "open");
  edge.child.kill("SIGTERM");
  await edge.says(/draining/);
  const statuses = ["readyz", "livez"].map(
    async (page) => (await fetch(`http://127.0.0.1:${admin}/${page}`)).status,
  );
  assert.deepEqual(await Promise.all(statuses), [503, 200]);
  const started = performance.now();
  edge.child.kill("SIGINT");
  assert.equal((await edge.exited).code, 130);
  assert.ok(performance.now() - started < 1000);
  assert.equal(await slow.closed, "");
});

test("a worker gets all of a tunnel whose client has gone, although the edge drains", async (t) => {
  // A Unix socket takes 208 KiB for a worker that does not read, Node one read of 64 KiB, and the edge 128 KiB: some of this waits in the edge.
  const bytes = 320 * 1024;
  const folder = mkdtempSync(join(tmpdir(), "oneport-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "worker");
  const opened = Promise.withResolvers<Socket>();
  const worker = createServer({ allowHalfOpen: true, highWaterMark: 1 }, (socket) => {
    t.after(() => socket.destroy());
    socket.on("error", () => {});
    socket.once("data", (head: Buffer) => {
      socket.pause();
      const key = /sec-websocket-key: (\S+)/i.exec(head.toString())?.[1] ?? "";
      socket.end(
        `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${webSocketAccept(key)}\r\n\r\n`,
      );
      opened.resolve(socket);
    });
  });
  await new Promise<void>((resolve) => worker.listen(path, resolve));
  t.after(() => worker.close());
  const admin = await freePort();
  const edge = runScript(t, "edge/main.ts", [], {
    PORT: "0",
    ADMIN_PORT: String(admin),
    LOG_FORMAT: "json",
    ...upstreams(workers),
    WS_UPSTREAMS: `unix:${path}`,
  });
  const port = Number((await edge.says(/"port":(\d+)/))[1]);
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  t.after(() => client.destroy());
  client.resume();
  client.write(`${HANDSHAKE}\r\n`);
  const socket = await opened.promise;
  await once(client, "end");
  client.end(Buffer.alloc(bytes));
  const isRunning = async (): Promise<boolean> =>
    ((await (await fetch(`http://127.0.0.1:${admin}/readyz`)).json()) as { running: number }).running > 0;
  while (await isRunning()) await shortly();
  edge.child.kill("SIGTERM");
  await edge.says(/draining/);
  assert.ok(!(await within(200, edge.exited)), "the edge has ended before the worker had all");
  assert.equal((await readAll(socket)).length, bytes);
  assert.deepEqual(await edge.exited, { code: 0, signal: null });
});
