// Every refusal in the shape each protocol expects (docs/failures.md), over real sockets.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import type { TestContext } from "node:test";
import { Issuer } from "../../scripts/token/issuer.ts";
import type { FailureCode } from "../../edge/errors.ts";
import { FAILURES } from "../../edge/errors.ts";
import { RawClient, h2, http2Client, settle } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { httpWorker, rawWorker } from "../support/workers.ts";

let issuer: Issuer;
let deadIssuer: string;
before(async () => {
  issuer = new Issuer();
  await issuer.listen();
  const gone = new Issuer();
  await gone.listen();
  deadIssuer = gone.certsUrl;
  await gone.close();
});
after(() => issuer.close());

const OPTIONS = { audience: "x", email: "a@b.c" };

/** What the edge is put in front of, and with which token it is asked, so that it refuses with `code`. */
interface Situation {
  readonly code: FailureCode;
  readonly env: (t: TestContext) => Promise<Record<string, string>>;
  readonly token?: () => string;
}

const auth =
  (certs = (): string => issuer.certsUrl) =>
  async (t: TestContext): Promise<Record<string, string>> => ({
    HTTP_UPSTREAMS: await httpWorker(t, (_req, res) => void res.end()),
    AUTH_AUDIENCE: "x",
    AUTH_SERVICE_ACCOUNTS: "a@b.c",
    AUTH_CERTS_URL: certs(),
    AUTH_ISSUERS: issuer.issuer,
  });

/** A worker that is there when the edge starts; `leave` makes it refuse connections from then on. */
async function leavingWorker(
  t: TestContext,
): Promise<{ env: Record<string, string>; leave: () => Promise<unknown> }> {
  const server = createServer((socket) => void socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return {
    env: { HTTP_UPSTREAMS: `http://127.0.0.1:${port}` },
    leave: () => new Promise((resolve) => server.close(resolve)),
  };
}

const anywhere = async (
  t: TestContext,
  onData: Parameters<typeof rawWorker>[1],
): Promise<Record<string, string>> => ({ HTTP_UPSTREAMS: await rawWorker(t, onData) });

const situations: readonly Situation[] = [
  { code: "unauthenticated", env: auth() },
  { code: "forbidden", env: auth(), token: () => issuer.mint({ ...OPTIONS, email: "other@b.c" }) },
  { code: "keys_unavailable", env: auth(() => deadIssuer), token: () => issuer.mint(OPTIONS) },
  { code: "upstream_reset", env: (t) => anywhere(t, (socket) => socket.resetAndDestroy()) },
];

for (const { code, env, token } of situations) {
  const row = FAILURES[code];
  const bearer = (): Record<string, string> =>
    token === undefined ? {} : { authorization: `Bearer ${token()}` };
  test(`${code} over HTTP/1.1 is ${row.http} with a JSON body`, async (t) => {
    const { url } = await testEdge(t, await env(t));
    const reply = await fetch(`${url}/x`, { headers: bearer() });
    const body = (await reply.json()) as { error: string };
    assert.deepEqual(
      [reply.status, body.error, reply.headers.get("content-type")],
      [row.http, code, "application/json"],
    );
    assert.equal(reply.headers.has("www-authenticate"), row.http === 401);
  });
  test(`${code} over HTTP/2 is ${row.http} with a JSON body`, async (t) => {
    const { port } = await testEdge(t, await env(t));
    const reply = await h2(http2Client(t, port), { ":path": "/x", ...bearer() });
    assert.deepEqual(
      [reply.headers[":status"], (JSON.parse(reply.body.toString()) as { error: string }).error, reply.code],
      [row.http, code, 0],
    );
  });
  test(`${code} over gRPC is status ${row.grpc}, trailers-only`, async (t) => {
    const settings = await env(t);
    const { port } = await testEdge(t, settings);
    const reply = await h2(
      http2Client(t, port),
      {
        ":method": "POST",
        ":path": "/Echo/Ping",
        "content-type": "application/grpc",
        te: "trailers",
        ...bearer(),
      },
      Buffer.alloc(5),
    );
    assert.deepEqual(
      [reply.headers[":status"], reply.headers["grpc-status"], reply.body.length, reply.trailers],
      [200, String(row.grpc), 0, {}],
    );
  });
  test(`${code} over a WebSocket upgrade is ${row.http} before it opens`, async (t) => {
    const { port } = await testEdge(t, await env(t));
    const client = new RawClient(t, port);
    const field = Object.entries(bearer())
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join("");
    client.send(
      `GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${field}\r\n`,
    );
    assert.match(await client.closed, new RegExp(`^HTTP/1\\.1 ${row.http} [\\s\\S]*"error":"${code}"`));
  });
  test(`${code} over an extended CONNECT is ${row.http} before it opens`, async (t) => {
    const { port } = await testEdge(t, await env(t));
    const session = http2Client(t, port);
    await once(session, "remoteSettings");
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": "/ws",
      ":authority": "a",
      "sec-websocket-version": "13",
      ...bearer(),
    });
    const reply = await settle(stream);
    assert.equal(reply.headers[":status"], row.http);
  });
}

