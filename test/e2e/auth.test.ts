import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import { WebSocket } from "ws";
import { Issuer } from "../../scripts/token/issuer.ts";
import { encode, generateKey, signJwt } from "../../scripts/token/jwt.ts";
import { RawClient, h2, http2Client } from "../support/clients.ts";
import type { TestEdge } from "../support/edge.ts";
import { testEdge } from "../support/edge.ts";
import { suiteScope } from "../support/suite.ts";
import { httpWorker } from "../support/workers.ts";

const AUDIENCE = "https://api.example.com";
const EMAIL = "caller@example.com";
const OPTIONS = { audience: AUDIENCE, email: EMAIL };

let issuer: Issuer;
let worker: string;
let edge: TestEdge;
const suite = suiteScope();

/** Settings of an edge that trusts an issuer. */
function settings(from: Issuer, more: Record<string, string> = {}): Record<string, string> {
  return {
    HTTP_UPSTREAMS: worker,
    AUTH_AUDIENCE: AUDIENCE,
    AUTH_SERVICE_ACCOUNTS: EMAIL,
    AUTH_CERTS_URL: from.certsUrl,
    AUTH_ISSUERS: from.issuer,
    ...more,
  };
}

async function newIssuer(
  t: Pick<TestContext, "after">,
  ...args: ConstructorParameters<typeof Issuer>
): Promise<Issuer> {
  const made = new Issuer(...args);
  await made.listen();
  t.after(() => made.close());
  return made;
}

before(async () => {
  issuer = await newIssuer(suite);
  worker = await httpWorker(suite, (req, res) => {
    res.end(JSON.stringify({ url: req.url, headers: req.headers }));
  });
  edge = await testEdge(suite, settings(issuer));
});

