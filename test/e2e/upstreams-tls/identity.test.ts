// Who the edge is: its ID token for workers that are services of their own.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocketServer } from "ws";
import { readConfig } from "../../../edge/settings/config.ts";
import { address } from "../../../edge/settings/parse.ts";
import { originOf } from "../../../edge/upstream/origin.ts";
import { h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { freePort } from "../../support/family.ts";
import { GRPC, message } from "../../support/grpc.ts";
import { MetadataServer, claims } from "../../support/metadata.ts";
import { runScript } from "../../support/processes.ts";
import { swappable } from "../../support/swapping.ts";
import { SILENCE } from "../../support/silence.ts";
import { httpsWorker, resolveNames, secureHttp2Worker, trust } from "../../support/tls.ts";
import { nextMessage, openWebSocket } from "../../support/websockets.ts";
import { httpWorker } from "../../support/workers.ts";

const { authority, good } = trust();
const FIELD = "x-serverless-authorization";

async function metadata(t: TestContext): Promise<MetadataServer> {
  resolveNames(t);
  const server = new MetadataServer();
  await server.start(t);
  return server;
}

/** Workers for all three protocols that answer with the fields they got, as services on Cloud Run. */
async function services(
  t: TestContext,
): Promise<{ settings: Record<string, string>; names: { http: string; grpc: string } }> {
  const http = await httpsWorker(t, good, (req, res) => res.end(JSON.stringify(req.headers)));
  const sockets = new WebSocketServer({ server: http.server });
  sockets.on("connection", (socket, req) => socket.send(JSON.stringify(req.headers)));
  const grpc = await secureHttp2Worker(t, good, (stream, headers) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(JSON.stringify(headers));
  });
  const names = {
    http: `https://service-abc.run.app:${http.port}`,
    grpc: `https://service-abc.run.app:${grpc.port}`,
  };
  return {
    names,
    settings: { HTTP_UPSTREAMS: names.http, GRPC_UPSTREAMS: names.grpc, WS_UPSTREAMS: names.http },
  };
}

/** The fields that each protocol's worker gets for a request with these. */
async function seen(
  t: TestContext,
  port: number,
  fields: Record<string, string> = {},
): Promise<Record<"h1" | "h2" | "grpc" | "ws", IncomingHttpHeaders>> {
  const session = http2Client(t, port);
  const socket = openWebSocket(t, port, [], { headers: fields });
  const [h1, second, call, ws] = await Promise.all([
    fetch(`http://127.0.0.1:${port}/`, { headers: fields }).then((reply) => reply.text()),
    h2(session, { ":path": "/", ...fields }).then(({ body }) => body.toString()),
    h2(session, { ...GRPC, ...fields }, message()).then(({ body }) => body.toString()),
    nextMessage(socket),
  ]);
  const [one, two, three, four] = [h1, second, call, ws].map(
    (text) => JSON.parse(text) as IncomingHttpHeaders,
  );
  assert.ok(one && two && three && four);
  return { h1: one, h2: two, grpc: three, ws: four };
}

/** The status that a WebSocket handshake is answered with. */
async function upgraded(t: TestContext, port: number): Promise<number | undefined> {
  const socket = openWebSocket(t, port);
  const answered = Promise.race([once(socket, "upgrade"), once(socket, "unexpected-response")]);
  const answer = (await answered).at(-1) as IncomingMessage;
  socket.terminate();
  return answer.statusCode;
}

test("every protocol's worker gets a token for itself; the user's own passes whole, a forged one does not", async (t) => {
  const server = await metadata(t);
  const { settings, names } = await services(t);
  const { port, lines } = await testEdge(t, settings);
  const got = await seen(t, port, { authorization: "Bearer the.users.own", [FIELD]: "Bearer for.ged.one" });
  for (const [kind, fields] of Object.entries(got)) {
    assert.equal(claims(fields[FIELD]).aud, kind === "grpc" ? names.grpc : names.http, kind);
    assert.equal(fields["authorization"], "Bearer the.users.own", kind);
  }
  // One for each worker of each protocol, before the port was open.
  assert.deepEqual(server.asked.toSorted(), [names.http, names.http, names.grpc].toSorted());
  assert.doesNotMatch(JSON.stringify(lines), /sssss|users/);
});

