// What is public is public by its bytes: however a worker would read another spelling, nothing gets to it without a token.
import assert from "node:assert/strict";
import { once } from "node:events";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import { newIssuer, settings } from "../../support/auth.ts";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import type { LenientWorker } from "../../support/lenient-worker.ts";
import { lenientWorker } from "../../support/lenient-worker.ts";
import { suiteScope } from "../../support/suite.ts";
import { CONNECT, HANDSHAKE } from "../../support/websockets.ts";
import { http2Worker } from "../../support/workers.ts";

/** Asks for a path without a token; answers the status, as HTTP would have it. */
type Ask = (t: TestContext, path: string) => Promise<number>;

/** What the workers were asked, of all protocols. */
let asked: string[];
let http: LenientWorker;
let port: number;
let carriers: Readonly<Record<string, Ask>>;
let webSockets: Readonly<Record<string, Ask>>;
const suite = suiteScope();

function targets(): string[] {
  return [...asked.splice(0), ...http.requests.splice(0).map(({ target }) => target)];
}

async function overHttp1(t: TestContext, port: number, bytes: string): Promise<number> {
  const client = new RawClient(t, port);
  client.send(bytes);
  return Number(/^HTTP\/1\.1 ([0-9]{3}) /.exec(await client.closed)?.[1]);
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;

before(async () => {
  asked = [];
  http = await lenientWorker(suite, { wins: "transfer-encoding", length: "first" });
  const grpc = await http2Worker(suite, (stream, headers) => {
    asked.push(String(headers[":path"]));
    stream.resume();
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" },
      { endStream: true },
    );
  });
  const issuer = await newIssuer(suite);
  const open = async (carrier: string): Promise<number> => {
    const more = { GRPC_UPSTREAMS: grpc, WS_UPSTREAMS: http.url, HTTP1_CARRIER: carrier };
    return (await testEdge(suite, settings(http.url, issuer, more))).port;
  };
  port = await open("http2-proxy");
  const direct = await open("direct");
  const session = http2Client(suite, port);
  await once(session, "remoteSettings");
  carriers = {
    "HTTP/1.1 by http2-proxy": (t, path) => overHttp1(t, port, get(path)),
    "HTTP/1.1 straight": (t, path) => overHttp1(t, direct, get(path)),
    "HTTP/1.0": (t, path) => overHttp1(t, direct, `GET ${path} HTTP/1.0\r\n\r\n`),
    "an absolute URL": (t, path) => overHttp1(t, direct, get(`http://a${path}`)),
    "HTTP/2": async (_t, path) => Number((await h2(session, { ":path": path })).headers[":status"] ?? 400),
    async gRPC(_t, path) {
      const head = { ":method": "POST", ":path": path, "content-type": "application/grpc" };
      const status = (await h2(session, head, "")).headers["grpc-status"];
      return { "0": 200, "16": 401 }[String(status)] ?? 400;
    },
  };
  webSockets = {
    "a WebSocket": (t, path) => overHttp1(t, port, `${HANDSHAKE.replace("/ws", path)}\r\n`),
    async "a WebSocket over HTTP/2"(_t, path) {
      return Number((await h2(session, { ...CONNECT, ":path": path }, "")).headers[":status"] ?? 400);
    },
  };
});

const isPublic = ["/ping", "/ping?", "/ping?x=/admin", "/ping?/../admin", "/ping??a=b", "/ping?%2e%2e/admin"];
for (const path of isPublic) {
  test(`${path} is public, and gets to the worker as it was sent`, async (t) => {
    for (const [by, ask] of Object.entries(carriers)) {
      assert.deepEqual([await ask(t, path), targets()], [200, [path]], by);
    }
  });
}

// prettier-ignore
const shut = [
  "/", "//", "//ping", "///ping", "/ping/", "/ping//", "/ping/.", "/ping/..", "/ping/../admin", "/./ping", "/x/../ping", "/.//ping",
  "/..//ping", "//a/ping", "//a@b/ping", "/http://a/ping", "/@a/ping",
  "/PING", "/Ping", "/pinG", "/p\u0131ng", "/p\xcdng",
  "/%70ing", "/pin%67", "/%50ing", "/%2fping", "/ping%2f", "/ping%2f..%2fadmin", "/ping%2F..%2Fadmin", "/ping%5c..%5cadmin",
  "/ping%2e", "/ping/%2e%2e/admin", "/ping/%2E%2E/admin", "/ping/%252e%252e/admin", "/ping/.%2e/admin", "/ping/%c0%ae%c0%ae/admin",
  "/ping%00", "/ping%00/../admin", "/ping%0a", "/ping%0d%0a", "/ping%20", "/ping%09", "/ping%23", "/ping%3f", "/ping%3Fx", "/ping%u002e",
  "/ping;", "/ping;x=1", "/ping;/../admin", "/ping/..;/admin", "/..;/ping", "/;/ping", "/;x/ping",
  "/ping\\", "/ping\\..\\admin", "/\\ping", "/ping/..\\admin",
  "/ping.", "/ping.json", "/ping~", "/pingx", "/ping,", "/ping&x", "/ping=", "/ping:80", "/ping+", "/ping!", "/ping\x85", "/ping\xa0",
];
for (const path of shut) {
  test(`${JSON.stringify(path)} is not public, and no worker hears of it`, async (t) => {
    for (const [by, ask] of Object.entries({ ...carriers, ...webSockets })) {
      assert.deepEqual([await ask(t, Buffer.from(path).toString("latin1")), targets()], [401, []], by);
    }
  });
}

const malformed = [
  "",
  "ping",
  "*",
  "?/ping",
  "/ping#",
  "/ping#/../admin",
  "/ping x",
  "/pi\tng",
  "/ping\0",
  "/ping\x7f",
];
for (const path of malformed) {
  test(`${JSON.stringify(path)} is no path, and no worker hears of it`, async (t) => {
    for (const by of ["HTTP/1.1 by http2-proxy", "HTTP/1.1 straight", "HTTP/1.0", "HTTP/2", "gRPC"]) {
      assert.deepEqual([await carriers[by]?.(t, path), targets()], [400, []], by);
    }
  });
}

for (const path of ["/ping", "/ping?x"]) {
  test(`${path} is not public for a WebSocket`, async (t) => {
    for (const [by, ask] of Object.entries(webSockets))
      assert.deepEqual([await ask(t, path), targets()], [401, []], by);
  });
}

// prettier-ignore
const rewriting = [
  "X-Original-URL", "X-Rewrite-URL", "X_Original_URL", "X-Original-URI", "X-Original-Path", "X-Envoy-Original-Path",
  "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix",
];
for (const name of rewriting) {
  test(`a public path does not lead elsewhere by ${name}`, async (t) => {
    const bytes = `GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${name}: /admin\r\n\r\n`;
    assert.equal(await overHttp1(t, port, bytes), 200);
    const headers = { ":path": "/ping", [name.toLowerCase()]: "/admin" };
    assert.equal((await h2(http2Client(t, port), headers)).headers[":status"], 200);
    assert.doesNotMatch(JSON.stringify(http.requests.splice(0)), /admin/);
  });
}