/** Asks with a token; answers status and body. */
async function ask(
  url: string,
  token: string | undefined,
  path = "/",
): Promise<{ status: number; body: Record<string, unknown> }> {
  const reply = await fetch(url + path, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  return { status: reply.status, body: (await reply.json()) as Record<string, unknown> };
}

const now = (): number => Math.floor(Date.now() / 1000);
const minted = (claims: object, header: object = {}): string =>
  signJwt(issuer.key, { ...issuer.claims(OPTIONS), ...claims }, header);
const hs256 = (): string => {
  const signed = `${encode({ alg: "HS256", kid: issuer.key.id, typ: "JWT" })}.${encode(issuer.claims(OPTIONS))}`;
  return `${signed}.${createHmac("sha256", issuer.key.publicPem).update(signed).digest("base64url")}`;
};

test("a good token passes, and the worker hears who it is", async () => {
  const { status, body } = await ask(edge.url, issuer.mint(OPTIONS));
  assert.equal(status, 200);
  const headers = body["headers"] as Record<string, string>;
  assert.deepEqual([headers["x-auth-email"], headers["x-auth-subject"]], [EMAIL, "110169484474386276334"]);
});

test("a good token passes over HTTP/2", async (t) => {
  const reply = await h2(http2Client(t, edge.port), {
    ":path": "/",
    authorization: `Bearer ${issuer.mint(OPTIONS)}`,
  });
  assert.equal(reply.headers[":status"], 200);
});

test("the scheme is case-insensitive (RFC 9110, section 11.1)", async () => {
  const reply = await fetch(edge.url, { headers: { authorization: `bEARER ${issuer.mint(OPTIONS)}` } });
  assert.equal(reply.status, 200);
});

const refused: [why: string, token: () => string | undefined, says: RegExp, status?: number][] = [
  ["no token", () => undefined, /no ID token/],
  ["a malformed token", () => "abc", /malformed/],
  ["two parts", () => "a.b", /malformed/],
  ["four parts", () => `${issuer.mint(OPTIONS)}.x`, /malformed/],
  ["parts that are no JSON", () => "aaaa.bbbb.cccc", /malformed/],
  ["an expired token", () => minted({ exp: now() - 1 }), /expired/],
  ["a token without exp", () => minted({ exp: undefined }), /no exp/],
  ["a token that is not valid yet", () => minted({ nbf: now() + 120 }), /not valid yet/],
  ["a token issued in the future", () => minted({ iat: now() + 120 }), /future/],
  ["another audience", () => minted({ aud: "https://other.example.com" }), /another audience/],
  ["an audience that is a prefix", () => minted({ aud: AUDIENCE.slice(0, -1) }), /another audience/],
  ["several audiences, ours among them", () => minted({ aud: [AUDIENCE, "x"] }), /another audience/],
  ["another issuer", () => minted({ iss: "https://evil.example.com" }), /issuer/],
  ["an unknown key", () => signJwt(generateKey("key-9", "RS256"), issuer.claims(OPTIONS)), /key is unknown/],
  ["a key id that is a property of every object", () => minted({}, { kid: "__proto__" }), /key is unknown/],
  ["no key id", () => minted({}, { kid: undefined }), /names no key/],
  [
    "our key id, but another key",
    () => signJwt(generateKey(issuer.key.id, "RS256"), issuer.claims(OPTIONS)),
    /signature/,
  ],
  [
    "alg none",
    () => `${encode({ alg: "none", kid: issuer.key.id })}.${encode(issuer.claims(OPTIONS))}.`,
    /algorithm|malformed|authorization/,
  ],
  ["HS256 with the public key", hs256, /algorithm/],
  [
    "ES256, where RS256 is due",
    () => signJwt(generateKey(issuer.key.id, "ES256"), issuer.claims(OPTIONS)),
    /algorithm/,
  ],
  [
    "a changed payload",
    () => issuer.mint(OPTIONS).replace(/\.[^.]+\./, `.${encode({ ...issuer.claims(OPTIONS), sub: "1" })}.`),
    /signature/,
  ],
  [
    "a removed signature",
    () => issuer.mint(OPTIONS).replace(/[^.]+$/, "SIGNATURE_REMOVED_BY_GOOGLE"),
    /removed this token's signature/,
  ],
  [
    "a service account's self-signed JWT",
    () => minted({ iss: EMAIL, sub: EMAIL, email: undefined }),
    /issuer/,
  ],
  ["no email", () => minted({ email: undefined }), /no email/],
  ["an email that is not verified", () => minted({ email_verified: false }), /not verified/],
  ["an email said to be verified in words", () => minted({ email_verified: "true" }), /not verified/],
  ["an email with a line break", () => minted({ email: "a@b\r\nx-auth-email: root" }), /no email/],
  ["an email that is not allowed", () => minted({ email: "other@example.com" }), /not allowed/, 403],
  ["an azp that is no text", () => minted({ azp: 1 }), /azp/],
  ["no subject", () => minted({ sub: undefined }), /subject/],
  ["a token of 20 KB", () => minted({ pad: "x".repeat(15_000) }), /too long/],
];
for (const [why, token, says, status = 401] of refused) {
  test(`refuses ${why}`, async () => {
    const reply = await ask(edge.url, token());
    assert.equal(reply.status, status);
    assert.match(String(reply.body["message"]), says);
  });
}

test("a token of 100 KB is refused: 431 over HTTP/1.1, a reset over HTTP/2", async (t) => {
  const client = new RawClient(t, edge.port);
  client.send(`GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${"x".repeat(100_000)}\r\n\r\n`);
  assert.match(await client.closed, /^HTTP\/1\.1 431 /);
  const reply = await h2(http2Client(t, edge.port, { maxSendHeaderBlockLength: 200_000 }), {
    ":path": "/",
    authorization: `Bearer ${"x".repeat(100_000)}`,
  });
  assert.notEqual(reply.headers[":status"], 200);
});

test("two Authorization fields are refused: nobody says which counts", async (t) => {
  const client = new RawClient(t, edge.port);
  const field = `Authorization: Bearer ${issuer.mint(OPTIONS)}\r\n`;
  client.send(`GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${field}${field}\r\n`);
  assert.match(await client.closed, /^HTTP\/1\.1 401 [\s\S]*more than one token/);
});

test("Basic credentials are no token", async () => {
  const reply = await fetch(edge.url, { headers: { authorization: "Basic dXNlcjpwYXNz" } });
  assert.equal(reply.status, 401);
  assert.equal(reply.headers.get("www-authenticate"), 'Bearer realm="oneport"');
});

const paths: [path: string, status: number][] = [
  ["/ping", 200],
  ["/ping?x=1", 200],
  ["//ping", 401],
  ["/ping/", 401],
  ["/ping/../secret", 401],
  ["/PING", 401],
  ["/%70ing", 401],
  ["/ping;x=1", 401],
  ["/ping%2f..", 401],
  ["/ping%00", 401],
  ["/pingx", 401],
  ["/x/../ping", 401],
];
for (const [path, status] of paths) {
  test(`the public path is matched byte for byte: ${path} is ${status}`, async (t) => {
    const client = new RawClient(t, edge.port);
    client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    assert.match(await client.closed, new RegExp(`^HTTP/1\\.1 ${status} `));
  });
}

test("a public path is none for a WebSocket", async (t) => {
  const client = new RawClient(t, edge.port);
  client.send(
    "GET /ping HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  assert.match(await client.closed, /^HTTP\/1\.1 401 /);
});

test("* allows any verified identity with that audience", async (t) => {
  const { url } = await testEdge(t, settings(issuer, { AUTH_SERVICE_ACCOUNTS: "*" }));
  assert.equal((await ask(url, minted({ email: "anyone@example.org" }))).status, 200);
  assert.equal((await ask(url, minted({ email: "anyone@example.org", email_verified: false }))).status, 401);
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
      authorization: `Bearer ${minted({ email: "x@y.z" })}`,
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
    settings(issuer, { WS_UPSTREAMS: `http://127.0.0.1:${(server.address() as { port: number }).port}` }),
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

test("IAP: its assertion passes, with ES256 and its own header; a bearer token does not", async (t) => {
  const iap = await newIssuer(t, "https://cloud.google.com/iap", "ES256");
  const { url } = await testEdge(t, settings(iap, { AUTH_MODE: "iap" }));
  const claims = { ...iap.claims(OPTIONS), email_verified: undefined };
  const good = await fetch(url, { headers: { "x-goog-iap-jwt-assertion": signJwt(iap.key, claims) } });
  const { headers } = (await good.json()) as { headers: Record<string, string> };
  assert.deepEqual([good.status, headers["x-auth-email"]], [200, EMAIL]);
  assert.equal((await ask(url, signJwt(iap.key, claims))).status, 401);
  const rsa = signJwt(generateKey(iap.key.id, "RS256"), claims);
  assert.equal((await fetch(url, { headers: { "x-goog-iap-jwt-assertion": rsa } })).status, 401);
});

test("keys may also come as a JWK set", async (t) => {
  const other = await newIssuer(t);
  const { createPublicKey } = await import("node:crypto");
  const jwk = createPublicKey(other.key.publicPem).export({ format: "jwk" });
  other.published = { keys: [{ ...jwk, kid: other.key.id, use: "sig" }] } as never;
  const { url } = await testEdge(t, settings(other));
  assert.equal((await ask(url, other.mint(OPTIONS))).status, 200);
});

test("50 cold callers make one key fetch", async (t) => {
  const other = await newIssuer(t);
  const { url } = await testEdge(t, settings(other));
  const tokens = Array.from({ length: 50 }, (_, i) =>
    signJwt(other.key, { ...other.claims(OPTIONS), sub: `${i + 1}` }),
  );
  const replies = await Promise.all(tokens.map((token) => ask(url, token)));
  assert.ok(replies.every(({ status }) => status === 200));
  assert.equal(other.fetches, 1);
});

test("rotated keys: a new key id is fetched at once, a made-up one causes no further fetch", async (t) => {
  const other = await newIssuer(t);
  const { url } = await testEdge(t, settings(other));
  assert.equal((await ask(url, other.mint(OPTIONS))).status, 200);
  other.key = generateKey("key-2", "RS256");
  other.published = { "key-2": other.key.publicPem };
  assert.equal((await ask(url, other.mint(OPTIONS))).status, 200);
  const madeUp = generateKey("key-3", "RS256");
  for (let i = 0; i < 10; i++)
    assert.equal((await ask(url, signJwt(madeUp, other.claims(OPTIONS)))).status, 401);
  assert.equal(other.fetches, 2);
});

test("no keys were ever to be had: 503 and UNAVAILABLE, not 401", async (t) => {
  const dead = await newIssuer(t);
  const config = settings(dead);
  await dead.close();
  const { url, port, lines } = await testEdge(t, config);
  const token = dead.mint(OPTIONS);
  assert.equal((await ask(url, token)).status, 503);
  const call = {
    ":method": "POST",
    ":path": "/Echo/Ping",
    "content-type": "application/grpc",
    authorization: `Bearer ${token}`,
  };
  assert.equal((await h2(http2Client(t, port), call, Buffer.alloc(5))).headers["grpc-status"], "14");
  assert.ok(lines.some((line) => String(line["message"]).includes("keys could not be fetched")));
});

test("no token and no caller's secret in any log line or error", async (t) => {
  const edge = await testEdge(t, settings(issuer));
  const good = issuer.mint(OPTIONS);
  const tokens = [
    good,
    minted({ exp: 1 }),
    minted({ aud: "x" }),
    `${good}x`,
    signJwt(generateKey("nope", "RS256"), issuer.claims(OPTIONS)),
  ];
  const bodies: string[] = [];
  for (const token of tokens) {
    const reply = await fetch(`${edge.url}/?access_token=${token}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    bodies.push(reply.status === 200 ? "" : await reply.text());
  }
  const said = JSON.stringify(edge.lines) + bodies.join("");
  for (const token of tokens)
    for (const part of token.split(".")) assert.ok(!said.includes(part), `leaked ${part.slice(0, 20)}`);
  assert.ok(edge.lines.length >= tokens.length);
});

test("on one HTTP/2 connection, the same head again is the same caller, and another head another", async (t) => {
  const both = await testEdge(t, settings(issuer, { AUTH_SERVICE_ACCOUNTS: "a@example.com,b@example.com" }));
  const session = http2Client(t, both.port);
  const tokens = ["a@example.com", "b@example.com"].map((email) => issuer.mint({ ...OPTIONS, email }));
  for (let i = 0; i < 12; i++) {
    const reply = await h2(session, { ":path": "/", authorization: `Bearer ${tokens[i % 2] ?? ""}` });
    const { headers } = JSON.parse(reply.body.toString()) as { headers: Record<string, string> };
    assert.equal(headers["x-auth-email"], i % 2 === 0 ? "a@example.com" : "b@example.com");
  }
});

test("a head that is sent again and again is refused as soon as its token has expired", async (t) => {
  const session = http2Client(t, edge.port);
  const expires = now() + 2;
  const head = { ":path": "/", authorization: `Bearer ${minted({ exp: expires })}` };
  let accepted = 0;
  while (Date.now() < expires * 1000 - 50) {
    assert.equal((await h2(session, head)).headers[":status"], 200);
    accepted++;
  }
  assert.ok(accepted > 2);
  await new Promise((resolve) => setTimeout(resolve, expires * 1000 - Date.now()));
  assert.equal((await h2(session, head)).headers[":status"], 401);
});
