// Heads that are too large for a worker: some end the connection for them, and all clients' calls share one.
import assert from "node:assert/strict";
import { connect } from "node:http2";
import type { ClientHttp2Session, ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { h2, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { frame } from "../support/frames.ts";
import { GRPC } from "../support/grpc.ts";
import { http2Worker, rawWorker } from "../support/workers.ts";

function answer(stream: ServerHttp2Stream): void {
  stream.respond({ "content-type": "application/grpc", "grpc-status": "0" }, { endStream: true });
}

/** A client that sends heads of any size, as Node's does not by itself. */
function largeClient(t: TestContext, port: number): ClientHttp2Session {
  const client = connect(`http://127.0.0.1:${port}`, { maxSendHeaderBlockLength: 1_000_000 });
  client.on("error", () => {});
  t.after(() => client.destroy());
  return client;
}

test(
  "a long authority, which a worker gets three times, does not end other clients' calls",
  { timeout: 10_000 },
  async (t) => {
    // nghttp2 ends a connection on which a head has more than 8 CONTINUATION frames.
    const held = Promise.withResolvers<ServerHttp2Stream>();
    const worker = await http2Worker(t, (stream, { ":path": path }) =>
      path === "/held" ? held.resolve(stream) : answer(stream),
    );
    const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker });
    const call = settle(http2Client(t, port).request({ ...GRPC, ":path": "/held" }, { endStream: true }));
    const stream = await held.promise;

    const client = largeClient(t, port);
    const { headers } = await h2(client, { ...GRPC, ":path": "/large", ":authority": "a".repeat(60_000) });
    assert.equal(headers["grpc-status"], "8");
    assert.equal((await h2(client, { ...GRPC, ":path": "/next" })).headers["grpc-status"], "0");
    answer(stream);
    assert.equal((await call).headers["grpc-status"], "0");
  },
);

test(
  "a worker gets no head, and no trailers, that are larger than it said it takes",
  { timeout: 10_000 },
  async (t) => {
    const MAX_HEADER_LIST_SIZE_8192 = Buffer.from([0, 6, 0, 0, 0x20, 0]);
    const ACK = frame("SETTINGS", 1, 0).toString("latin1");
    const told = Promise.withResolvers<void>();
    const less = Promise.withResolvers<string>();
    const worker = await rawWorker(t, (socket, text) => {
      if (socket.bytesWritten === 0) socket.write(frame("SETTINGS", 0, 0, MAX_HEADER_LIST_SIZE_8192));
      if (text.includes(ACK)) told.resolve();
      if (text.includes("x-less")) less.resolve(text);
    });
    const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker.replace("http:", "h2c:") });
    const client = largeClient(t, port);
    // gRPC's own answer comes with the end of the test.
    client.request({ ...GRPC, ":path": "/first" }).on("error", () => {});
    await told.promise;

    const head = await h2(client, { ...GRPC, "x-large": "x".repeat(8192) });
    assert.equal(head.headers["grpc-status"], "8");
    const call = client.request(GRPC, { endStream: false, waitForTrailers: true });
    call.on("wantTrailers", () => call.sendTrailers({ "x-large-trailer": "x".repeat(8192) }));
    call.end("request");
    assert.equal((await settle(call)).headers["grpc-status"], "8");

    client.request({ ...GRPC, "x-less": "x".repeat(7000) }).on("error", () => {});
    const heard = await less.promise;
    assert.ok(heard.includes("request") && !heard.includes("x-large"), heard.slice(0, 500));
  },
);
