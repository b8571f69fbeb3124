import assert from "node:assert/strict";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { before, test } from "node:test";
import { WebSocket } from "ws";
import type { Issuer } from "../../../scripts/token/issuer.ts";
import { EMAIL, OPTIONS, minted, settings, trusting } from "../../support/auth.ts";
import { h2, http2Client } from "../../support/clients.ts";
import type { TestEdge } from "../../support/edge.ts";
import { testEdge } from "../../support/edge.ts";
import { suiteScope } from "../../support/suite.ts";

let issuer: Issuer;
let worker: string;
let edge: TestEdge;
const suite = suiteScope();

before(async () => {
  ({ issuer, worker, edge } = await trusting(suite));
});

test("gRPC without a token: UNAUTHENTICATED, trailers-only", async (t) => {
  const reply = await h2(
    http2Client(t, edge.port),
    { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc" },
    Buffer.alloc(5),
  );
  assert.deepEqual(
    [reply.headers[":status"], reply.headers["grpc-status"], reply.body.length],
    [200, "16", 0],
  );
});

test("gRPC with a token that is not allowed: PERMISSION_DENIED", async (t) => {
  const reply = await h2(
    http2Client(t, edge.port),
    {
      ":method": "POST",
      ":path": "/Echo/Ping",
      "content-type": "application/grpc",
      authorization: `Bearer ${minted(issuer, { email: "x@y.z" })}`,
    },
    Buffer.alloc(5),
  );
  assert.equal(reply.headers["grpc-status"], "7");
});

test("a WebSocket over HTTP/2 without a token: 401 before it opens", async (t) => {
  const session = http2Client(t, edge.port);
  await once(session, "remoteSettings");
  const reply = await h2(
    session,
    { ":method": "CONNECT", ":protocol": "websocket", ":path": "/ws", ":authority": "a" },
    "",
  );
  assert.equal(reply.headers[":status"], 401);
});

/** What a ws worker saw of the handshake, with its tunnel open. */
async function webSocket(
  t: TestContext,
  port: number,
  protocols: string[],
  headers: Record<string, string> = {},
): Promise<WebSocket | number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, protocols, { headers });
  t.after(() => socket.terminate());
  socket.on("error", () => {});
  return new Promise((resolve) => {
    socket.once("open", () => resolve(socket));
    socket.once("unexpected-response", (_req, reply) => resolve(reply.statusCode ?? 0));
  });
}

async function wsEdge(t: TestContext): Promise<{ port: number; seen: Record<string, unknown>[] }> {
  const { WebSocketServer } = await import("ws");
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const seen: Record<string, unknown>[] = [];
  server.on("connection", (_socket, req) => seen.push(req.headers));
  t.after(() => server.close());
  const { port } = await testEdge(
    t,
    settings(worker, issuer, {
      WS_UPSTREAMS: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    }),
  );
  return { port, seen };
}

const bearer = (token: string): string =>
  `base64url.bearer.authorization.oneport.${Buffer.from(token).toString("base64url")}`;

test("a browser's token in a subprotocol opens the WebSocket; the worker sees only the real one", async (t) => {
  const { port, seen } = await wsEdge(t);
  const socket = await webSocket(t, port, [bearer(issuer.mint(OPTIONS)), "chat"]);
  assert.ok(socket instanceof WebSocket);
  assert.equal(socket.protocol, "chat");
  assert.deepEqual([seen[0]?.["sec-websocket-protocol"], seen[0]?.["x-auth-email"]], ["chat", EMAIL]);
});

test("a WebSocket with a bearer header opens", async (t) => {
  const { port } = await wsEdge(t);
  assert.ok(
    (await webSocket(t, port, [], { authorization: `Bearer ${issuer.mint(OPTIONS)}` })) instanceof WebSocket,
  );
});

const wsRefused: [why: string, protocols: () => string[], headers?: () => Record<string, string>][] = [
  ["no token", () => []],
  ["a bad token in the subprotocol", () => [bearer("abc"), "chat"]],
  ["no second subprotocol", () => [bearer(issuer.mint(OPTIONS))]],
  [
    "two tokens",
    () => [bearer(issuer.mint(OPTIONS)), "chat"],
    () => ({ authorization: `Bearer ${issuer.mint(OPTIONS)}` }),
  ],
];
for (const [why, protocols, headers] of wsRefused) {
  test(`a WebSocket with ${why} is refused with 401, and the worker hears nothing`, async (t) => {
    const { port, seen } = await wsEdge(t);
    assert.equal(await webSocket(t, port, protocols(), headers?.()), 401);
    assert.equal(seen.length, 0);
  });
}

test("a token in a subprotocol counts for WebSockets only", async () => {
  const reply = await fetch(edge.url, {
    headers: { "sec-websocket-protocol": `${bearer(issuer.mint(OPTIONS))}, chat` },
  });
  assert.equal(reply.status, 401);
});
