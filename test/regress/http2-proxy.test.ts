// What http2-proxy 5.0.53 does by itself, and must not do behind the edge: a test per defect (docs/http2-proxy.md).
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { RawClient, h2, http2Client, settle, talk } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { httpWorker, rawWorker, readAll } from "../support/workers.ts";

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

for (const method of ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "TRACE"]) {
  test(`the body of a ${method} is never a second request, over HTTP/1.1`, async (t) => {
    const seen: string[] = [];
    const worker = await httpWorker(t, async (req, res) => {
      seen.push(`${req.method} ${req.url} ${(await readAll(req)).length}`);
      res.end();
    });
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    const length = SMUGGLED.length;
    const chunked = `${method} /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`;
    const counted = `${method} /b HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${SMUGGLED}`;
    await talk(t, port, `${chunked}${counted}GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    assert.deepEqual(seen, [`${method} /a ${length}`, `${method} /b ${length}`, "GET /last 0"]);
  });
  test(`the body of a ${method} is never a second request, over HTTP/2`, async (t) => {
    const seen: string[] = [];
    const worker = await httpWorker(t, async (req, res) => {
      seen.push(`${req.method} ${req.url} ${(await readAll(req)).length}`);
      res.end();
    });
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    const session = http2Client(t, port);
    await h2(session, { ":method": method, ":path": "/a" }, SMUGGLED);
    await h2(session, { ":method": method, ":path": "/b", "content-length": SMUGGLED.length }, SMUGGLED);
    await h2(session, { ":path": "/last" });
    assert.deepEqual(seen, [
      `${method} /a ${SMUGGLED.length}`,
      `${method} /b ${SMUGGLED.length}`,
      "GET /last 0",
    ]);
  });
}

test("a worker that dies half-way leaves a reset over HTTP/2, not a clean end", async (t) => {
  const worker = await rawWorker(t, (socket) => {
    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", () => socket.destroy());
  });
  const { port, logged } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const reply = await h2(http2Client(t, port), { ":path": "/" });
  assert.deepEqual([reply.headers[":status"], reply.code], [200, 2]);
  await logged((line) => line["outcome"] === "upstream_reset");
});

for (const framing of [
  "content-length: 100\r\n\r\nhalf",
  "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
]) {
  test(`a worker that dies half-way cuts the HTTP/1.1 connection (${framing.slice(0, 14)})`, async (t) => {
    const worker = await rawWorker(t, (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\n${framing}`, () => socket.destroy());
    });
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    const text = await talk(t, port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.match(text, /half/);
    assert.doesNotMatch(text, /\r\n0\r\n\r\n$/);
    await assert.rejects(fetch(`http://127.0.0.1:${port}/`).then((reply) => reply.text()));
  });
}

test("an early reply to an HTTP/2 upload ends the exchange: NO_ERROR after the whole reply (RFC 9113, section 8.1)", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.writeHead(413).end("too much"));
  const { port, logged } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const stream = http2Client(t, port).request({ ":method": "POST", ":path": "/" }, { endStream: false });
  stream.write("first");
  const reply = await settle(stream);
  assert.deepEqual([reply.headers[":status"], reply.body.toString(), reply.code], [413, "too much", 0]);
  await logged((line) => line["outcome"] === "ok");
});

test("an early reply without a body ends the exchange too", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.writeHead(204).end());
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const stream = http2Client(t, port).request({ ":method": "POST", ":path": "/" }, { endStream: false });
  stream.write("first");
  const reply = await settle(stream);
  assert.deepEqual([reply.headers[":status"], reply.code], [204, 0]);
});

test("an early reply to an HTTP/1.1 upload is readable, and the connection does not stay stuck", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.writeHead(413).end("too much"));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_LINGER_MS: "100" });
  const client = new RawClient(t, port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nfirst");
  assert.match(await client.closed, /^HTTP\/1\.1 413 [\s\S]*too much/);
});

