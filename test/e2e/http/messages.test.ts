import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { before, test } from "node:test";
import { RawClient, h2, http2Client, talk } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import type { Stack } from "../../support/stack.ts";
import { startStack } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { httpWorker, readAll } from "../../support/workers.ts";

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
