// Whose pages may open WebSockets (WEBSOCKET_ORIGINS), over both HTTP versions: a page that may not costs no worker anything.
import assert from "node:assert/strict";
import { once } from "node:events";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import { signJwt } from "../../../scripts/token/jwt.ts";
import { OPTIONS, newIssuer, settings } from "../../support/auth.ts";
import { http2Client } from "../../support/clients.ts";
import type { TestEdge } from "../../support/edge.ts";
import { testEdge } from "../../support/edge.ts";
import { suiteScope } from "../../support/suite.ts";
import { extendedConnect, openWebSocket, wsWorker } from "../../support/websockets.ts";

const suite = suiteScope();
let worker: string;
let handshakes = 0;
let edge: TestEdge;
before(async () => {
  const { url, server } = await wsWorker(suite as TestContext);
  server.on("connection", () => handshakes++);
  worker = url;
  edge = await testEdge(suite, { WS_UPSTREAMS: worker, WEBSOCKET_ORIGINS: "same,https://*.example.com" });
});

async function overHttp1(t: TestContext, port: number, headers: Record<string, string>): Promise<number> {
  const socket = openWebSocket(t, port, [], { headers });
  const refused = once(socket, "unexpected-response").then(([, reply]) => Number(reply.statusCode));
  return Promise.race([once(socket, "open").then(() => 101), refused]);
}

async function overHttp2(t: TestContext, port: number, headers: Record<string, string>): Promise<number> {
  const authority = { ":authority": `127.0.0.1:${port}` };
  const { reply } = await extendedConnect(http2Client(t, port), { ...authority, ...headers });
  return Number(reply[":status"]);
}

/** The statuses over HTTP/1.1 and over HTTP/2, and how many handshakes the worker saw. */
async function statuses(
  t: TestContext,
  port: number,
  headers: Record<string, string>,
): Promise<readonly number[]> {
  handshakes = 0;
  return [await overHttp1(t, port, headers), await overHttp2(t, port, headers), handshakes];
}

for (const origin of ["https://app.example.com", "HTTPS://a.b.example.com:443"]) {
  test(`a page of ${origin} may`, async (t) => {
    assert.deepEqual(await statuses(t, edge.port, { origin }), [101, 200, 2]);
  });
}
test("a page of the host that is asked may", async (t) => {
  assert.deepEqual(await statuses(t, edge.port, { origin: edge.url }), [101, 200, 2]);
});
test("who is no browser may", async (t) => {
  assert.deepEqual(await statuses(t, edge.port, {}), [101, 200, 2]);
});
for (const origin of ["https://evil.example", "null", "http://app.example.com", "http://127.0.0.1:1"]) {
  test(`a page of ${origin} may not: 403 in words, and the worker hears nothing`, async (t) => {
    assert.deepEqual(await statuses(t, edge.port, { origin }), [403, 403, 0]);
    await edge.logged(({ outcome }) => outcome === "origin_not_allowed");
  });
}

test("without the setting every page may", async (t) => {
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker });
  assert.deepEqual(await statuses(t, port, { origin: "https://evil.example" }), [101, 200, 2]);
});

test("without the setting only pages of the host itself may with IAP, whose cookie goes with any page's handshake", async (t) => {
  const iap = await newIssuer(t, "https://cloud.google.com/iap", "ES256");
  const { port, url } = await testEdge(t, settings(worker, iap, { AUTH_MODE: "iap" }));
  const signed = signJwt(iap.key, { ...iap.claims(OPTIONS), email_verified: undefined });
  const headers = { "x-goog-iap-jwt-assertion": signed };
  assert.deepEqual(await statuses(t, port, { ...headers, origin: "https://evil.example" }), [403, 403, 0]);
  assert.deepEqual(await statuses(t, port, { ...headers, origin: url }), [101, 200, 2]);
  assert.deepEqual(await statuses(t, port, { origin: url }), [401, 401, 0]);
});

test("a refused page hears why", async (t) => {
  const { port } = edge;
  const socket = openWebSocket(t, port, [], { headers: { origin: "https://evil.example" } });
  const [, reply] = await once(socket, "unexpected-response");
  assert.deepEqual(JSON.parse(Buffer.concat(await reply.toArray()).toString()), {
    error: "origin_not_allowed",
    message: "pages of this origin may not open WebSockets here",
  });
});