test("a connection that the worker closes while it is idle is not used again", async (t) => {
  const worker = await rawWorker(t, (socket, text, connection) => {
    if (!text.endsWith("\r\n\r\n")) return;
    socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n${connection}`);
  });
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  // Connection 1 is the edge's look whether the worker is there; it sends nothing.
  for (let i = 0; i < 20; i++) assert.equal((await fetch(url)).status, 200);
});

test("a safe request whose kept connection turns out dead is sent once more", async (t) => {
  const seen: number[] = [];
  const worker = await rawWorker(t, (socket, text, connection) => {
    if (!text.endsWith("\r\n\r\n")) return;
    seen.push(connection);
    // The second request on a connection is not answered: the connection is reset under it.
    if (seen.filter((each) => each === connection).length > 1) socket.resetAndDestroy();
    else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  });
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  assert.equal(await (await fetch(url)).text(), "ok");
  assert.equal(await (await fetch(url)).text(), "ok");
  assert.equal(seen.length, 3);
});

test("an unsafe request whose kept connection turns out dead is not: it may have been processed", async (t) => {
  let requests = 0;
  const worker = await rawWorker(t, (socket) => {
    if (++requests === 2) socket.resetAndDestroy();
    else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  });
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  assert.equal(await (await fetch(url, { method: "POST" })).text(), "ok");
  assert.equal((await fetch(url, { method: "POST" })).status, 502);
  assert.equal(requests, 2);
});

test("Connection: authorization, forwarded cannot strip what the edge itself writes", async (t) => {
  const worker = await httpWorker(t, (req, res) => void res.end(JSON.stringify(req.headers)));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const text = await talk(
    t,
    port,
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, forwarded, x-forwarded-for, host, via\r\nForwarded: for=6.6.6.6\r\n\r\n",
  );
  const seen = JSON.parse(/\{.*\}/.exec(text)?.[0] ?? "");
  assert.deepEqual(
    [seen.host, seen.forwarded, seen["x-forwarded-for"]],
    ["a", 'for=127.0.0.1;proto=http;host="a"', "127.0.0.1"],
  );
});

test("Upgrade: WebSocket in capitals is a WebSocket", async (t) => {
  const worker = await rawWorker(t, (socket, text) => {
    if (text.endsWith("\r\n\r\n")) socket.end("HTTP/1.1 418 Teapot\r\ncontent-length: 0\r\n\r\n");
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, WS_UPSTREAMS: worker });
  const text = await talk(
    t,
    port,
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: UPGRADE\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  assert.match(text, /^HTTP\/1\.1 418/);
});

test("a refused upgrade is answered, body and all", async (t) => {
  const worker = await httpWorker(
    t,
    (_req, res) => void res.writeHead(403, { "x-why": "closed" }).end("not today"),
  );
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send(
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  assert.match(await client.closed, /^HTTP\/1\.1 403 [\s\S]*x-why: closed[\s\S]*not today/i);
});

test("a 101 that nobody asked for is a bad reply, not an open tunnel", async (t) => {
  const worker = await rawWorker(t, (socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  });
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  assert.equal((await fetch(url)).status, 502);
});

test("a worker that refuses connections is a 503, the edge lives on, and so does the worker's return", async (t) => {
  const worker = createServer((_req, res) => res.end("ok"));
  const listen = (port: number): Promise<void> =>
    new Promise((resolve) => worker.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port } = worker.address() as AddressInfo;
  t.after(() => void worker.close());
  const { url, logged } = await testEdge(t, { HTTP_UPSTREAMS: `http://127.0.0.1:${port}` });
  const closed = once(worker, "close");
  worker.close();
  worker.closeAllConnections();
  await closed;
  const [first, second] = [await fetch(url), await fetch(url)];
  assert.deepEqual([first.status, second.status, first.headers.get("retry-after")], [503, 503, "1"]);
  await listen(port);
  await logged((line) => line["message"] === "worker reachable again");
  assert.equal((await fetch(url)).status, 200);
});

test("a reply with bytes beyond its content-length does not leak into the next one", async (t) => {
  const worker = await rawWorker(t, (socket, text) => {
    if (text.endsWith("\r\n\r\n"))
      socket.write(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
      );
  });
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  for (let i = 0; i < 3; i++) assert.equal(await (await fetch(url)).text(), "ok");
});
