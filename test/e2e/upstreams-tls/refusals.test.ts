// Workers over TLS that are not who they should be, or do not do what they should: what is said, and what is never done.
import assert from "node:assert/strict";
import dns from "node:dns";
import { connect, createServer as createTcpServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { address } from "../../../edge/settings/parse.ts";
import { whyUnreachable } from "../../../edge/upstream/reachable.ts";
import { Authority } from "../../support/certificates.ts";
import { h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { GRPC, message } from "../../support/grpc.ts";
import { named, swappable, text } from "../../support/swapping.ts";
import { httpsWorker, resolveNames, secureHttp2Worker, trust } from "../../support/tls.ts";
import { UNTROUBLED } from "../../support/views.ts";
import { openWebSocket } from "../../support/websockets.ts";
import { http2Worker, rawWorker } from "../../support/workers.ts";

const { authority, good } = trust();
const expired = authority.issue({ names: ["localhost"], hours: -1 });
const foreign = new Authority("nobody here").issue({ names: ["localhost"] });
const onlyWorker = authority.issue({ names: ["worker.test"] });

const hello = (_req: unknown, res: { end(text: string): unknown }): void => void res.end("ok");

/** A server that accepts connections and says nothing. */
async function silent(t: TestContext): Promise<number> {
  const url = await rawWorker(t, () => {});
  return Number(new URL(url).port);
}

const probes: readonly (readonly [
  why: string,
  protocol: "http" | "h2c",
  where: (t: TestContext) => Promise<string>,
  code: string | undefined,
  reason?: RegExp,
])[] = [
  [
    "a good certificate",
    "http",
    async (t) => `localhost:${(await httpsWorker(t, good, hello)).port}`,
    undefined,
  ],
  [
    "a good one for HTTP/2",
    "h2c",
    async (t) => `localhost:${(await secureHttp2Worker(t, good, () => {})).port}`,
    undefined,
  ],
  [
    "an expired certificate",
    "http",
    async (t) => `localhost:${(await httpsWorker(t, expired, hello)).port}`,
    "upstream_tls",
    /expired/,
  ],
  [
    "a certificate of an unknown authority",
    "http",
    async (t) => `localhost:${(await httpsWorker(t, foreign, hello)).port}`,
    "upstream_tls",
    /unable to verify/,
  ],
  [
    "a certificate for another name",
    "http",
    async (t) => `other.test:${(await httpsWorker(t, onlyWorker, hello)).port}`,
    "upstream_tls",
    /other\.test.*worker\.test/,
  ],
  [
    "a certificate without the address",
    "http",
    async (t) => `127.0.0.1:${(await httpsWorker(t, onlyWorker, hello)).port}`,
    "upstream_tls",
    /127\.0\.0\.1/,
  ],
  [
    "no HTTP/2 for gRPC",
    "h2c",
    async (t) => `localhost:${(await httpsWorker(t, good, hello)).port}`,
    "upstream_tls",
    /application protocol/,
  ],
  [
    "no word about the protocol for gRPC",
    "h2c",
    async (t) => `localhost:${await withoutAlpn(t)}`,
    "upstream_tls",
    /does not speak HTTP\/2/,
  ],
  [
    "a worker without TLS",
    "http",
    async (t) => (await named(t, "plain")).slice("http://".length),
    "upstream_tls",
    /wrong version/i,
  ],
  [
    "a gRPC worker without TLS",
    "h2c",
    async (t) => (await http2Worker(t, () => {})).slice("h2c://".length),
    "upstream_tls",
    /./,
  ],
  [
    "one that never answers the ClientHello",
    "http",
    async (t) => `localhost:${await silent(t)}`,
    "upstream_refused",
    /in time/,
  ],
  [
    "one that hangs up on it",
    "http",
    async (t) => `localhost:${await hangingUp(t)}`,
    "upstream_refused",
    /./,
  ],
  [
    "a name that takes for ever to look up",
    "http",
    async (t) => `${lookedUpForEver(t)}:443`,
    "upstream_refused",
    /in time/,
  ],
  ["a name that does not exist", "http", async () => "nobody.invalid", "upstream_refused", /nobody\.invalid/],
];
for (const [why, protocol, where, code, reason = /^$/] of probes) {
  test(`${why}: ${code ?? "reachable"}`, async (t) => {
    resolveNames(t);
    const to = address(protocol)(`https://${await where(t)}`);
    const started = performance.now();
    const error = await whyUnreachable(to, 500);
    assert.equal(error?.code, code, error?.reason);
    assert.match(error?.reason ?? "", reason);
    assert.ok(performance.now() - started < 2000);
  });
}

/** TLS and nothing on top of it. */
async function withoutAlpn(t: TestContext, heard: Buffer[] = [], closed = (): void => {}): Promise<number> {
  const server = createTlsServer({ ...good }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => heard.push(bytes));
  });
  server.on("connection", (socket: Socket) => socket.once("close", closed));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function hangingUp(t: TestContext): Promise<number> {
  return Number(new URL(await rawWorker(t, (socket) => socket.end())).port);
}

function lookedUpForEver(t: TestContext): string {
  t.mock.method(dns, "lookup", () => {});
  return "slow.test";
}

test("each protocol hears of a certificate that is not good, in its own way, and the log says why once", async (t) => {
  const [http, grpc] = [
    await httpsWorker(t, expired, hello),
    await secureHttp2Worker(t, expired, () => assert.fail("the worker was asked")),
  ];
  const plain = await named(t, "plain");
  const { port, url, put, lines } = await swappable(t, { HTTP_UPSTREAMS: plain });
  for (const [protocol, worker] of [
    ["http", http],
    ["ws", http],
    ["grpc", grpc],
  ] as const)
    assert.equal((await put(protocol, `https://localhost:${worker.port}`, { query: "?check=off" }))[0], 200);
  const reply = await fetch(url);
  const { error, message: said } = (await reply.json()) as { error: string; message: string };
  assert.deepEqual([reply.status, error], [502, "upstream_tls"]);
  assert.doesNotMatch(said, /expired/);
  const call = await h2(http2Client(t, port), GRPC, message());
  assert.equal(call.headers["grpc-status"], "14");
  const socket = openWebSocket(t, port);
  const refused = await new Promise<number | undefined>((resolve) =>
    socket.once("unexpected-response", (_req, res) => resolve(res.statusCode)),
  );
  assert.equal(refused, 502);
  // It is left out from now on, and the next ones are not told again.
  assert.equal((await fetch(url)).status, 503);
  const warned = lines.filter((line) => line["message"] === "worker unreachable");
  assert.equal(warned.length, 3);
  for (const line of warned) assert.match(String(line["reason"]), /certificate has expired/);
});

test("a gRPC worker that did not agree to HTTP/2 gets not even the preface", async (t) => {
  const heard: Buffer[] = [];
  const closed = Promise.withResolvers<void>();
  const where = `https://localhost:${await withoutAlpn(t, heard, closed.resolve)}`;
  const plain = await http2Worker(t, () => {});
  const { port, put, logged } = await swappable(t, { GRPC_UPSTREAMS: plain });
  await put("grpc", where, { query: "?check=off" });
  const call = await h2(http2Client(t, port), GRPC, message());
  assert.equal(call.headers["grpc-status"], "14");
  const line = await logged(({ message: text }) => text === "worker unreachable");
  assert.match(String(line["reason"]), /does not speak HTTP\/2/);
  await closed.promise;
  assert.deepEqual(heard, []);
});

test("a worker whose certificate is replaced by a bad one is left out until it has a good one", async (t) => {
  const worker = await httpsWorker(t, good, (_req, res) => {
    res.setHeader("connection", "close");
    res.end("ok");
  });
  const other = await named(t, "other");
  const { url, logged } = await testEdge(t, {
    HTTP_UPSTREAMS: `https://localhost:${worker.port},${other}`,
  });
  assert.deepEqual(new Set([await text(url), await text(url)]), new Set(["ok", "other"]));
  worker.setSecureContext(expired);
  // Nothing of a request was sent to it, so the other one gets it, whatever it is.
  for (let i = 0; i < 4; i++)
    assert.equal(await (await fetch(url, { method: "POST", body: "x" })).text(), "other");
  await logged((line) => line["message"] === "worker unreachable");
  worker.setSecureContext(good);
  await logged((line) => line["message"] === "worker reachable again");
  assert.deepEqual(new Set([await text(url), await text(url)]), new Set(["ok", "other"]));
});

test("a worker that stops speaking TLS gets no request in plain text", async (t) => {
  const heard: string[] = [];
  const plain = await rawWorker(t, (_socket, bytes) => heard.push(bytes));
  const { url, put } = await swappable(t, { HTTP_UPSTREAMS: await named(t, "a"), LIMIT_CONNECT_MS: "150" });
  await put("http", plain.replace("http:", "https:").replace("127.0.0.1", "localhost"), {
    query: "?check=off",
  });
  assert.equal((await fetch(`${url}/secret`, { headers: { authorization: "Bearer secret" } })).status, 503);
  assert.ok(heard.length > 0);
  for (const bytes of heard) assert.doesNotMatch(bytes, /secret|HTTP/);
});

test("one that takes connections and never says hello costs LIMIT_CONNECT_MS, and the next one is asked", async (t) => {
  const port = await silent(t);
  const { url, put } = await swappable(t, { HTTP_UPSTREAMS: await named(t, "a"), LIMIT_CONNECT_MS: "150" });
  await put("http", `https://localhost:${port},${await named(t, "b")}`, { query: "?check=off" });
  const started = performance.now();
  for (let i = 0; i < 3; i++) assert.equal(await text(url), "b");
  assert.ok(performance.now() - started < 1500);
});

test("a reply over TLS that only the end of its connection would end is refused: anybody can end a connection", async (t) => {
  const server = createTlsServer({ ...good }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\n\r\nhalf"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { url } = await testEdge(t, {
    HTTP_UPSTREAMS: `https://localhost:${(server.address() as AddressInfo).port}`,
  });
  const reply = await fetch(url);
  assert.equal(reply.status, 502);
  assert.match(await reply.text(), /without a length/);
});

