// A worker that is given up: who waits for it hears so, and nothing connects to it again.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Http2Server, ServerHttp2Session } from "node:http2";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { readConfig } from "../../edge/settings/config.ts";
import { address } from "../../edge/settings/parse.ts";
import { Http2Upstream } from "../../edge/upstream/session.ts";
import { Asking, GET, ask, upstreamTo } from "../support/http1-client.ts";

/** Listens, and counts connections. */
async function counting(
  t: TestContext,
  server: Server | Http2Server,
): Promise<{ port: number; others: () => Promise<number> }> {
  const sockets: Socket[] = [];
  server.on("connection", (socket: Socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    /** Connections so far: whatever came before the one that is opened to ask has been seen by then. */
    async others() {
      const marker = connect(port, "127.0.0.1");
      await once(server, "connection");
      marker.destroy();
      return sockets.length - 1;
    },
  };
}

function http2To(t: TestContext, port: number): Http2Upstream {
  const options = readConfig({});
  const upstream = new Http2Upstream(address("h2c")(`h2c://127.0.0.1:${port}`), options);
  t.after(() => upstream.close());
  return upstream;
}

const UNPROCESSED = { code: "upstream_unprocessed" };

test("HTTP/2: who waits for a stream of a worker that is closed is told, and no connection is opened", async (t) => {
  const server = createHttp2Server({ settings: { maxConcurrentStreams: 0 } });
  const told = Promise.withResolvers<void>();
  server.on("session", (session: ServerHttp2Session) => {
    session.on("error", () => {});
    session.once("localSettings", () => told.resolve());
  });
  const { port, others } = await counting(t, server);
  const upstream = http2To(t, port);
  await upstream.ready();
  await told.promise;
  // The limit is known to both: these wait.
  const waiting = [upstream.ready(), upstream.ready()].map((ready) => assert.rejects(ready, UNPROCESSED));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(upstream.isReady, false);
  upstream.close();
  await Promise.all(waiting);
  assert.equal(await others(), 1);
});

test("HTTP/2: a worker that is closed while it is being connected to", async (t) => {
  const { port } = await counting(t, createHttp2Server());
  const upstream = http2To(t, port);
  const ready = assert.rejects(upstream.ready(), UNPROCESSED);
  upstream.close();
  await ready;
});

test("HTTP/2: nothing is asked of a worker that was closed", async (t) => {
  const { port, others } = await counting(t, createHttp2Server());
  const upstream = http2To(t, port);
  await upstream.ready();
  upstream.close();
  await assert.rejects(upstream.ready(), UNPROCESSED);
  const receiver = { inform() {}, head() {}, data() {}, end() {}, abort() {} };
  assert.throws(() => upstream.open([], [], [], receiver), UNPROCESSED);
  assert.equal(await others(), 1);
});

test("HTTP/2: a connection that has said GOAWAY, and still carries a call, is closed as well", async (t) => {
  const server = createHttp2Server();
  const left = Promise.withResolvers<void>();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.session?.once("close", () => left.resolve());
    stream.session?.goaway(0);
  });
  const { port } = await counting(t, server);
  const upstream = http2To(t, port);
  await upstream.ready();
  const over = Promise.withResolvers<string>();
  const receiver = {
    inform() {},
    head() {},
    data() {},
    end() {},
    abort: ({ code }: { code: string }) => over.resolve(code),
  };
  upstream.open([":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/"], [], [], receiver);
  while (upstream.isReady) await new Promise((resolve) => setImmediate(resolve));
  upstream.close();
  assert.equal(await over.promise, "upstream_reset");
  await left.promise;
});

/** An HTTP/1.1 worker that answers the first request on a connection, and no other. */
function answersOnce(second: () => void): Server {
  return createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      socket.once("data", second);
    });
  });
}

test("HTTP/1.1: a request on a kept connection is not sent again to a worker that is closed", async (t) => {
  const asked = Promise.withResolvers<void>();
  const { port, others } = await counting(t, answersOnce(asked.resolve));
  const upstream = upstreamTo(t, `http://127.0.0.1:${port}`);
  await ask(upstream);
  const asking = new Asking(upstream, GET);
  await asked.promise;
  upstream.close();
  assert.equal(await asking.over, "upstream_reset");
  assert.equal(await others(), 1);
});

test("HTTP/1.1: nothing is asked of a worker that was closed", async (t) => {
  const { port, others } = await counting(
    t,
    answersOnce(() => {}),
  );
  const upstream = upstreamTo(t, `http://127.0.0.1:${port}`);
  await ask(upstream);
  upstream.close();
  assert.throws(() => new Asking(upstream, GET), UNPROCESSED);
  assert.equal(await others(), 1);
});
