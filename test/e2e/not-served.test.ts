// A protocol that is set to `none`, and one that another protocol's worker serves as well.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import type { WebSocket } from "ws";
import { ConfigError, readConfig } from "../../edge/settings/config.ts";
import { settingsOf, upstreamsOf } from "../../edge/upstream/swap.ts";
import { planProcesses } from "../../scripts/start/plan.ts";
import { h2, http2Client, talk } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { family } from "../support/family.ts";
import { echoClient, ping } from "../support/grpc.ts";
import { start } from "../support/start.ts";
import { named, swappable, text } from "../support/swapping.ts";
import { CONNECT, nextMessage, openWebSocket } from "../support/websockets.ts";
import { httpWorker } from "../support/workers.ts";

/** The status of a handshake that was refused. */
async function refusedWith(socket: WebSocket): Promise<number | undefined> {
  const [, reply] = (await once(socket, "unexpected-response")) as [unknown, { statusCode?: number }];
  return reply.statusCode;
}

test("gRPC and WebSockets that are not served: UNIMPLEMENTED, 501; HTTP goes on", async (t) => {
  const http = await httpWorker(t, (_req, res) => res.end("here"));
  const { port, url } = await testEdge(t, {
    HTTP_UPSTREAMS: http,
    GRPC_UPSTREAMS: "none",
    WS_UPSTREAMS: "none",
  });
  assert.equal(await (await fetch(url)).text(), "here");
  const { error } = await ping(echoClient(t, port), new Metadata());
  assert.deepEqual([error?.code, error?.details], [12, "this protocol is not served here"]);
  assert.equal(await refusedWith(openWebSocket(t, port)), 501);
  const { headers } = await h2(http2Client(t, port), CONNECT, "");
  assert.equal(headers[":status"], 501);
});

test("HTTP that is not served: 501 over both versions", async (t) => {
  const ws = await httpWorker(t, (_req, res) => res.end());
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: "none", WS_UPSTREAMS: ws, GRPC_UPSTREAMS: "none" });
  const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  assert.match(await talk(t, port, request), /^HTTP\/1\.1 501 [\s\S]*"not_supported"/);
  assert.equal((await h2(http2Client(t, port), { ":path": "/" })).headers[":status"], 501);
});

test("a protocol is taken out, and put back, while the edge runs", async (t) => {
  const worker = await named(t, "here");
  const { url, put } = await swappable(t, { HTTP_UPSTREAMS: worker });
  assert.deepEqual(await put("http", "none"), [200, { added: [], removed: [worker], kept: [] }]);
  assert.equal((await fetch(url)).status, 501);
  await put("http", worker);
  assert.equal(await text(url), "here");
});

test("none stays none on its way to a process of its own", () => {
  const none = { http: [], grpc: [], ws: [] };
  assert.deepEqual(upstreamsOf(readConfig(settingsOf(none))), none);
});

test("WS_UPSTREAMS=HTTP_WORKERS: one program serves both, and nothing is started for what is not served", async (t) => {
  const { program, port, mark } = await start(t, {
    // It answers requests with 426, and WebSockets at /ws.
    HTTP_WORKER_COMMAND: `exec ${process.execPath} services/ws/main.ts`,
    WS_UPSTREAMS: "HTTP_WORKERS",
    GRPC_UPSTREAMS: "none",
    LOG_FORMAT: "pretty",
  });
  await program.says(/npm run doctor/);
  assert.match(program.out, /HTTP +curl[\s\S]*WebSocket +npx/);
  assert.doesNotMatch(program.out, /grpcurl/);
  assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 426);
  const socket = openWebSocket(t, port);
  await once(socket, "open");
  socket.send('{"message":"hi"}');
  assert.match(await nextMessage(socket), /pong/);
  const commands = family(mark).map((pid) => readFileSync(`/proc/${pid}/cmdline`, "latin1"));
  assert.equal(commands.filter((command) => command.includes("services/")).length, 1);
  socket.terminate();
  assert.equal(await program.stop(), 0);
});

test("the workers of a protocol that starts none serve no other", async () => {
  const env = { HTTP_UPSTREAMS: "http://127.0.0.1:1", WS_UPSTREAMS: "HTTP_WORKERS" };
  await assert.rejects(planProcesses(env, readConfig, "json"), (thrown) => {
    assert.ok(thrown instanceof ConfigError);
    return /WS_UPSTREAMS must be .*, not "HTTP_WORKERS"/.test(thrown.mistakes.join());
  });
});