test("trailers do not bring a forged one either", async (t) => {
  await metadata(t);
  const worker = await httpsWorker(t, good, async (req, res) => {
    await req.resume().toArray();
    res.end(JSON.stringify(req.trailers));
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: `https://service-abc.run.app:${worker.port}` });
  const stream = http2Client(t, port).request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ [FIELD]: "Bearer forged", "x-mine": "1" }));
  stream.end("body");
  assert.deepEqual(JSON.parse(Buffer.concat(await stream.toArray()).toString()), { "x-mine": "1" });
});

test("no token for workers that are not Google's, nor over plain connections, nor when it is off", async (t) => {
  const server = await metadata(t);
  const { settings } = await services(t);
  const elsewhere = await httpsWorker(t, good, (req, res) => res.end(JSON.stringify(req.headers)));
  const plain = await httpWorker(t, (req, res) => res.end(JSON.stringify(req.headers)));
  const asked = async (env: Record<string, string>): Promise<unknown> => {
    const { url } = await testEdge(t, env);
    return ((await (await fetch(url)).json()) as IncomingHttpHeaders)[FIELD];
  };
  assert.equal(await asked({ HTTP_UPSTREAMS: `https://worker.test:${elsewhere.port}` }), undefined);
  assert.equal(await asked({ HTTP_UPSTREAMS: plain, UPSTREAM_AUTH: "google" }), undefined);
  assert.equal(await asked({ ...settings, UPSTREAM_AUTH: "off" }), undefined);
  const lookAlike = address("http")("https://service-abc.run.app.example.com");
  const config = readConfig({});
  assert.deepEqual(originOf(lookAlike, config, SILENCE)?.credentials.fields, []);
  assert.deepEqual(server.asked, []);
});

test("UPSTREAM_AUTH=google: any name over TLS, for that name, or for UPSTREAM_AUDIENCE", async (t) => {
  const server = await metadata(t);
  const worker = await httpsWorker(t, good, (req, res) => res.end(JSON.stringify(req.headers)));
  const name = `https://worker.test:${worker.port}`;
  for (const [more, audience] of [
    [{}, name],
    [{ UPSTREAM_AUDIENCE: "https://custom.example.com" }, "https://custom.example.com"],
  ] as const) {
    const { url } = await testEdge(t, { HTTP_UPSTREAMS: name, UPSTREAM_AUTH: "google", ...more });
    const headers = (await (await fetch(url)).json()) as IncomingHttpHeaders;
    assert.equal(claims(headers[FIELD]).aud, audience);
    assert.equal(server.asked.at(-1), audience);
  }
});

test("a token that nears its end is replaced, also in heads that are known already", async (t) => {
  const server = await metadata(t);
  server.lifeMs = 1300;
  const { settings } = await services(t);
  const { port } = await testEdge(t, settings);
  const session = http2Client(t, port);
  const ask = async (): Promise<number[]> => {
    const replies = await Promise.all([h2(session, { ":path": "/" }), h2(session, GRPC, message())]);
    return replies.map(
      ({ body }) => claims((JSON.parse(body.toString()) as IncomingHttpHeaders)[FIELD]).number,
    );
  };
  await ask();
  const before = await ask();
  await server.untilAsked(6);
  let after = await ask();
  while (after.some((number, at) => number === before[at])) after = await ask();
  for (const number of after) assert.ok(number > 3);
  assert.deepEqual(await ask(), after);
});

