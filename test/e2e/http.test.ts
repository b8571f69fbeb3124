import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { before, test } from "node:test";
import { http2Client, h2, RawClient, settle, talk } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import type { Stack } from "../support/stack.ts";
import { startStack } from "../support/stack.ts";
import { suiteScope } from "../support/suite.ts";
import { httpWorker, readAll } from "../support/workers.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];

/** An HTTP/1.1 request with exact control of body and framing. */
async function h1(
  port: number,
  method: string,
  path: string,
  body: string | undefined,
  chunked: boolean,
): Promise<{ status: number; headers: Record<string, unknown>; body: Buffer; trailers: object }> {
  const headers: Record<string, string> =
    body === undefined
      ? {}
      : chunked
        ? { "transfer-encoding": "chunked" }
        : { "content-length": String(body.length) };
  const req = request({
    port,
    host: "127.0.0.1",
    method,
    path,
    headers,
    agent: new Agent({ keepAlive: false }),
  });
  req.end(body);
  const [reply] = (await once(req, "response")) as [import("node:http").IncomingMessage];
  return {
    status: reply.statusCode ?? 0,
    headers: reply.headers,
    body: await readAll(reply),
    trailers: reply.trailers,
  };
}

for (const method of METHODS) {
  test(`${method} without a body, over HTTP/1.1`, async () => {
    const reply = await h1(stack.port, method, "/echo?a=b", undefined, false);
    assert.equal(reply.status, 200);
    const seen = method === "HEAD" ? "" : JSON.parse(reply.body.toString());
    assert.equal(method === "HEAD" ? reply.body.length : seen.method, method === "HEAD" ? 0 : method);
  });
  test(`${method} without a body, over HTTP/2`, async (t) => {
    const reply = await h2(http2Client(t, stack.port), { ":method": method, ":path": "/echo?a=b" });
    assert.equal(reply.headers[":status"], 200);
    assert.equal(reply.code, 0);
    assert.equal(reply.body.length > 0, method !== "HEAD");
  });
}

for (const method of METHODS.filter((name) => name !== "HEAD")) {
  for (const chunked of [true, false]) {
    test(`${method} with a ${chunked ? "chunked" : "counted"} body, over HTTP/1.1`, async () => {
      const reply = await h1(stack.port, method, "/echo", "hello body", chunked);
      const seen = JSON.parse(reply.body.toString());
      assert.deepEqual([seen.method, seen.body], [method, "hello body"]);
    });
  }
  test(`${method} with a body, over HTTP/2`, async (t) => {
    const reply = await h2(http2Client(t, stack.port), { ":method": method, ":path": "/echo" }, "hello body");
    const seen = JSON.parse(reply.body.toString());
    assert.deepEqual([seen.method, seen.body], [method, "hello body"]);
  });
}

for (const status of [200, 201, 204, 206, 301, 304, 400, 401, 404, 409, 418, 429, 500, 503, 599]) {
  test(`status ${status} passes over both versions`, async (t) => {
    const first = await h1(stack.port, "GET", `/status/${status}`, undefined, false);
    const second = await h2(http2Client(t, stack.port), { ":path": `/status/${status}` });
    assert.deepEqual([first.status, second.headers[":status"], second.code], [status, status, 0]);
  });
}

test("a request target in absolute form goes to the worker in origin form (RFC 9112, section 3.2.2)", async (t) => {
  const text = await talk(
    t,
    stack.port,
    "GET http://other.example/echo?x=1 HTTP/1.1\r\nHost: ignored\r\nConnection: close\r\n\r\n",
  );
  const seen = JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4));
  assert.deepEqual([seen.url, seen.host], ["/echo?x=1", "other.example"]);
});

test("an HTTP/1.0 client gets its reply without chunks, and the connection closed", async (t) => {
  const text = await talk(t, stack.port, "GET /events?count=2&interval_ms=1 HTTP/1.0\r\nHost: a\r\n\r\n");
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.doesNotMatch(text, /transfer-encoding/i);
  assert.match(text, /data: .*\n\ndata: |id: 2/);
});

test("two requests on one HTTP/1.1 connection, pipelined, are answered in order", async (t) => {
  const client = new RawClient(t, stack.port);
  client.send("GET /slow?ms=50 HTTP/1.1\r\nHost: a\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
  const text = await client.until(/"message":"pong","ms":50\}[\s\S]*\{"message":"pong"\}$/);
  assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 2);
});

test("a head that comes one byte at a time is understood, over both versions", async (t) => {
  const client = new RawClient(t, stack.port);
  for (const byte of "GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") client.send(byte);
  assert.match(await client.closed, /\{"message":"pong"\}$/);
});

