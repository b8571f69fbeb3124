// What DOCTOR=on makes the edge say about a request, and to whom.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { WebSocket } from "ws";
import { ARRIVAL_PATH } from "../../edge/arrival.ts";
import type { Arrival } from "../../edge/arrival.ts";
import { OPTIONS, ask, newIssuer, settings } from "../support/auth.ts";
import { h2, http2Client, talk } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { webCall } from "../support/grpc-web.ts";
import { GRPC, message } from "../support/grpc.ts";
import { http2Worker, httpWorker, readAll } from "../support/workers.ts";
import { extendedConnect } from "../support/websockets.ts";

const read = (body: Buffer | string): Arrival => JSON.parse(body.toString()) as Arrival;

test("a request over HTTP/1.1, with what proxies in front have added", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("worker"));
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker, DOCTOR: "on", TRUSTED_HOPS: "1" });
  const headers = { "x-forwarded-for": "192.0.2.1, 192.0.2.2", traceparent: "00-0-0-0" };
  const reply = await fetch(url + ARRIVAL_PATH, { headers });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.get("cache-control"), "no-store");
  const { now, ...rest } = read(await reply.text());
  assert.deepEqual(rest, {
    protocol: "HTTP/1.1",
    as: "request",
    forwardedFor: 2,
    trustedHops: 1,
    trace: ["traceparent"],
  });
  assert.ok(Math.abs(now - Date.now()) < 10_000);
  assert.equal(await (await fetch(`${url}${ARRIVAL_PATH}?`)).text(), "worker");
});

test("a request and an extended CONNECT over HTTP/2", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("worker"));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, DOCTOR: "on" });
  const session = http2Client(t, port);
  const { headers, body, code } = await h2(session, { ":path": ARRIVAL_PATH });
  assert.deepEqual([headers[":status"], code], [200, 0]);
  assert.deepEqual([read(body).protocol, read(body).as], ["HTTP/2", "request"]);
  const { stream, reply } = await extendedConnect(session, { ":path": ARRIVAL_PATH });
  assert.equal(reply[":status"], 400);
  assert.equal(read(await readAll(stream)).as, "extended CONNECT");
});

test("a WebSocket's upgrade is refused with how it came", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("worker"));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, DOCTOR: "on" });
  const socket = new WebSocket(`ws://127.0.0.1:${port}${ARRIVAL_PATH}`);
  const [, reply] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  assert.equal(reply.statusCode, 400);
  const { protocol, as } = read(await readAll(reply));
  assert.deepEqual([protocol, as], ["HTTP/1.1", "upgrade"]);
});

test("HEAD has no body, and the connection goes on", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("worker"));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, DOCTOR: "on" });
  const text = await talk(
    t,
    port,
    `HEAD ${ARRIVAL_PATH} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  );
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^{]*\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*worker/);
  const { headers, body } = await h2(http2Client(t, port), { ":method": "HEAD", ":path": ARRIVAL_PATH });
  assert.deepEqual([headers[":status"], body.length], [200, 0]);
});

test("without DOCTOR=on the path is the worker's", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end("worker"));
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  assert.equal(await (await fetch(url + ARRIVAL_PATH)).text(), "worker");
});

test("where the door is shut only a verified caller is told", async (t) => {
  const issuer = await newIssuer(t);
  const worker = await httpWorker(t, (_req, res) => void res.end("worker"));
  const { url } = await testEdge(t, settings(worker, issuer, { DOCTOR: "on" }));
  const { status, body } = await ask(url, undefined, ARRIVAL_PATH);
  assert.deepEqual([status, body["error"], body["protocol"]], [401, "unauthenticated", undefined]);
  assert.equal((await ask(url, issuer.mint(OPTIONS), ARRIVAL_PATH)).body["protocol"], "HTTP/1.1");
});

test("a call of that path, over gRPC or gRPC-Web, is the worker's", async (t) => {
  const { port } = await testEdge(t, {
    DOCTOR: "on",
    GRPC_UPSTREAMS: await http2Worker(t, (stream) =>
      stream.respond({ "content-type": "application/grpc", "grpc-status": "5" }, { endStream: true }),
    ),
  });
  const { headers } = await h2(http2Client(t, port), { ...GRPC, ":path": ARRIVAL_PATH }, message());
  assert.equal(headers["grpc-status"], "5");
  const reply = await webCall(t, port, "1.1", message(), { path: ARRIVAL_PATH });
  assert.deepEqual([reply.headers["grpc-status"], reply.over], ["5", "complete"]);
});
