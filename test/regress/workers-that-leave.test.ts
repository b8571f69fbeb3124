// Workers that die, refuse, or change their mind while requests are under way.
import assert from "node:assert/strict";
import { createServer } from "node:http2";
import type { ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { Exchange, HeaderList } from "../../edge/exchange.ts";
import { NO_SOURCE } from "../../edge/exchange.ts";
import { RepeatableBody } from "../../edge/proxy/repeatable-body.ts";
import { h2, http2Client } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { FrameClient, frame, headers } from "../support/frames.ts";
import { http2Worker, httpWorker, rawWorker } from "../support/workers.ts";

const GRPC = { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc", te: "trailers" };
const PONG = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npong";

/** A gRPC worker with this limit: how many calls it had at a time, and the first connection that knows of the limit. */
async function limitedWorker(
  t: TestContext,
  maxConcurrentStreams: number,
): Promise<{ url: string; most: () => number; told: Promise<ServerHttp2Session> }> {
  const sessions: ServerHttp2Session[] = [];
  const told = Promise.withResolvers<ServerHttp2Session>();
  let running = 0;
  let most = 0;
  const server = createServer({ settings: { maxConcurrentStreams } });
  server.on("session", (session) => {
    sessions.push(session);
    session.on("error", () => {});
    session.once("localSettings", () => told.resolve(session));
  });
  server.on("stream", (stream) => {
    most = Math.max(most, ++running);
    stream.on("error", () => {});
    stream.on("close", () => running--);
    stream.resume();
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "0" });
      stream.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const session of sessions) session.destroy();
  });
  return {
    url: `h2c://127.0.0.1:${(server.address() as AddressInfo).port}`,
    most: () => most,
    told: told.promise,
  };
}

for (const version of ["2", "1.1, by http2-proxy", "1.1, direct"]) {
  test(`a worker dies with a GET on a kept connection: the other one answers (HTTP/${version})`, async (t) => {
    let requests = 0;
    const dying = await rawWorker(t, (socket) => {
      requests++;
      if (requests === 1) return void socket.write(PONG);
      socket.destroy();
    });
    const other = await httpWorker(t, (_req, res) => void res.end("pong"));
    const { port, url } = await testEdge(t, {
      HTTP_UPSTREAMS: `${dying},${other}`,
      HTTP1_CARRIER: version.endsWith("direct") ? "direct" : "http2-proxy",
    });
    const session = http2Client(t, port);
    const get = async (): Promise<string> =>
      version === "2" ? (await h2(session, { ":path": "/" })).body.toString() : (await fetch(url)).text();
    for (let i = 0; i < 6; i++) assert.match(await get(), /pong|upstream_reset/);
    assert.ok(requests > 1);
  });
}

test("20 calls at once to a worker that takes 4 at a time: all are answered, none beyond the limit", async (t) => {
  const worker = await limitedWorker(t, 4);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker.url, LIMIT_UPSTREAM_CONNECTIONS: "1" });
  const session = http2Client(t, port);
  await h2(session, GRPC, "warm");
  const replies = await Promise.all(Array.from({ length: 20 }, () => h2(session, GRPC, "ping")));
  assert.deepEqual(
    replies.map((reply) => reply.headers["grpc-status"]),
    Array.from({ length: 20 }, () => "0"),
  );
  assert.ok(worker.most() <= 4, `${worker.most()} at a time`);
});

test("a call that waits goes on when the worker raises its limit", async (t) => {
  const worker = await limitedWorker(t, 0);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker.url });
  const session = http2Client(t, port);
  // The first may be on its way before the limit is known, and is refused then; both wait once it is.
  const waiting = [h2(session, GRPC, "ping"), h2(session, GRPC, "ping")];
  const told = await worker.told;
  told.settings({ maxConcurrentStreams: 100 });
  for (const reply of await Promise.all(waiting)) assert.equal(reply.headers["grpc-status"], "0");
});

test("a worker that measures by PING, 1,500 times, is not a flood", async (t) => {
  let pings = 0;
  const all = Promise.withResolvers<void>();
  const worker = await http2Worker(t, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    const next = (): void => {
      if (pings === 1500) all.resolve();
      else if (stream.session?.destroyed === false) stream.session.ping(() => (pings++, next()));
    };
    next();
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const stream = http2Client(t, port).request(GRPC);
  stream.on("error", () => {});
  await all.promise;
  assert.equal(stream.closed, false);
});

test("a client that asks a PING for each of 2,000 requests is no flood", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("ok"));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  client.open();
  for (let i = 0; i < 2000; i++) {
    client.send(frame("PING", 0, 0, Buffer.alloc(8)), headers(2 * i + 1, "GET", "/"));
    if (i % 100 === 99) await client.until(new RegExp(` ${2 * i + 1} .*END_STREAM`));
  }
});

test("what lies behind a client's GOAWAY on an idle connection is not served", async (t) => {
  let requests = 0;
  const worker = await httpWorker(t, (_req, res) => void (requests++, res.end()));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  client.open(frame("GOAWAY", 0, 0, Buffer.alloc(8)), headers(1, "DELETE", "/"));
  await client.ended;
  assert.equal(requests, 0);
});

test("a body of which more came between two attempts than is kept is not whole", () => {
  const consumed: number[] = [];
  const exchange = { receive: () => {}, consume: (bytes: number) => consumed.push(bytes) };
  const written: number[] = [];
  const worker = {
    source: NO_SOURCE,
    write: (chunk: Buffer) => void written.push(chunk.length),
    end: (_trailers: HeaderList) => {},
  };
  const body = new RepeatableBody(exchange as unknown as Exchange);
  body.sendTo({ worker, abort: () => {} });
  body.data(Buffer.alloc(60_000));
  worker.source.consume(60_000);
  assert.equal(body.isWhole, true);
  // The first attempt is dead by now.
  body.data(Buffer.alloc(10_000));
  assert.equal(body.isWhole, false);
  assert.deepEqual(consumed, [60_000]);
});
