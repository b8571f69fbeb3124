// Workers over TLS that are who they should be: what they are asked, and how their connections are used.
import { create } from "@bufbuild/protobuf";
import { Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { IncomingHttpHeaders } from "node:http2";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocketServer } from "ws";
import { serviceDefinition } from "../../../services/grpc/definition.ts";
import { echo } from "../../../services/grpc/echo.ts";
import type { ChatMessage } from "../../../services/grpc/gen/echo_pb.ts";
import { ChatMessageSchema, Echo } from "../../../services/grpc/gen/echo_pb.ts";
import { h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { GRPC, echoClient, ended, message, ping } from "../../support/grpc.ts";
import { Asking, GET, counted, upstreamTo } from "../../support/http1-client.ts";
import { httpsWorker, resolveNames, secureHttp2Worker, trust } from "../../support/tls.ts";
import { closedWith, extendedConnect, nextMessage, openWebSocket } from "../../support/websockets.ts";

const { good } = trust();
const MIB = 1024 * 1024;

/** grpc-js over TLS, with the example service; answers its port. */
async function grpcServer(t: TestContext): Promise<number> {
  const server = new Server();
  server.addService(serviceDefinition(Echo), echo);
  const credentials = ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(good.cert), private_key: Buffer.from(good.key) },
  ]);
  t.after(() => server.forceShutdown());
  return new Promise((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
}

for (const carrier of ["http2-proxy", "direct"] as const) {
  test(`HTTP/1.1 by ${carrier}: the worker is asked by its own name, the client's is in x-forwarded-host`, async (t) => {
    resolveNames(t);
    const worker = await httpsWorker(t, good, (req, res) => res.end(JSON.stringify(req.headers)));
    const name = `worker.test:${worker.port}`;
    const { url, port } = await testEdge(t, { HTTP_UPSTREAMS: `https://${name}`, HTTP1_CARRIER: carrier });
    const headers = (await (
      await fetch(url, { headers: { authorization: "Bearer mine" } })
    ).json()) as IncomingHttpHeaders;
    assert.deepEqual(
      [
        headers.host,
        headers["x-forwarded-host"],
        headers.authorization,
        headers["x-serverless-authorization"],
      ],
      [name, `127.0.0.1:${port}`, "Bearer mine", undefined],
    );
    assert.equal(worker.handshakes.at(-1)?.servername, "worker.test");
  });
}

test("HTTP/2 clients get there as well, and one connection serves one request after the other", async (t) => {
  const worker = await httpsWorker(t, good, (req, res) => res.end(req.headers.host));
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: `https://localhost:${worker.port}` });
  const session = http2Client(t, port);
  const before = worker.handshakes.length;
  for (let i = 0; i < 10; i++) {
    const { body } = await h2(session, { ":path": "/", ":authority": "api.example.com" });
    assert.equal(body.toString(), `localhost:${worker.port}`);
  }
  assert.equal(worker.handshakes.length, before + 1);
});

test("a further connection goes on from the session of the last", async (t) => {
  const worker = await httpsWorker(t, good, (_req, res) => {
    res.setHeader("connection", "close");
    res.end("ok");
  });
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: `https://localhost:${worker.port}` });
  assert.equal(await (await fetch(url)).text(), "ok");
  assert.equal(await (await fetch(url)).text(), "ok");
  assert.equal(worker.handshakes.at(-1)?.resumed, true);
});

test("an address may be in the certificate in place of a name", async (t) => {
  const worker = await httpsWorker(t, good, (_req, res) => res.end("ok"));
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: `https://127.0.0.1:${worker.port}` });
  assert.equal(await (await fetch(url)).text(), "ok");
  assert.equal(worker.handshakes.at(-1)?.servername, false);
});

test("a name with several addresses: the next one is tried where nobody is at home", async (t) => {
  resolveNames(t, ["127.0.0.9", "127.0.0.1"]);
  const worker = await httpsWorker(t, good, (_req, res) => void res.end("ok"));
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: `https://worker.test:${worker.port}` });
  assert.equal(await (await fetch(url)).text(), "ok");
});

test("a worker is held back while its reply does not leave, and goes on when it does", async (t) => {
  const body = Buffer.alloc(8 * MIB, "x");
  const worker = await httpsWorker(
    t,
    good,
    (_req, res) => void res.setHeader("content-length", body.length).end(body),
  );
  const asking = new Asking(upstreamTo(t, `https://localhost:${worker.port}`), GET);
  asking.hold = true;
  await asking.until(() => asking.bytes > 128 * 1024);
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  // What was read before comes yet, decrypted piece by piece: one read of at most 64 KiB.
  assert.ok(asking.bytes <= 192 * 1024, `${asking.bytes} bytes came unasked`);
  asking.hold = false;
  asking.stream.consume(asking.bytes);
  assert.deepEqual([await asking.over, asking.bytes], ["end", body.length]);
});

