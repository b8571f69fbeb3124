// Peers nobody here wrote. A machine without one skips its tests visibly, by name.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { before, test } from "node:test";
import { WebSocket } from "ws";
import { haproxy, startHttp2Front } from "../support/haproxy.ts";
import type { Program } from "../support/processes.ts";
import { output, which } from "../support/processes.ts";
import type { Stack } from "../support/stack.ts";
import { startStack } from "../support/stack.ts";
import { suiteScope } from "../support/suite.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

const curl = which("curl");
const nghttp = which("nghttp");
const needs = (name: string, path: string | undefined): { skip: string | false } => ({
  skip: path === undefined && `${name} is not installed`,
});

async function runCurl(...args: string[]): Promise<Program> {
  return output(curl ?? "", ["-sS", "-m", "20", ...args]);
}

for (const [version, flag] of [
  ["1.1", "--http1.1"],
  ["2", "--http2-prior-knowledge"],
] as const) {
  test(`curl: GET over HTTP/${version}`, needs("curl", curl), async () => {
    const { out } = await runCurl(flag, "-w", " %{http_version} %{http_code}", `${stack.url}/ping`);
    assert.equal(out, `{"message":"pong"} ${version} 200`);
  });
  test(`curl: HEAD, 204 and 304 end at once over HTTP/${version}`, needs("curl", curl), async () => {
    const head = await runCurl(flag, "-I", `${stack.url}/ping`);
    assert.match(head.out, /content-length: 18/i);
    for (const status of ["204", "304"]) {
      const { out } = await runCurl(flag, "-w", "%{http_code}", `${stack.url}/status/${status}`);
      assert.equal(out, status);
    }
  });
  test(`curl: a chunked upload over HTTP/${version}`, needs("curl", curl), async () => {
    const { out } = await runCurl(
      flag,
      "-H",
      "transfer-encoding: chunked",
      "-H",
      "expect:",
      "--data-binary",
      "x".repeat(50_000),
      `${stack.url}/upload`,
    );
    assert.match(out, /"bytes":50000/);
  });
  test(`curl: Expect: 100-continue over HTTP/${version}`, needs("curl", curl), async () => {
    const { out } = await runCurl(
      flag,
      "-H",
      "expect: 100-continue",
      "--data-binary",
      "hello",
      `${stack.url}/upload`,
    );
    assert.match(out, /"bytes":5/);
  });
}

// Over HTTP/2 by prior knowledge curl 7.88 cannot use a connection twice, with any server.
{
  const flag = "--http1.1";
  test("curl: 100 requests on one connection", needs("curl", curl), async () => {
    const urls = Array.from({ length: 100 }, () => `${stack.url}/ping`);
    const { out } = await runCurl(flag, "-w", "%{num_connects}\n", ...urls);
    assert.equal(out.match(/pong/g)?.length, 100);
    assert.equal(out.match(/\}1$/gm)?.length, 1);
  });
}

test("curl: Upgrade: h2c is ignored, the reply comes over HTTP/1.1", needs("curl", curl), async () => {
  const { out } = await runCurl("--http2", "-w", " %{http_version} %{http_code}", `${stack.url}/ping`);
  assert.equal(out, '{"message":"pong"} 1.1 200');
});

test("nghttp: many streams on one connection", needs("nghttp2-client", nghttp), async () => {
  const { out } = await output(nghttp ?? "", ["-m", "50", `${stack.url}/ping`]);
  assert.equal(out.match(/pong/g)?.length, 50);
});

test("nghttp: a gRPC call with trailers", needs("nghttp2-client", nghttp), async (t) => {
  const folder = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(`${folder}/message`, Buffer.alloc(5));
  const { out } = await output(nghttp ?? "", [
    "-v",
    "-d",
    `${folder}/message`,
    "-H",
    "content-type: application/grpc",
    "-H",
    "te: trailers",
    `${stack.url}/Echo/Ping`,
  ]);
  assert.match(out, /grpc-status: 0/);
  assert.match(out, /pong/);
});

test("nghttp: padding and a window of one kilobyte", needs("nghttp2-client", nghttp), async () => {
  const { out } = await output(nghttp ?? "", [
    "-n",
    "-s",
    "-b",
    "100",
    "-w",
    "10",
    `${stack.url}/download?bytes=100000`,
  ]);
  assert.match(out, / 200 +97K /);
});

test("nghttp: a head in CONTINUATION frames", needs("nghttp2-client", nghttp), async () => {
  const { out } = await output(nghttp ?? "", ["-n", "-s", "--continuation", `${stack.url}/ping`]);
  assert.match(out, / 200 /);
});

test(
  "HAProxy: a WebSocket comes as extended CONNECT and works, one after the other on one connection",
  needs("haproxy", haproxy),
  async (t) => {
    const port = await startHttp2Front(t, stack.port);
    for (let i = 0; i < 10; i++) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
      await once(socket, "open");
      socket.send(JSON.stringify({ message: i }));
      const [data] = (await once(socket, "message")) as [Buffer];
      assert.deepEqual(JSON.parse(data.toString()), { request: { message: i }, message: "pong" });
      socket.close(1000);
      assert.equal((await once(socket, "close"))[0], 1000);
    }
    await stack.edge.says(/"requestMethod":"CONNECT"/);
  },
);

test("HAProxy: 20 WebSockets at once, HTTP beside them", needs("haproxy", haproxy), async (t) => {
  const port = await startHttp2Front(t, stack.port);
  const sockets = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
      await once(socket, "open");
      return socket;
    }),
  );
  const started = performance.now();
  for (let i = 0; i < 20; i++) assert.equal((await fetch(`http://127.0.0.1:${port}/ping`)).status, 200);
  // 200 ms each, if a reply's END_STREAM comes later than its last byte.
  assert.ok(performance.now() - started < 2000);
  const echoes = sockets.map((socket) => once(socket, "message"));
  for (const socket of sockets) socket.send(Buffer.from("binary"));
  for (const [data] of await Promise.all(echoes)) assert.equal(String(data), "binary");
  for (const socket of sockets) socket.terminate();
});

test("HAProxy: SSE and uploads through HTTP/2", needs("haproxy", haproxy), async (t) => {
  const port = await startHttp2Front(t, stack.port);
  const events = await (await fetch(`http://127.0.0.1:${port}/events?count=3&interval_ms=1`)).text();
  assert.equal(events.match(/^data: /gm)?.length, 3);
  const reply = await fetch(`http://127.0.0.1:${port}/upload`, {
    method: "PUT",
    body: Buffer.alloc(5_000_000),
  });
  assert.equal(((await reply.json()) as { bytes: number }).bytes, 5_000_000);
});
