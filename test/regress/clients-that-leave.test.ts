// Clients that reset what they have asked for, by the hundred: what that costs workers, and what others notice of it.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { h2, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { GRPC as GRPC_FIELDS, times } from "../support/floods.ts";
import { FrameClient, frame, headers } from "../support/frames.ts";
import { GRPC } from "../support/grpc.ts";
import { http2Worker, rawWorker } from "../support/workers.ts";

const CANCEL = Buffer.from([0, 0, 0, 8]);

/** So many requests, each of which is cancelled at once, in one piece. */
function cancelled(count: number, method: "GET" | "POST", path: string, first = 1): Buffer {
  const more = method === "POST" ? GRPC_FIELDS : [];
  return times(count, (i) => {
    const id = first + 2 * i;
    return Buffer.concat([
      headers(id, method, path, more, method === "GET"),
      frame("RST_STREAM", 0, id, CANCEL),
    ]);
  });
}

test("calls that a client cancels by the hundred do not end another's on the same worker", async (t) => {
  // Node's HTTP/2 server ends a connection on which more than 1000 streams were reset at once.
  const held = Promise.withResolvers<ServerHttp2Stream>();
  const sessions = new Set<unknown>();
  const goaways: number[] = [];
  const worker = await http2Worker(t, (stream, { ":path": path }) => {
    if (!sessions.has(stream.session))
      stream.session?.on("goaway", (code, last) => goaways.push(code, last ?? 0));
    sessions.add(stream.session);
    if (path === "/held") held.resolve(stream);
    else if (path === "/last")
      stream.respond({ "content-type": "application/grpc", "grpc-status": "0" }, { endStream: true });
  });
  const { port } = await testEdge(t, { GRPC_UPSTREAMS: worker, LIMIT_RESETS: "10000" });
  const other = http2Client(t, port);
  const call = settle(other.request({ ...GRPC, ":path": "/held" }, { endStream: true }));
  const stream = await held.promise;

  for (let round = 0; round < 20; round++) {
    const client = new FrameClient(t, port);
    client.open(cancelled(150, "POST", "/cancelled"));
    await client.settled;
    client.socket.destroy();
    assert.equal((await h2(other, { ...GRPC, ":path": "/last" })).headers["grpc-status"], "0");
  }

  assert.ok(sessions.size > 1, "a connection that has had many resets gets no more calls");
  // A client's GOAWAY names streams that the worker opened: none.
  assert.ok(goaways.length > 0 && goaways.every((number) => number === 0), String(goaways));
  stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end("reply");
  const { body, code, aborted } = await call;
  assert.deepEqual([body.toString(), code, aborted], ["reply", 0, false]);
});

test("requests that are cancelled as they come cost an HTTP/1.1 worker no connection", async (t) => {
  const asked: [connection: number, path: string][] = [];
  const worker = await rawWorker(t, (socket, text, connection) => {
    asked.push([connection, text.split(" ", 2)[1] ?? ""]);
    socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new FrameClient(t, port);
  client.open(headers(1, "GET", "/before"));
  await client.until(/^DATA 1 2 END_STREAM$/);
  client.send(cancelled(100, "GET", "/cancelled", 3), headers(203, "GET", "/after"));
  await client.until(/^DATA 203 2 END_STREAM$/);
  const [first] = asked[0] ?? [0];
  assert.deepEqual(asked, [
    [first, "/before"],
    [first + 1, "/after"],
  ]);
  client.socket.end();
  await once(client.socket, "close");
});
