import assert from "node:assert/strict";
import { before, test } from "node:test";
import { h2, http2Client, settle, talk } from "../../support/clients.ts";
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
