import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { before, test } from "node:test";
import type { Issuer } from "../../../scripts/token/issuer.ts";
import { encode, generateKey, signJwt } from "../../../scripts/token/jwt.ts";
import { AUDIENCE, EMAIL, OPTIONS, ask, minted, settings, trusting } from "../../support/auth.ts";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
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

const now = (): number => Math.floor(Date.now() / 1000);

const hs256 = (): string => {
  const signed = `${encode({ alg: "HS256", kid: issuer.key.id, typ: "JWT" })}.${encode(issuer.claims(OPTIONS))}`;
  return `${signed}.${createHmac("sha256", issuer.key.publicPem).update(signed).digest("base64url")}`;
};

/** A good token whose signature is written in another way; of a kind that has both `-` and `_`. */
const respelt = (write: (signature: string) => string): string => {
  for (let number = 0; ; number++) {
    const [head, claims, signature = ""] = minted(issuer, { number }).split(".");
    if (/-.*_|_.*-/.test(signature)) return `${head}.${claims}.${write(signature)}`;
  }
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
  ["an expired token", () => minted(issuer, { exp: now() - 1 }), /expired/],
  ["a token without exp", () => minted(issuer, { exp: undefined }), /no exp/],
  ["a token that is not valid yet", () => minted(issuer, { nbf: now() + 120 }), /not valid yet/],
  ["a token issued in the future", () => minted(issuer, { iat: now() + 120 }), /future/],
  ["another audience", () => minted(issuer, { aud: "https://other.example.com" }), /another audience/],
  ["an audience that is a prefix", () => minted(issuer, { aud: AUDIENCE.slice(0, -1) }), /another audience/],
  ["several audiences, ours among them", () => minted(issuer, { aud: [AUDIENCE, "x"] }), /another audience/],
  ["another issuer", () => minted(issuer, { iss: "https://evil.example.com" }), /issuer/],
  ["an unknown key", () => signJwt(generateKey("key-9", "RS256"), issuer.claims(OPTIONS)), /key is unknown/],
  [
    "a key id that is a property of every object",
    () => minted(issuer, {}, { kid: "__proto__" }),
    /key is unknown/,
  ],
  ["no key id", () => minted(issuer, {}, { kid: undefined }), /names no key/],
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
  ["a signature with characters that stand for nothing", () => respelt((text) => `~${text}`), /malformed/],
  ["a padded signature", () => respelt((text) => `${text}==`), /malformed/],
  [
    "a signature in the other alphabet",
    () => respelt((text) => text.replaceAll("-", "+").replaceAll("_", "/")),
    /malformed/,
  ],
  [
    "a signature with bits behind its end",
    () => respelt((text) => text.slice(0, -1) + String.fromCharCode(text.charCodeAt(text.length - 1) + 1)),
    /malformed/,
  ],
  [
    "a removed signature",
    () => issuer.mint(OPTIONS).replace(/[^.]+$/, "SIGNATURE_REMOVED_BY_GOOGLE"),
    /removed this token's signature/,
  ],
  [
    "a service account's self-signed JWT",
    () => minted(issuer, { iss: EMAIL, sub: EMAIL, email: undefined }),
    /issuer/,
  ],
  ["no email", () => minted(issuer, { email: undefined }), /no email/],
  ["an email that is not verified", () => minted(issuer, { email_verified: false }), /not verified/],
  ["an email said to be verified in words", () => minted(issuer, { email_verified: "true" }), /not verified/],
  ["an email with a line break", () => minted(issuer, { email: "a@b\r\nx-auth-email: root" }), /no email/],
  ["an email that is not allowed", () => minted(issuer, { email: "other@example.com" }), /not allowed/, 403],
  ["an azp that is no text", () => minted(issuer, { azp: 1 }), /azp/],
  ["no subject", () => minted(issuer, { sub: undefined }), /subject/],
  ["a token of 20 KB", () => minted(issuer, { pad: "x".repeat(15_000) }), /too long/],
];
for (const [why, token, says, status = 401] of refused) {
  test(`refuses ${why}`, async () => {
    const reply = await ask(edge.url, token());
    assert.equal(reply.status, status);
    assert.match(String(reply.body["message"]), says);
  });
}

test("a token of 100 KB is refused: 431 over either version", async (t) => {
  const client = new RawClient(t, edge.port);
  client.send(`GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${"x".repeat(100_000)}\r\n\r\n`);
  assert.match(await client.closed, /^HTTP\/1\.1 431 /);
  const reply = await h2(http2Client(t, edge.port, { maxSendHeaderBlockLength: 200_000 }), {
    ":path": "/",
    authorization: `Bearer ${"x".repeat(100_000)}`,
  });
  assert.equal(reply.headers[":status"], 431);
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

test("who has no key does not learn who may call: a forged token is 401, whatever its email", async () => {
  const forger = generateKey(issuer.key.id, "RS256");
  const replies = await Promise.all(
    [EMAIL, "other@example.com"].map((email) =>
      ask(edge.url, signJwt(forger, issuer.claims({ ...OPTIONS, email }))),
    ),
  );
  assert.deepEqual(replies[0], replies[1]);
  assert.equal(replies[0]?.status, 401);
});

test("* allows any verified identity with that audience", async (t) => {
  const { url } = await testEdge(t, settings(worker, issuer, { AUTH_SERVICE_ACCOUNTS: "*" }));
  assert.equal((await ask(url, minted(issuer, { email: "anyone@example.org" }))).status, 200);
  assert.equal(
    (await ask(url, minted(issuer, { email: "anyone@example.org", email_verified: false }))).status,
    401,
  );
});

test("no token and no caller's secret in any log line or error", async (t) => {
  const edge = await testEdge(t, settings(worker, issuer));
  const good = issuer.mint(OPTIONS);
  const tokens = [
    good,
    minted(issuer, { exp: 1 }),
    minted(issuer, { aud: "x" }),
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
  const both = await testEdge(
    t,
    settings(worker, issuer, { AUTH_SERVICE_ACCOUNTS: "a@example.com,b@example.com" }),
  );
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
  const head = { ":path": "/", authorization: `Bearer ${minted(issuer, { exp: expires })}` };
  let accepted = 0;
  for (;;) {
    const reply = await h2(session, head);
    // Whatever came by now was decided before.
    if (Date.now() >= expires * 1000) break;
    assert.equal(reply.headers[":status"], 200);
    accepted++;
  }
  assert.ok(accepted > 2);
  assert.equal((await h2(session, head)).headers[":status"], 401);
});