test("a reply that is cut on its way, without a word of TLS, never looks complete", async (t) => {
  const worker = await httpsWorker(t, good, (_req, res) => {
    res.writeHead(200, { "content-length": "1000" });
    res.write("half");
  });
  // Between the two, as whoever can cut a connection but not read it.
  const between = createTcpServer((client) => {
    const socket = connect(worker.port, "127.0.0.1");
    const ends: readonly Socket[] = [client, socket];
    for (const end of ends) end.on("error", () => {});
    client.pipe(socket);
    socket.on("data", (bytes) => client.write(bytes));
    cut.push(() => client.end());
  });
  const cut: (() => void)[] = [];
  await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve));
  t.after(() => between.close());
  const { url } = await testEdge(t, {
    HTTP_UPSTREAMS: `https://localhost:${(between.address() as AddressInfo).port}`,
  });
  const reply = await fetch(url);
  const body = reply.text();
  for (const end of cut) end();
  await assert.rejects(body);
});

test("from plain to TLS and back while it runs, and a worker that is not good changes nothing", async (t) => {
  const plain = await named(t, "plain");
  const [secure, bad] = [
    await httpsWorker(t, good, (_req, res) => void res.end("secure")),
    await httpsWorker(t, expired, hello),
  ];
  const { url, put, admin } = await swappable(t, { HTTP_UPSTREAMS: plain });
  const name = `https://localhost:${secure.port}`;
  for (let round = 0; round < 3; round++) {
    assert.equal(await text(url), "plain");
    assert.deepEqual(await put("http", name), [200, { added: [name], removed: [plain], kept: [] }]);
    assert.equal(await text(url), "secure");
    const shown = await (await fetch(`http://127.0.0.1:${admin}/upstreams/http`)).json();
    assert.deepEqual(shown, [{ address: name, healthy: true, active: 0, ...UNTROUBLED }]);
    const [status, answer] = await put("http", `https://localhost:${bad.port}`);
    assert.equal(status, 409);
    assert.match(JSON.stringify(answer), /certificate has expired.*nothing was changed/);
    assert.equal(await text(url), "secure");
    assert.equal((await put("http", plain))[0], 200);
  }
});
