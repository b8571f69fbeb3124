// Requests that once were answered out of turn, twice, by the wrong worker, or never.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { trusting } from "../support/auth.ts";
import { RawClient, h2, http2Client, settle, talk } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { FrameClient, fields, frame } from "../support/frames.ts";
import { http2Worker, httpWorker, rawWorker, readAll } from "../support/workers.ts";

const GRPC = { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc", te: "trailers" };
const UPGRADE =
  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/** A worker that reads so many bytes and refuses, and one that answers with how many bytes it got. */
async function refusingAndCounting(
  t: TestContext,
  refuseAt: number,
): Promise<{ upstreams: string; counted: number[] }> {
  const counted: number[] = [];
  const first = await http2Worker(t, (stream) => {
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes >= refuseAt) stream.close(7);
    });
  });
  const other = await http2Worker(t, (stream) => {
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    stream.once("end", () => {
      counted.push(bytes);
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "0" });
      stream.end();
    });
  });
  return { upstreams: `${first},${other}`, counted };
}

test("a stream that a worker refuses goes to another one, with all of its bytes (RFC 9113, section 8.7)", async (t) => {
  const { upstreams, counted } = await refusingAndCounting(t, 1);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: upstreams });
  const reply = await h2(http2Client(t, port), GRPC, Buffer.alloc(60_000));
  assert.deepEqual([reply.headers["grpc-status"], counted], ["0", [60_000]]);
});

test("a refused stream goes on with what comes later", async (t) => {
  const { upstreams, counted } = await refusingAndCounting(t, 1);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: upstreams });
  const stream = http2Client(t, port).request(GRPC);
  stream.write("first");
  const reply = settle(stream);
  const later = setImmediate(() => stream.end("second"));
  t.after(() => clearImmediate(later));
  assert.equal((await reply).headers["grpc-status"], "0");
  assert.deepEqual(counted, [11]);
});

test("a refused stream of which bytes are gone is not sent to another worker", async (t) => {
  const { upstreams, counted } = await refusingAndCounting(t, 70_000);
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: upstreams });
  const stream = http2Client(t, port).request(GRPC);
  stream.end(Buffer.alloc(100_000));
  const reply = await settle(stream);
  assert.deepEqual([reply.headers["grpc-status"], counted], ["14", []]);
});

