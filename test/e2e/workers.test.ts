// The example workers alone, without the edge.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Metadata } from "@grpc/grpc-js";
import { WebSocket } from "ws";
import { CountRequestSchema } from "../../services/grpc/gen/echo_pb.ts";
import type { CountReply } from "../../services/grpc/gen/echo_pb.ts";
import { attachWebSockets } from "../../services/ws/sockets.ts";
import { RawClient } from "../support/clients.ts";
import { echoClient, ping } from "../support/grpc.ts";
import { ROOT, output } from "../support/processes.ts";
import { startWorkerProgram } from "../support/stack.ts";

test("http: SIGTERM lets a running reply finish, closes idle connections, exit 0", async (t) => {
  const { port, program } = await startWorkerProgram(t, "http");
  const idle = new RawClient(t, port);
  idle.send("GET /ping HTTP/1.1\r\nHost: a\r\n\r\n");
  await idle.until(/pong/);
  const events = new RawClient(t, port);
  events.send("GET /events?count=3&interval_ms=100 HTTP/1.1\r\nHost: a\r\n\r\n");
  await events.until(/id: 1/);
  program.child.kill("SIGTERM");
  assert.match(await events.closed, /id: 3[\s\S]*\r\n0\r\n\r\n$/);
  assert.equal((await program.exited).code, 0);
});

test("grpc: SIGTERM lets a running call finish, exit 0", async (t) => {
  const { port, program } = await startWorkerProgram(t, "grpc");
  const client = echoClient(t, port);
  const call = client.count(create(CountRequestSchema, { count: 3, intervalMs: 100 }), new Metadata());
  const numbers: number[] = [];
  call.on("data", ({ number }: CountReply) => numbers.push(number));
  await once(call, "data");
  program.child.kill("SIGTERM");
  await once(call, "end");
  assert.deepEqual(numbers, [1, 2, 3]);
  assert.equal((await program.exited).code, 0);
});

test("grpc: a request out of range is INVALID_ARGUMENT", async (t) => {
  const { port } = await startWorkerProgram(t, "grpc");
  const client = echoClient(t, port);
  assert.equal((await ping(client, new Metadata())).reply?.message, "pong");
  const call = client.count(create(CountRequestSchema, { count: 0 }), new Metadata());
  call.on("error", () => {});
  const { code } = await new Promise<{ code: number }>((resolve) => call.resume().once("status", resolve));
  assert.equal(code, 3);
});

test("ws: SIGTERM says 1001 to everyone, exit 0", async (t) => {
  const { port, program } = await startWorkerProgram(t, "ws");
  const sockets = [0, 1].map(() => new WebSocket(`ws://127.0.0.1:${port}/ws`));
  await Promise.all(sockets.map((socket) => once(socket, "open")));
  const closed = sockets.map((socket) => once(socket, "close"));
  program.child.kill("SIGTERM");
  for (const [code] of await Promise.all(closed)) assert.equal(code, 1001);
  assert.equal((await program.exited).code, 0);
});

test("ws: another path is refused, and a plain request is told what to do", async (t) => {
  const { port } = await startWorkerProgram(t, "ws");
  const socket = new WebSocket(`ws://127.0.0.1:${port}/other`);
  socket.on("error", () => {});
  const [, reply] = (await once(socket, "unexpected-response")) as [unknown, { statusCode: number }];
  assert.equal(reply.statusCode, 400);
  assert.equal((await fetch(`http://127.0.0.1:${port}/ws`)).status, 426);
});

test("ws: a client that does not answer the heartbeat is cut off, one that does is not", async (t) => {
  const server = createServer();
  const sockets = attachWebSockets(server, 50);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    sockets.close(() => {});
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const alive = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  const mute = new WebSocket(`ws://127.0.0.1:${port}/ws`, { autoPong: false });
  await Promise.all([once(alive, "open"), once(mute, "open")]);
  assert.equal((await once(mute, "close"))[0], 1006);
  await once(alive, "ping");
  assert.equal(alive.readyState, WebSocket.OPEN);
  alive.terminate();
});

for (const name of ["http", "grpc", "ws"]) {
  test(`${name}: a PORT that is none is a sentence, exit 2`, async () => {
    const { err, exited } = await output(process.execPath, [`${ROOT}services/${name}/main.ts`], {
      PORT: "many",
    });
    assert.equal((await exited).code, 2);
    assert.match(err, /PORT must be a whole number from 0 to 65535, not "many"/);
  });
}