test("upstream_refused: the first request finds out (503), the next ones hear no_upstream", async (t) => {
  const { env, leave } = await leavingWorker(t);
  const { port, url } = await testEdge(t, env);
  await leave();
  const first = (await (await fetch(url)).json()) as { error: string };
  const second = (await (await fetch(url)).json()) as { error: string };
  assert.deepEqual([first.error, second.error], ["upstream_refused", "no_upstream"]);
  const session = http2Client(t, port);
  const grpc = { ":method": "POST", ":path": "/Echo/Ping", "content-type": "application/grpc" };
  const replies = [await h2(session, grpc, Buffer.alloc(5)), await h2(session, grpc, Buffer.alloc(5))];
  assert.deepEqual(
    replies.map((reply) => [reply.headers["grpc-status"], reply.headers["grpc-message"]]),
    [
      ["14", FAILURES.upstream_refused.text],
      ["14", FAILURES.no_upstream.text],
    ],
  );
});

const garbage: [why: string, bytes: string][] = [
  ["no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n"],
  ["a bad chunk size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"],
  ["two lengths that differ", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"],
  ["a field without a colon", "HTTP/1.1 200 OK\r\nbroken field\r\n\r\n"],
];
for (const [why, bytes] of garbage) {
  test(`a worker that sends ${why} is a 502, or a reply that is cut`, async (t) => {
    const { url, logged } = await testEdge(t, await anywhere(t, (socket) => void socket.write(bytes)));
    const outcome = await fetch(url).then(
      async (reply) =>
        reply.status === 502
          ? 502
          : reply.text().then(
              () => "complete",
              () => "cut",
            ),
      () => "cut",
    );
    assert.ok(outcome === 502 || outcome === "cut", String(outcome));
    await logged((line) => line["outcome"] === "upstream_garbage");
  });
}

test("CONNECT is refused: 405 over HTTP/1.1 and over HTTP/2", async (t) => {
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: await httpWorker(t, (_req, res) => void res.end()) });
  const client = new RawClient(t, port);
  client.send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
  assert.match(await client.closed, /^HTTP\/1\.1 405 /);
  const reply = await h2(http2Client(t, port), { ":method": "CONNECT", ":authority": "example.com:443" }, "");
  assert.equal(reply.headers[":status"], 405);
});

const heads: [why: string, text: string, status: number][] = [
  ["no Host field", "GET / HTTP/1.1\r\n\r\n", 400],
  ["two Host fields", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400],
  [
    "content-length and transfer-encoding",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    400,
  ],
  [
    "two content-lengths",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    400,
  ],
  [
    "a content-length that is no number",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    400,
  ],
  ["an unknown transfer coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501],
  [
    "a transfer coding beside chunked",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    501,
  ],
  ["a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n", 400],
  ["a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400],
  ["a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: \0\r\n\r\n", 400],
  ["a bare line feed", "GET / HTTP/1.1\nHost: a\n\n", 400],
  ["a version that does not exist", "GET / HTTP/3.7\r\nHost: a\r\n\r\n", 400],
  ["a method of nonsense", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target that is no path", "GET example.com HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a head of 100 KB", `GET / HTTP/1.1\r\nHost: a\r\nX-A: ${"x".repeat(100_000)}\r\n\r\n`, 431],
  ["an expectation nobody knows", "GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417],
];
for (const [why, text, status] of heads) {
  test(`${why} is refused with ${status}, and nothing reaches a worker`, async (t) => {
    let requests = 0;
    const { port } = await testEdge(t, {
      HTTP_UPSTREAMS: await httpWorker(t, (_req, res) => (requests++, res.end())),
    });
    const client = new RawClient(t, port);
    client.send(text);
    assert.match(await client.closed, new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.equal(requests, 0);
  });
}

test("a head that takes too long is closed with 408", async (t) => {
  const { port } = await testEdge(t, {
    HTTP_UPSTREAMS: await httpWorker(t, (_req, res) => void res.end()),
    LIMIT_HEAD_MS: "200",
  });
  const client = new RawClient(t, port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n");
  assert.match(await client.closed, /^HTTP\/1\.1 408 /);
});

test("half a preface that takes too long is closed", async (t) => {
  const { port } = await testEdge(t, {
    HTTP_UPSTREAMS: await httpWorker(t, (_req, res) => void res.end()),
    LIMIT_HEAD_MS: "200",
  });
  const client = new RawClient(t, port);
  client.send("PRI * HTT");
  assert.equal(await client.closed, "");
});