test("a client is held back while the worker does not read, and goes on when it does", async (t) => {
  const asked = Promise.withResolvers<[IncomingMessage, ServerResponse]>();
  const worker = await httpsWorker(t, good, (req, res) => asked.resolve([req, res]));
  const upstream = upstreamTo(t, `https://localhost:${worker.port}`);
  const asking = await new Asking(upstream, counted(32 * MIB)).ready();
  const chunk = Buffer.alloc(32 * 1024);
  let credit = 128 * 1024;
  let written = 0;
  const pump = (): void => {
    for (; credit > 0 && written < 32 * MIB; written += chunk.length) {
      credit -= chunk.length;
      asking.stream.write(chunk);
    }
    if (written === 32 * MIB) asking.stream.end([]);
  };
  asking.stream.source = {
    consume(bytes) {
      credit += bytes;
      setImmediate(pump);
    },
  };
  pump();
  const [req, res] = await asked.promise;
  for (let before = -1; written !== before;) {
    before = written;
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(written < 16 * MIB, `${written} bytes went to a worker that read none`);
  let received = 0;
  for await (const bytes of req) received += (bytes as Buffer).length;
  assert.equal(received, 32 * MIB);
  res.end();
  assert.equal(await asking.over, "end");
});

test("five megabytes there and back over HTTP/1.1, whole", async (t) => {
  const worker = await httpsWorker(t, good, (req, res) => void req.pipe(res));
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: `https://localhost:${worker.port}` });
  const body = Buffer.alloc(5_000_000, "0123456789");
  const reply = await fetch(url, { method: "POST", body });
  assert.ok(body.equals(Buffer.from(await reply.arrayBuffer())));
});

test("gRPC: unary with a grpc-js worker, again and again on one connection", async (t) => {
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: `https://localhost:${await grpcServer(t)}` });
  const client = echoClient(t, port);
  for (let i = 0; i < 20; i++) assert.equal((await ping(client, new Metadata())).reply?.message, "pong");
});

test("gRPC: bidirectional streaming with a grpc-js worker", async (t) => {
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: `https://localhost:${await grpcServer(t)}` });
  const call = echoClient(t, port).chat(new Metadata());
  const status = ended(call);
  for (const text of ["one", "two", "three"]) {
    const answer = once(call, "data");
    call.write(create(ChatMessageSchema, { message: text }));
    assert.match(((await answer) as [ChatMessage])[0].message, new RegExp(text));
  }
  call.end();
  assert.equal((await status).code, 0);
});

test("gRPC: scheme and authority are the worker's, also for the same head once more", async (t) => {
  resolveNames(t);
  const asked: IncomingHttpHeaders[] = [];
  const worker = await secureHttp2Worker(t, good, (stream, headers) => {
    asked.push(headers);
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
      { endStream: true },
    );
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: `https://worker.test:${worker.port}` });
  const session = http2Client(t, port);
  for (let i = 0; i < 3; i++)
    assert.equal((await h2(session, { ...GRPC, ":authority": "api.example.com" }, message())).code, 0);
  assert.deepEqual(
    asked.map((head) => [head[":scheme"], head[":authority"], head["x-forwarded-host"]]),
    asked.map(() => ["https", `worker.test:${worker.port}`, "api.example.com"]),
  );
  assert.equal(asked.length, 3);
  assert.equal(worker.sockets.size, 1);
});

test("gRPC: five megabytes there and back, whole, and 50 calls at once", async (t) => {
  const worker = await secureHttp2Worker(t, good, (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.pipe(stream);
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: `https://localhost:${worker.port}` });
  const session = http2Client(t, port);
  const body = Buffer.alloc(5_000_000, "0123456789");
  const reply = await h2(session, GRPC, body);
  assert.ok(body.equals(reply.body));
  assert.equal(reply.trailers["grpc-status"], "0");
  const all = await Promise.all(
    Array.from({ length: 50 }, () => h2(session, GRPC, body.subarray(0, 100_000))),
  );
  for (const each of all) assert.deepEqual([each.body.length, each.trailers["grpc-status"]], [100_000, "0"]);
});

test("WebSocket: messages over TLS from both kinds of clients, and the close code", async (t) => {
  resolveNames(t);
  const worker = await httpsWorker(t, good, (_req, res) => res.end());
  const sockets = new WebSocketServer({ server: worker.server });
  sockets.on("connection", (socket, { headers }) => {
    socket.on("message", (text) => {
      if (String(text) === "bye") socket.close(4001, "as you say");
      else socket.send(`${headers.host} ${headers["x-forwarded-host"]} ${String(text)}`);
    });
  });
  const name = `worker.test:${worker.port}`;
  const { port } = await testEdge(t, { WS_UPSTREAMS: `https://${name}` });
  const socket = openWebSocket(t, port);
  await once(socket, "open");
  socket.send("hello");
  assert.equal(await nextMessage(socket), `${name} 127.0.0.1:${port} hello`);
  const closed = closedWith(socket);
  socket.send("bye");
  assert.deepEqual(await closed, [4001, "as you say"]);
  const { reply } = await extendedConnect(http2Client(t, port));
  assert.equal(reply[":status"], 200);
});

test("WebSocket: a megabyte each way over TLS, whole, and nothing left open behind it", async (t) => {
  const worker = await httpsWorker(t, good, (_req, res) => res.end());
  const sockets = new WebSocketServer({ server: worker.server });
  sockets.on("connection", (socket) => socket.on("message", (bytes) => socket.send(bytes)));
  const { port } = await testEdge(t, { WS_UPSTREAMS: `https://localhost:${worker.port}` });
  const socket = openWebSocket(t, port);
  await once(socket, "open");
  const bytes = Buffer.alloc(1_000_000, "0123456789");
  const echoed = once(socket, "message");
  socket.send(bytes);
  assert.ok(bytes.equals((await echoed)[0] as Buffer));
  const [served] = [...worker.sockets];
  assert.ok(served);
  const gone = once(served, "close");
  socket.close();
  await gone;
});
