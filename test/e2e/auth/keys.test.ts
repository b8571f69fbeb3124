import assert from "node:assert/strict";
import { before, test } from "node:test";
import { generateKey, signJwt } from "../../../scripts/token/jwt.ts";
import { EMAIL, OPTIONS, ask, newIssuer, settings, trusting } from "../../support/auth.ts";
import { h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { suiteScope } from "../../support/suite.ts";

let worker: string;
const suite = suiteScope();

before(async () => {
  ({ worker } = await trusting(suite));
});

test("IAP: its assertion passes, with ES256 and its own header; a bearer token does not", async (t) => {
  const iap = await newIssuer(t, "https://cloud.google.com/iap", "ES256");
  const { url } = await testEdge(t, settings(worker, iap, { AUTH_MODE: "iap" }));
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
  const { url } = await testEdge(t, settings(worker, other));
  assert.equal((await ask(url, other.mint(OPTIONS))).status, 200);
});

test("50 cold callers make one key fetch", async (t) => {
  const other = await newIssuer(t);
  const { url } = await testEdge(t, settings(worker, other));
  const tokens = Array.from({ length: 50 }, (_, i) =>
    signJwt(other.key, { ...other.claims(OPTIONS), sub: `${i + 1}` }),
  );
  const replies = await Promise.all(tokens.map((token) => ask(url, token)));
  assert.ok(replies.every(({ status }) => status === 200));
  assert.equal(other.fetches, 1);
});

test("rotated keys: a new key id is fetched at once, a made-up one causes no further fetch", async (t) => {
  const other = await newIssuer(t);
  const { url } = await testEdge(t, settings(worker, other));
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
  const config = settings(worker, dead);
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
