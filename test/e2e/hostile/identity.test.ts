// Who sent a request, from where and by which name, is what the edge found out: whatever a client writes into fields or trailers,
// in whatever spelling, over whatever carries it.
import assert from "node:assert/strict";
import type { ClientHttp2Session } from "node:http2";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import { EMAIL, OPTIONS, newIssuer, settings } from "../../support/auth.ts";
import { RawClient, http2Client, settle } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import type { LenientWorker } from "../../support/lenient-worker.ts";
import { lenientWorker } from "../../support/lenient-worker.ts";
import { suiteScope } from "../../support/suite.ts";
import { CONNECT, HANDSHAKE, extendedConnect } from "../../support/websockets.ts";
import { http2Worker } from "../../support/workers.ts";

type Field = readonly [name: string, value: string];
/** Sends a request with these fields and trailers, and a token. */
type Send = (t: TestContext, fields: readonly Field[], trailers: readonly Field[]) => Promise<unknown>;

let http: LenientWorker;
let calls: Field[][];
let carriers: Readonly<Record<string, Send>>;
/** Those that have no trailers. */
let webSockets: Readonly<Record<string, Send>>;
const suite = suiteScope();

const lines = (fields: readonly Field[]): string =>
  fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
const lower = (fields: readonly Field[]): Record<string, string> =>
  Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value]));

async function talk(t: TestContext, port: number, bytes: string): Promise<void> {
  const client = new RawClient(t, port);
  client.send(bytes);
  await client.until(/^HTTP\/1\.1 200 /);
}

async function overHttp2(
  session: ClientHttp2Session,
  head: Record<string, string>,
  trailers: readonly Field[],
): Promise<void> {
  const stream = session.request(head, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers(lower(trailers)));
  stream.end("x");
  assert.equal((await settle(stream)).headers[":status"], 200);
}

before(async () => {
  calls = [];
  http = await lenientWorker(suite, { wins: "transfer-encoding", length: "first" });
  const grpc = await http2Worker(suite, (stream, headers) => {
    const seen: Field[] = [];
    calls.push(seen);
    const note = (fields: object): number => seen.push(...(Object.entries(fields) as Field[]));
    note(headers);
    stream.on("trailers", note);
    stream.resume();
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end();
    });
  });
  const issuer = await newIssuer(suite);
  const bearer: Field = ["Authorization", `Bearer ${issuer.mint(OPTIONS)}`];
  const open = async (carrier: string): Promise<number> => {
    const more = { GRPC_UPSTREAMS: grpc, WS_UPSTREAMS: http.url, HTTP1_CARRIER: carrier };
    return (await testEdge(suite, settings(http.url, issuer, more))).port;
  };
  const [port, direct] = [await open("http2-proxy"), await open("direct")];
  const session = http2Client(suite, port);
  const post = (fields: readonly Field[], trailers: readonly Field[]): string =>
    `POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n${lines([bearer, ...fields])}\r\n0\r\n${lines(trailers)}\r\n`;
  const head = (fields: readonly Field[]): Record<string, string> => ({
    ":method": "POST",
    ":authority": "a",
    ":path": "/a",
    ...lower([bearer, ...fields]),
  });
  carriers = {
    "HTTP/1.1 by http2-proxy": (t, fields, trailers) => talk(t, port, post(fields, trailers)),
    "HTTP/1.1 straight": (t, fields, trailers) => talk(t, direct, post(fields, trailers)),
    "HTTP/2": (_t, fields, trailers) => overHttp2(session, head(fields), trailers),
    gRPC: (_t, fields, trailers) =>
      overHttp2(session, { ...head(fields), "content-type": "application/grpc" }, trailers),
  };
  webSockets = {
    "a WebSocket": (t, fields) => talk(t, port, `${HANDSHAKE}${lines([bearer, ...fields])}\r\n`),
    async "a WebSocket over HTTP/2"(_t, fields) {
      const { stream, reply } = await extendedConnect(session, { ...head(fields), ...CONNECT });
      assert.equal(reply[":status"], 200);
      stream.close();
    },
  };
});

/** What a worker saw, under the names that CGI would give them; the workers saw nothing else. */
function seen(): Readonly<Record<string, readonly string[]>> {
  const [fields, another] = [...http.requests.splice(0).map((request) => request.fields), ...calls.splice(0)];
  assert.ok(fields !== undefined && another === undefined);
  const variables: Record<string, string[]> = {};
  for (const [name, value] of fields)
    (variables[name.toUpperCase().replace(/[^A-Z0-9]/g, "_")] ??= []).push(value);
  return variables;
}

const variable = (name: string): string => name.toUpperCase().replace(/[^A-Z0-9]/g, "_");