test("a stream beyond a worker's GOAWAY goes out again, on a new connection to the same one if there is no other", async (t) => {
  const answers = [
    frame("GOAWAY", 0, 0, Buffer.alloc(8)),
    frame(
      "HEADERS",
      5,
      1,
      fields([":status", "200"], ["content-type", "application/grpc"], ["grpc-status", "0"]),
    ),
  ];
  const answered: number[] = [];
  const worker = await rawWorker(t, (socket, text, connection) => {
    if (!text.includes("/Echo/Ping") || answered.includes(connection)) return;
    answered.push(connection);
    socket.write(
      Buffer.concat([frame("SETTINGS", 0, 0), answers.shift() ?? frame("GOAWAY", 0, 0, Buffer.alloc(8))]),
    );
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const reply = await h2(http2Client(t, port), GRPC, "ping");
  assert.deepEqual([reply.headers["grpc-status"], answered.length], ["0", 2]);
});

test("behind an Upgrade that is ignored, requests and bodies stay what they are", async (t) => {
  const seen: string[] = [];
  const worker = await httpWorker(t, async (req, res) => {
    seen.push(`${req.method} ${req.url} ${(await readAll(req)).length}`);
    res.end(req.url);
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  const client = new RawClient(t, port);
  client.send(
    `GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: ${smuggled.length}\r\n\r\n`,
  );
  client.send(smuggled);
  await client.until(/\/1[\s\S]*\/2/);
  assert.deepEqual(seen, ["GET /1 0", `POST /2 ${smuggled.length}`]);
});

test("nonsense behind a request is not written into the middle of its reply", async (t) => {
  const held: ServerResponse[] = [];
  const worker = await httpWorker(t, (req, res) => {
    if (req.url === "/other") return void res.end();
    held.push(res);
    res.writeHead(200, { "content-length": 20 });
    res.write("AAAAAAAAAA");
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await client.until(/A{10}/);
  client.send("\0\0nonsense\r\n\r\n");
  // The nonsense has been read once a connection opened after it has been answered.
  await (await fetch(`http://127.0.0.1:${port}/other`)).text();
  held[0]?.end("BBBBBBBBBB");
  assert.match(await client.closed, /A{10}B{10}$/);
});

test("a refusal of a pipelined request does not come as the reply to the one before", async (t) => {
  const held = Promise.withResolvers<ServerResponse>();
  const worker = await httpWorker(t, (_req, res) => held.resolve(res));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send(
    "POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
  );
  (await held.promise).writeHead(201).end("paid");
  const text = await client.closed;
  assert.match(text, /^HTTP\/1\.1 201 /);
  assert.ok(!/ 400 [\s\S]* 201 /.test(text));
});

test("a pipelined WebSocket handshake does not overtake the reply before it", async (t) => {
  const held = Promise.withResolvers<ServerResponse>();
  const worker = await httpWorker(t, (_req, res) => held.resolve(res));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send(`GET /slow HTTP/1.1\r\nHost: a\r\n\r\n${UPGRADE}`);
  (await held.promise).end("slow reply");
  const text = await client.closed;
  assert.match(text, /^HTTP\/1\.1 200 [\s\S]*slow reply/);
  assert.doesNotMatch(text, / 101 /);
});

test("a cut reply to an HTTP/1.0 client ends in a reset: the end of the connection would be the end of the body", async (t) => {
  const worker = await rawWorker(
    t,
    (socket) =>
      void socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", () =>
        setImmediate(() => socket.destroy()),
      ),
  );
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  socket.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  socket.resume();
  const [error] = (await once(socket, "error")) as [Error & { code: string }];
  assert.equal(error.code, "ECONNRESET");
});

const notGrpc: [status: number, grpc: string][] = [
  [200, "13"],
  [401, "16"],
  [403, "7"],
  [404, "12"],
  [500, "13"],
  [503, "14"],
];
for (const [status, grpc] of notGrpc) {
  test(`a gRPC worker that answers HTTP ${status} and text is gRPC status ${grpc}, even when it is cut short`, async (t) => {
    const worker = await http2Worker(t, (stream) => {
      stream.respond({ ":status": status, "content-type": "text/plain" }, { waitForTrailers: true });
      stream.write("half", () => stream.close(0));
    });
    const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
    const reply = await h2(http2Client(t, port), GRPC, Buffer.alloc(5));
    assert.deepEqual(
      [reply.headers[":status"], reply.headers["grpc-status"], reply.body.length],
      [200, grpc, 0],
    );
  });
}

test("a gRPC worker that answers early is not left with an open stream", async (t) => {
  const closed = Promise.withResolvers<number>();
  const worker = await http2Worker(t, (stream) => {
    stream.on("data", () => {});
    stream.once("close", () => closed.resolve(stream.rstCode ?? -1));
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "3" },
      { endStream: true },
    );
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
  const stream = http2Client(t, port).request(GRPC);
  stream.write(Buffer.alloc(5));
  assert.equal((await settle(stream)).headers["grpc-status"], "3");
  await closed.promise;
});

for (const method of ["connect", "head", "get"]) {
  test(`the method ${method} in lower case is refused`, async (t) => {
    let requests = 0;
    const worker = await rawWorker(t, () => void requests++);
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    const client = new FrameClient(t, port);
    const block = fields([":method", method], [":scheme", "http"], [":path", "/ping"], [":authority", "a"]);
    client.open(frame("HEADERS", 5, 1, block));
    await client.until(/END_STREAM|RST_STREAM/);
    assert.equal(requests, 0);
  });
}

for (const [scheme, path] of [
  ["ftp", "http://evil/ping"],
  ["ftp", "ping"],
  ["x", "/ping"],
] as const) {
  test(`:scheme ${scheme} with :path ${path} is refused`, async (t) => {
    let requests = 0;
    const worker = await rawWorker(t, () => void requests++);
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
    const client = new FrameClient(t, port);
    client.open(
      frame(
        "HEADERS",
        5,
        1,
        fields([":method", "GET"], [":scheme", scheme], [":path", path], [":authority", "a"]),
      ),
    );
    await client.until(/END_STREAM|RST_STREAM/);
    assert.equal(requests, 0);
  });
}

test("OPTIONS * passes", async (t) => {
  const worker = await httpWorker(t, (req, res) => void res.end(`${req.method} ${req.url}`));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  assert.match(
    await talk(t, port, "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    /OPTIONS \*/,
  );
  assert.equal(
    (await h2(http2Client(t, port), { ":method": "OPTIONS", ":path": "*" })).body.toString(),
    "OPTIONS *",
  );
});

test("a WebSocket client that leaves while the worker has not answered takes its worker connection with it", async (t) => {
  const asked = Promise.withResolvers<import("node:net").Socket>();
  const worker = await rawWorker(t, (socket) => asked.resolve(socket));
  const { port, logged } = await testEdge(t, { WS_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send(UPGRADE);
  const socket = await asked.promise;
  client.socket.destroy();
  await once(socket, "end");
  await logged((line) => line["outcome"] === "client_gone");
});

test("a worker that does not answer a WebSocket handshake is a 504", async (t) => {
  const worker = await rawWorker(t, () => {});
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker, LIMIT_HANDSHAKE_MS: "100" });
  assert.match(await talk(t, port, UPGRADE), /^HTTP\/1\.1 504 /);
});

test("a connection that says nothing is closed when its idle time is over", async (t) => {
  const worker = await rawWorker(t, () => {});
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, LIMIT_IDLE_MS: "1000" });
  const client = new RawClient(t, port);
  assert.equal(await client.closed, "");
});

test("large replies to a client with large windows come to their end, whenever the kernel takes them at once", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end(Buffer.alloc(1_000_000)));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const session = http2Client(t, port, { settings: { initialWindowSize: 2 ** 30 } });
  await once(session, "connect");
  session.setLocalWindowSize(2 ** 30);
  for (let round = 0; round < 10; round++) {
    const replies = await Promise.all(Array.from({ length: 4 }, () => h2(session, { ":path": "/" })));
    assert.deepEqual(
      replies.map(({ body }) => body.length),
      Array.from({ length: 4 }, () => 1_000_000),
    );
  }
});

test("a method as long as a head may be ends its own request and no more", async (t) => {
  const { port, lines } = (await trusting(t)).edge;
  const text = await talk(
    t,
    port,
    `${"A".repeat(60_000)} / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a.b.c\r\nConnection: close\r\n\r\n`,
  );
  assert.match(text, /^HTTP\/1\.1 401 /);
  assert.equal(lines.filter(({ outcome }) => outcome === "unauthenticated").length, 1);
});