test("without a token nothing is sent, each protocol hears of it in its own way, and goes on once it is there", async (t) => {
  const server = await metadata(t);
  const { names } = await services(t);
  const plain = await httpWorker(t, (_req, res) => res.end("plain"));
  const { port, url, put, logged, lines } = await swappable(t, { HTTP_UPSTREAMS: plain });
  server.instead = () => ({ status: 403, body: "no such account" });
  for (const [protocol, name] of [
    ["http", names.http],
    ["ws", names.http],
    ["grpc", names.grpc],
  ] as const) {
    const [status, answer] = await put(protocol, name);
    assert.equal(status, 409);
    assert.match(JSON.stringify(answer), /cannot say who it is .*no such account/);
    assert.equal((await put(protocol, name, { query: "?check=off" }))[0], 200);
  }
  const reply = await fetch(url);
  const { error } = (await reply.json()) as { error: string };
  assert.deepEqual([reply.status, error], [503, "identity_unavailable"]);
  assert.equal(await upgraded(t, port), 503);
  const session = http2Client(t, port);
  const call = await h2(session, GRPC, message());
  assert.equal(call.headers["grpc-status"], "14");
  const failing = lines.filter((line) => line["message"] === "no ID token for the worker");
  assert.ok(failing.every(({ reason }) => /HTTP 403, .*no such account/.test(String(reason))));
  // Nothing was sent, so another worker may be asked.
  const both = `${names.http},${plain}`;
  assert.equal((await put("http", both, { query: "?check=off" }))[0], 200);
  for (let i = 0; i < 4; i++)
    assert.equal(await (await fetch(url, { method: "POST", body: "x" })).text(), "plain");
  server.instead = () => undefined;
  for (const worker of [names.http, names.grpc])
    await logged((line) => line["message"] === "ID token for the worker again" && line["worker"] === worker);
  assert.equal((await h2(session, GRPC, message())).trailers["grpc-status"], "0");
});

test("an edge that cannot have a token, or whose worker has no good certificate, does not start and says why", async (t) => {
  const server = await metadata(t);
  const { settings } = await services(t);
  const expired = authority.issue({ names: ["localhost"], hours: -1 });
  const bad = await httpsWorker(t, expired, (_req, res) => res.end());
  server.instead = () => ({ status: 404, body: "" });
  await Promise.all([
    assert.rejects(
      testEdge(t, { ...settings, STARTUP_SECONDS: "1" }),
      /the worker at https:\S+ could not be used within 1 s: the edge cannot say who it is .*HTTP 404/,
    ),
    assert.rejects(
      testEdge(t, { HTTP_UPSTREAMS: `https://localhost:${bad.port}`, STARTUP_SECONDS: "1" }),
      /the worker at https:\S+ could not be used within 1 s: no secure connection .*certificate has expired/,
    ),
  ]);
});

test("two processes, a private authority by NODE_EXTRA_CA_CERTS, and PUT", async (t) => {
  const server = new MetadataServer();
  const host = await server.start(t);
  const folder = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(`${folder}/ca.pem`, authority.cert);
  const worker = await httpsWorker(t, good, (req, res) => res.end(JSON.stringify(req.headers)));
  const name = `https://localhost:${worker.port}`;
  const plain = await httpWorker(t, (_req, res) => res.end("plain"));
  const [port, admin] = [await freePort(), await freePort()];
  const program = runScript(t, "edge/main.ts", [], {
    PORT: String(port),
    ADMIN_PORT: String(admin),
    EDGE_PROCESSES: "2",
    LOG_FORMAT: "json",
    HTTP_UPSTREAMS: name,
    GRPC_UPSTREAMS: plain.replace("http:", "h2c:"),
    WS_UPSTREAMS: plain,
    UPSTREAM_AUTH: "google",
    NODE_EXTRA_CA_CERTS: `${folder}/ca.pem`,
    GCE_METADATA_HOST: host,
  });
  await program.says(/"message":"ready"/);
  const token = async (): Promise<unknown> =>
    claims(((await (await fetch(`http://127.0.0.1:${port}/`)).json()) as IncomingHttpHeaders)[FIELD]).aud;
  assert.equal(await token(), name);
  const swap = async (list: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${admin}/upstreams/http`, { method: "PUT", body: list })).status;
  assert.equal(await swap(plain), 200);
  assert.equal(await swap(name), 200);
  assert.equal(await token(), name);
  assert.equal(await program.stop(), 0);
});