/** What the edge says itself. */
const WRITTEN: Readonly<Record<string, RegExp>> = {
  X_AUTH_EMAIL: new RegExp(`^${EMAIL}$`),
  X_AUTH_SUBJECT: /^[0-9a-z]+$/,
  X_FORWARDED_FOR: /^127\.0\.0\.1$/,
  X_FORWARDED_PROTO: /^http$/,
  X_FORWARDED_HOST: /^a$/,
  FORWARDED: /^for=127\.0\.0\.1;proto=http;host="a"$/,
  VIA: /^([0-9.]+ front, )?[12]\.[01] oneport$/,
};

function checkTruth(by: string): void {
  const variables = seen();
  assert.doesNotMatch(JSON.stringify(variables), /8\.8\.8\.8|root/, by);
  for (const [name, says] of Object.entries(WRITTEN)) {
    assert.equal(variables[name]?.length, 1, `${by}: ${name}`);
    assert.match(variables[name]?.[0] ?? "", says, by);
  }
}

// prettier-ignore
const forged = [
  "X-Auth-Email", "x-auth-email", "X_Auth_Email", "X-Auth_Email", "X_AUTH-EMAIL", "X.Auth.Email", "X-Auth.Email", "X!Auth~Email",
  "X-Auth-Subject", "X_Auth_Subject", "X-Auth-Groups", "X-Auth-Request-Email", "X-Authenticated-Userid", "X_Authenticated_Scope",
  "X-Goog-Authenticated-User-Email", "X-Goog-Authenticated-User-Id", "X_Goog_Authenticated_User_Email",
  "X-Serverless-Authorization", "X_Serverless_Authorization", "Remote-User", "Remote_User", "X-Remote-User", "X-Remote-Group",
  "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded_For", "X-Forwarded-Proto", "X_Forwarded_Proto", "X-Forwarded-Host", "X_Forwarded-Host",
  "X-Forwarded-Port", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Client-Cert", "X-Forwarded-Prefix",
  "Forwarded", "X-Real-IP", "X_Real_IP", "X-Client-IP", "X-Cluster-Client-IP", "Client-IP", "X-Original-URL", "X-Rewrite-URL", "Proxy",
];
for (const name of forged) {
  test(`${name} of a client reaches no worker, as a field or in trailers`, async (t) => {
    const lie: Field = [name, "8.8.8.8, root@example.com"];
    for (const [by, send] of Object.entries({ ...carriers, ...webSockets })) {
      await send(t, [lie], []);
      checkTruth(by);
    }
    for (const [by, send] of Object.entries(carriers)) {
      await send(t, [], [lie]);
      checkTruth(by);
    }
  });
}

for (const name of Object.keys(WRITTEN)) {
  const field = name.toLowerCase().replaceAll("_", "-");
  test(`${field} is said by the edge, once, although Connection names it`, async (t) => {
    for (const by of ["HTTP/1.1 by http2-proxy", "HTTP/1.1 straight"]) {
      await carriers[by]?.(t, [["Connection", `close, ${field}`]], []);
      const said = seen()[name] ?? [];
      assert.equal(said.length, 1, by);
      assert.match(said[0] ?? "", WRITTEN[name] ?? /^$/, by);
    }
  });
}

const passing: readonly Field[] = [
  ["x-request-id", "1"],
  ["baggage", "a=b"],
  ["cookie", "a=b"],
  ["user_id", "7"],
  ["api_key", "k"],
  ["x-api-key", "k"],
  ["x-author", "me"],
  ["x-originally", "x"],
  ["x-http-method-override", "PUT"],
  ["x-goog-iap-jwt-assertion", "x"],
  ["cf-connecting-ip", "8.8.8.8"],
];
for (const [name, value] of passing) {
  test(`${name} of a client passes`, async (t) => {
    for (const [by, send] of Object.entries({ ...carriers, ...webSockets })) {
      await send(t, [[name, value]], []);
      assert.deepEqual(seen()[variable(name)], [value], by);
    }
  });
}

// prettier-ignore
const neverTrailing = [
  "Authorization", "Cookie", "Content-Type", "Content_Type", "Content-Encoding", "Content-Range", "Cache-Control", "Expect", "Range",
  "If-Match", "If-None-Match", "Max-Forwards", "Origin", "X-Goog-IAP-JWT-Assertion", "Trailer",
];
for (const name of neverTrailing) {
  test(`${name} behind a body reaches no worker`, async (t) => {
    for (const [by, send] of Object.entries(carriers)) {
      await send(
        t,
        [],
        [
          [name, "late"],
          ["x-sum", "fine"],
        ],
      );
      const variables = seen();
      assert.doesNotMatch(JSON.stringify(variables), /late/, by);
      assert.deepEqual(variables["X_SUM"], ["fine"], by);
    }
  });
}
