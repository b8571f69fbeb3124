// Field lists that are legal, or at least harmless, and once broke a reply or the whole process.
import assert from "node:assert/strict";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { RawClient, h2, http2Client, settle, talk } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { FrameClient, fields, frame, headers } from "../support/frames.ts";
import { http2Worker, httpWorker, rawWorker, readAll } from "../support/workers.ts";

const GRPC = { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc", te: "trailers" };
const LENIENT = { strictSingleValueFields: false } as object;

test("a gRPC request whose trailers repeat a single-valued field does not end the process", async (t) => {
  const worker = await http2Worker(t, (stream) => {
    stream.resume();
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("end", () => stream.end());
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  client.open(
    headers(1, "POST", "/ping", [["content-type", "application/grpc"]], false),
    frame("HEADERS", 5, 1, fields(["etag", "a"], ["etag", "b"])),
  );
  await client.until(/END_STREAM|RST_STREAM/);
  assert.match(client.frames.at(-1) ?? "", /END_STREAM/);
});

test("a gRPC reply that repeats single-valued fields, in its head and trailers, passes", async (t) => {
  const worker = await rawHttp2Worker(t);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const reply = await h2(http2Client(t, port), GRPC, Buffer.alloc(5));
  assert.deepEqual([reply.headers[":status"], reply.trailers["grpc-status"]], [200, "0"]);
});

async function rawHttp2Worker(t: import("node:test").TestContext): Promise<string> {
  const { createServer } = await import("node:http2");
  const server = createServer(LENIENT);
  server.on("stream", (stream) => {
    stream.respond(
      {
        ":status": 200,
        "content-type": "application/grpc",
        "x-content-type-options": ["nosniff", "nosniff"],
      } as never,
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", etag: ["a", "b"] } as never));
    stream.end(Buffer.alloc(5));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  return `h2c://127.0.0.1:${(server.address() as { port: number }).port}`;
}

test("an HTTP reply that repeats a single-valued field, in head, 103 and trailers, passes over HTTP/2", async (t) => {
  const twice = "x-content-type-options: nosniff\r\nx-content-type-options: nosniff\r\n";
  const worker = await rawWorker(t, (socket) => {
    socket.write(
      `HTTP/1.1 103 Early Hints\r\n${twice}\r\nHTTP/1.1 200 OK\r\n${twice}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\netag: a\r\netag: b\r\n\r\n`,
    );
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const reply = await h2(http2Client(t, port), { ":path": "/" });
  assert.deepEqual([reply.headers[":status"], reply.body.toString(), reply.code], [200, "ok", 0]);
});

test("a gRPC request that repeats a single-valued field passes", async (t) => {
  const worker = await http2Worker(t, (stream) => {
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
      { endStream: true },
    );
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  client.open(
    headers(1, "POST", "/Echo/Ping", [
      ["content-type", "application/grpc"],
      ["user-agent", "a"],
      ["user-agent", "b"],
    ]),
  );
  assert.deepEqual(await client.until(/END_STREAM/), ["HEADERS 1 END_STREAM"]);
});

for (const status of ["042", "099", "600", "999"]) {
  test(`a worker's status ${status} is a 502 over both versions (RFC 9110, section 15)`, async (t) => {
    const worker = await rawWorker(
      t,
      (socket) => void socket.write(`HTTP/1.1 ${status} What\r\ncontent-length: 0\r\n\r\n`),
    );
    const { port, url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    assert.equal((await fetch(url)).status, 502);
    assert.equal((await h2(http2Client(t, port), { ":path": "/" })).headers[":status"], 502);
  });
}

for (const [why, text] of [
  ["a GET", "GET / HTTP/1.1\r\nHost: a\r\nTrailer: x-sum\r\nConnection: close\r\n\r\n"],
  [
    "a counted POST",
    "POST / HTTP/1.1\r\nHost: a\r\nTrailer: x-sum\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
  ],
] as const) {
  test(`Trailer on ${why} does not break the request`, async (t) => {
    const worker = await httpWorker(
      t,
      async (req, res) => void res.end(`got ${(await readAll(req)).length}`),
    );
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    assert.match(await talk(t, port, text), /^HTTP\/1\.1 200 [\s\S]*got/);
  });
}

for (const [why, line] of [
  ["HEAD", "HEAD / HTTP/1.1"],
  ["HTTP/1.0", "GET / HTTP/1.0"],
] as const) {
  test(`Trailer in a reply to ${why} does not break the reply`, async (t) => {
    const worker = await rawWorker(t, (socket, text) => {
      const body = text.startsWith("HEAD") ? "" : "2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n";
      socket.write(`HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n${body}`);
    });
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    assert.match(await talk(t, port, `${line}\r\nHost: a\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 200 /);
  });
}

test("Trailer in a counted reply does not break the reply", async (t) => {
  const worker = await rawWorker(
    t,
    (socket) => void socket.write("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ncontent-length: 2\r\n\r\nok"),
  );
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  assert.equal(await (await fetch(url)).text(), "ok");
});

test("a gRPC reply with a content-length keeps its trailers", async (t) => {
  const worker = await http2Worker(t, (stream) => {
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "content-length": "5" },
      { waitForTrailers: true },
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "9" }));
    stream.end(Buffer.alloc(5));
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const reply = await h2(http2Client(t, port), GRPC, Buffer.alloc(5));
  assert.deepEqual([reply.body.length, reply.trailers["grpc-status"], reply.code], [5, "9", 0]);
});

test("bytes beyond ASCII in a value arrive as they were, over both versions", async (t) => {
  const worker = await httpWorker(t, (req, res) => {
    const at = req.rawHeaders.indexOf("x-name");
    res.setHeader("x-back", req.rawHeaders[at + 1] ?? "");
    res.end();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const value = Buffer.from("Zoë", "utf8").toString("latin1");
  const plain = new RawClient(t, port);
  plain.send(`GET / HTTP/1.1\r\nHost: a\r\nx-name: ${value}\r\nConnection: close\r\n\r\n`);
  const text = await plain.closed;
  assert.ok(text.includes(`x-back: ${value}\r\n`), text);
  const stream = http2Client(t, port).request({ ":path": "/", "x-name": value });
  const reply = await settle(stream);
  assert.equal(reply.headers["x-back"], value);
});

test("a head of 40 KB passes both ways", async (t) => {
  const large = "x".repeat(40_000);
  const worker = await rawWorker(t, (socket, text) => {
    if (text.endsWith("\r\n\r\n"))
      socket.write(
        `HTTP/1.1 200 OK\r\nx-large: ${/x-large: (x+)/.exec(text)?.[1]}\r\ncontent-length: 0\r\n\r\n`,
      );
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const reply = await new Promise<IncomingMessage>((resolve) => {
    request(
      { port, host: "127.0.0.1", headers: { "x-large": large }, maxHeaderSize: 100_000 },
      resolve,
    ).end();
  });
  assert.equal(reply.headers["x-large"], large);
});

test("a 205 has no body, whatever the worker sends", async (t) => {
  const worker = await rawWorker(
    t,
    (socket) =>
      void socket.write(`HTTP/1.1 205 Reset Content\r\ncontent-length: 500000\r\n\r\n${"x".repeat(500_000)}`),
  );
  const { port, logged } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const reply = await h2(http2Client(t, port), { ":path": "/" });
  assert.deepEqual([reply.headers[":status"], reply.body.length], [205, 0]);
  await logged((line) => line["outcome"] === "ok");
});