test("a client that ends its direction is taken to have left, and the worker is told", async (t) => {
  const gone = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const worker = await httpWorker(t, (_req, res) => {
    res.once("close", () => gone.resolve());
    asked.resolve();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await asked.promise;
  client.socket.end();
  await gone.promise;
});

test("the worker sees who asked, and where from", async (t) => {
  const reply = await h2(http2Client(t, stack.port), {
    ":path": "/echo",
    ":authority": "api.example.com",
    "x-forwarded-for": "6.6.6.6",
    "x-auth-email": "forged@example.com",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  });
  const seen = JSON.parse(reply.body.toString());
  const raw: string[] = seen.rawHeaders;
  const value = (name: string): string | undefined => raw[raw.indexOf(name) + 1];
  assert.deepEqual([seen.host, seen.client, seen.protocol], ["api.example.com", "127.0.0.1", "http"]);
  assert.equal(value("via"), "2.0 oneport");
  assert.equal(value("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  assert.ok(!raw.includes("x-auth-email"));
});

test("repeated fields survive both ways", async (t) => {
  const worker = await httpWorker(t, (req, res) => {
    res.writeHead(200, [
      "set-cookie",
      "a=1",
      "set-cookie",
      "b=2",
      "x-seen",
      String(req.headersDistinct["x-many"]?.length),
    ]);
    res.end();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const reply = await h2(http2Client(t, port), { ":path": "/", "x-many": ["1", "2", "3"] });
  assert.deepEqual(reply.headers["set-cookie"], ["a=1", "b=2"]);
  assert.equal(reply.headers["x-seen"], "3");
});

test("cookie crumbs become one field for the worker (RFC 9113, section 8.2.3)", async (t) => {
  const reply = await h2(http2Client(t, stack.port), { ":path": "/echo", cookie: ["a=1", "b=2"] });
  const raw: string[] = JSON.parse(reply.body.toString()).rawHeaders;
  assert.equal(raw.filter((name) => name === "cookie").length, 1);
  assert.equal(raw[raw.indexOf("cookie") + 1], "a=1; b=2");
});

test("trailers pass both ways, over HTTP/1.1", async (t) => {
  const worker = await httpWorker(t, async (req, res) => {
    await readAll(req);
    res.writeHead(200, { trailer: "x-reply" });
    res.write("body");
    res.addTrailers({ "x-reply": String(req.trailers["x-request"]) });
    res.end();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const text = await talk(
    t,
    port,
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Request: sum\r\n\r\n",
  );
  assert.match(text, /trailer: x-reply/i);
  assert.match(text, /0\r\nx-reply: sum\r\n\r\n$/i);
});

test("trailers pass both ways, over HTTP/2", async (t) => {
  const worker = await httpWorker(t, async (req, res) => {
    await readAll(req);
    res.write("body");
    res.addTrailers({ "x-reply": String(req.trailers["x-request"]) });
    res.end();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const stream = http2Client(t, port).request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-request": "sum" }));
  stream.end("hi");
  const reply = await settle(stream);
  assert.equal(reply.trailers["x-reply"], "sum");
});

test("103 Early Hints comes before the reply, over both versions", async (t) => {
  const worker = await httpWorker(t, (_req, res) => {
    res.writeEarlyHints({ link: "</a.css>; rel=preload" }, () => res.end("late"));
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const text = await talk(t, port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert.match(text, /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200/i);
  const stream = http2Client(t, port).request({ ":path": "/" });
  const hints: unknown[] = [];
  stream.on("headers", (headers) => hints.push(headers[":status"], headers["link"]));
  const reply = await settle(stream);
  assert.deepEqual(hints, [103, "</a.css>; rel=preload"]);
  assert.equal(reply.body.toString(), "late");
});

test("100 Continue is the worker's to send, and the body waits for it", async (t) => {
  const worker = await httpWorker(t, () => {});
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
});

test("a refused expectation closes the connection: nobody knows whether the body follows", async (t) => {
  const { port } = await testEdge(t, {
    HTTP_UPSTREAMS: `http://127.0.0.1:${stack.http}`,
    AUTH_AUDIENCE: "x",
    AUTH_SERVICE_ACCOUNTS: "*",
  });
  const text = await talk(
    t,
    port,
    "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
  );
  assert.match(text, /^HTTP\/1\.1 401 /);
  assert.match(text, /connection: close/i);
});

test("server-sent events come one by one, not at the end", async (t) => {
  const session = http2Client(t, stack.port);
  const stream = session.request({ ":path": "/events?count=100&interval_ms=100" });
  const started = performance.now();
  await once(stream, "response");
  const [chunk] = (await once(stream, "data")) as [Buffer];
  assert.match(chunk.toString(), /^id: 1\ndata: /);
  assert.ok(performance.now() - started < 5000);
  stream.close();
});

test("a reply's head comes before its first byte", async (t) => {
  const held: import("node:http").ServerResponse[] = [];
  const worker = await httpWorker(t, (_req, res) => {
    held.push(res);
    res.flushHeaders();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 200 OK/);
  held[0]?.end();
});

const MIB = 1024 * 1024;

test("64 MiB up and down arrive whole, over both versions", async (t) => {
  const body = randomBytes(64 * MIB);
  const sha256 = createHash("sha256").update(body).digest("hex");
  const session = http2Client(t, stack.port);
  const up = await h2(session, { ":method": "PUT", ":path": "/upload" }, body);
  assert.deepEqual(JSON.parse(up.body.toString()), { bytes: body.length, sha256 });
  const down = await h2(session, { ":path": `/download?bytes=${64 * MIB}` });
  assert.deepEqual([down.body.length, down.code], [64 * MIB, 0]);
  const first = await fetch(`${stack.url}/upload`, { method: "POST", body });
  assert.deepEqual(await first.json(), { bytes: body.length, sha256 });
  const second = await fetch(`${stack.url}/download?bytes=${64 * MIB}`);
  assert.equal((await second.arrayBuffer()).byteLength, 64 * MIB);
});

test("a client that reads slowly holds the worker back: memory stays flat", async (t) => {
  let sent = 0;
  const worker = await httpWorker(t, (_req, res) => {
    const chunk = Buffer.alloc(64 * 1024);
    const pump = (): void => {
      while (!res.destroyed && sent < 256 * MIB) {
        sent += chunk.length;
        if (!res.write(chunk)) return void res.once("drain", pump);
      }
      res.end();
    };
    pump();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const stream = http2Client(t, port).request({ ":path": "/" });
  await once(stream, "response");
  let before = -1;
  while (sent !== before) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(sent < 16 * MIB, `the worker could send ${sent} bytes to a client that read none`);
  stream.close();
});

test("a worker that reads slowly holds the client back", async (t) => {
  const worker = await httpWorker(t, (req) => void req.pause());
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${256 * MIB}\r\n\r\n`);
  const chunk = Buffer.alloc(MIB);
  let taken = 0;
  for (; taken < 256 * MIB; taken += MIB) {
    if (client.socket.write(chunk)) continue;
    const drained = await Promise.race([
      once(client.socket, "drain"),
      new Promise((resolve) => setTimeout(resolve, 500, "stuck")),
    ]);
    if (drained === "stuck") break;
  }
  assert.ok(taken < 32 * MIB, `${taken} bytes went to a worker that read none`);
});

test("the worker is told when the client leaves", async (t) => {
  const gone = Promise.withResolvers<void>();
  const worker = await httpWorker(t, (_req, res) => {
    res.once("close", () => gone.resolve());
    res.write("first");
  });
  const { port, logged } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const stream = http2Client(t, port).request({ ":path": "/" });
  await once(stream, "data");
  stream.close(8);
  await gone.promise;
  await logged((line) => line["outcome"] === "client_gone");
});

test("an upload that breaks off does not look complete to the worker", async (t) => {
  const outcome = Promise.withResolvers<string>();
  const begun = Promise.withResolvers<void>();
  const worker = await httpWorker(t, (req) => {
    req.on("end", () => outcome.resolve("complete"));
    req.on("error", () => outcome.resolve("broken off"));
    req.on("data", () => begun.resolve());
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  // Without waitForTrailers Node's client itself ends the stream cleanly before it resets it.
  const stream = http2Client(t, port).request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true });
  stream.on("error", () => {});
  stream.write("part");
  await begun.promise;
  stream.close(8);
  assert.equal(await outcome.promise, "broken off");
});

test("two workers share the requests", async (t) => {
  const hits = [0, 0];
  const workers = await Promise.all(
    [0, 1].map((index) =>
      httpWorker(t, (_req, res) => {
        hits[index]!++;
        res.end();
      }),
    ),
  );
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: workers.join(",") });
  for (let i = 0; i < 20; i++) await (await fetch(url)).text();
  assert.deepEqual(hits, [10, 10]);
});

test("a worker on a Unix socket", async (t) => {
  const { createServer } = await import("node:http");
  const { mkdtempSync, rmSync } = await import("node:fs");
  const folder = mkdtempSync("/tmp/oneport-test-");
  const server = createServer((req, res) => res.end(`${req.method} ${req.url} ${req.headers.host}`));
  await new Promise<void>((resolve) => server.listen(`${folder}/worker`, resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true });
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: `unix:${folder}/worker` });
  const reply = await h2(http2Client(t, port), { ":path": "/over/unix", ":authority": "api.example.com" });
  assert.equal(reply.body.toString(), "GET /over/unix api.example.com");
});
