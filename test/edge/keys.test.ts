import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { TokenCache } from "../../edge/auth/cache.ts";
import { KeyStore } from "../../edge/auth/keys.ts";
import { EdgeError } from "../../edge/errors.ts";
import { Issuer } from "../../scripts/token/issuer.ts";
import { generateKey } from "../../scripts/token/jwt.ts";

/** A store in front of a real issuer, with a clock that the test turns. */
async function storeOf(
  t: TestContext,
): Promise<{ issuer: Issuer; store: KeyStore; clock: { ms: number }; warnings: string[] }> {
  const issuer = new Issuer();
  await issuer.listen();
  t.after(() => issuer.close());
  const clock = { ms: 1_000_000 };
  const warnings: string[] = [];
  const store = new KeyStore({
    url: issuer.certsUrl,
    now: () => clock.ms,
    warn: (message) => warnings.push(message),
  });
  return { issuer, store, clock, warnings };
}

/** A store in front of a server that answers as the test wants. */
async function storeAt(
  t: TestContext,
  answer: RequestListener,
): Promise<{ store: KeyStore; clock: { ms: number }; open: () => number }> {
  const server = createServer(answer);
  let open = 0;
  server.on("connection", (socket) => {
    open++;
    socket.once("close", () => open--);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const clock = { ms: 1_000_000 };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const store = new KeyStore({ url, now: () => clock.ms, warn: () => {} });
  return { store, clock, open: () => open };
}

const fails = (code: string) => (thrown: unknown) => thrown instanceof EdgeError && thrown.code === code;

test("keys are kept for max-age, then fetched again", async (t) => {
  const { issuer, store, clock } = await storeOf(t);
  await store.get("key-1");
  clock.ms += 3_599_000;
  await store.get("key-1");
  assert.equal(issuer.fetches, 1);
  clock.ms += 2000;
  await store.get("key-1");
  assert.equal(issuer.fetches, 2);
});

test("without max-age keys are kept for five minutes, not fetched on every call", async (t) => {
  const { issuer, store, clock } = await storeOf(t);
  issuer.cacheControl = undefined;
  for (let i = 0; i < 5; i++) await store.get("key-1");
  assert.equal(issuer.fetches, 1);
  clock.ms += 301_000;
  await store.get("key-1");
  assert.equal(issuer.fetches, 2);
});

test("many callers at once share one fetch", async (t) => {
  const { issuer, store } = await storeOf(t);
  await Promise.all(Array.from({ length: 50 }, () => store.get("key-1")));
  assert.equal(issuer.fetches, 1);
});

test("an unknown key id is fetched once, then not before the cooldown is over", async (t) => {
  const { issuer, store, clock } = await storeOf(t);
  await store.get("key-1");
  issuer.key = generateKey("key-2", "RS256");
  issuer.published = { "key-2": issuer.key.publicPem };
  assert.equal(await store.get("key-2"), issuer.key.publicPem);
  assert.equal(issuer.fetches, 2);
  for (let i = 0; i < 20; i++) await assert.rejects(store.get(`nobody-${i}`), fails("unauthenticated"));
  assert.equal(issuer.fetches, 2);
  await assert.rejects(
    store.get("key-1"),
    fails("unauthenticated"),
    "the key that was withdrawn counts no more",
  );
  clock.ms += 10_001;
  await assert.rejects(store.get("nobody"), fails("unauthenticated"));
  assert.equal(issuer.fetches, 3);
});

test("rotated keys: whoever comes while the new ones are fetched waits for them", async (t) => {
  const { issuer, store } = await storeOf(t);
  await store.get("key-1");
  issuer.key = generateKey("key-2", "RS256");
  issuer.published = { "key-2": issuer.key.publicPem };
  const pems = await Promise.all(Array.from({ length: 50 }, () => store.get("key-2")));
  assert.ok(pems.every((pem) => pem === issuer.key.publicPem));
  assert.equal(issuer.fetches, 2);
});

test("with max-age=0 keys are not fetched on every call all the same", async (t) => {
  const { issuer, store, clock } = await storeOf(t);
  issuer.cacheControl = "max-age=0";
  for (let i = 0; i < 5; i++) {
    await store.get("key-1");
    await assert.rejects(store.get(`nobody-${i}`), fails("unauthenticated"));
  }
  assert.equal(issuer.fetches, 2, "one, and one for an unknown key id");
  clock.ms += 10_001;
  await store.get("key-1");
  assert.equal(issuer.fetches, 3);
});

const unreadable: [why: string, jwk: object][] = [
  ["a secret", { kid: "x", kty: "oct", k: "AAAA" }],
  ["a kind that Node does not know", { kid: "x", kty: "XYZ", x: "AA" }],
  ["a curve that Node does not know", { kid: "x", kty: "EC", crv: "P-0", x: "AA", y: "AA" }],
  ["half a key", { kid: "x", kty: "RSA", e: "AQAB" }],
];
for (const [why, jwk] of unreadable) {
  test(`of a JWK set, ${why} is passed over, and the others count`, async (t) => {
    const { issuer, store } = await storeOf(t);
    const good = createPublicKey(issuer.key.publicPem).export({ format: "jwk" });
    issuer.published = { keys: [jwk, { ...good, kid: "key-1" }] } as never;
    assert.equal(await store.get("key-1"), issuer.key.publicPem);
    await assert.rejects(store.get("x"), fails("unauthenticated"));
  });
}

test("the last good keys serve soon while the endpoint does not answer", { timeout: 4000 }, async (t) => {
  const { publicPem } = generateKey("key-1", "RS256");
  let asked = 0;
  const { store, clock } = await storeAt(t, (_req, res) => {
    asked++;
    if (asked === 1) res.end(JSON.stringify({ "key-1": publicPem }));
  });
  await store.get("key-1");
  clock.ms += 301_000;
  assert.equal(await store.get("key-1"), publicPem);
  assert.equal(asked, 2);
});

test("failures that say much do not use up connections", async (t) => {
  const { store, clock, open } = await storeAt(t, (_req, res) => {
    res.writeHead(500).end("x".repeat(200_000));
  });
  for (let i = 0; i < 20; i++) {
    await assert.rejects(store.get("key-1"), fails("keys_unavailable"));
    clock.ms += 1001;
  }
  // The last one may not be closed yet, or the one before.
  assert.ok(open() <= 3, `${open()} are open`);
});

test("the last good keys serve while the endpoint is down, and it is not hammered", async (t) => {
  const { issuer, store, clock, warnings } = await storeOf(t);
  const pem = await store.get("key-1");
  await issuer.close();
  clock.ms += 3_601_000;
  for (let i = 0; i < 5; i++) assert.equal(await store.get("key-1"), pem);
  assert.equal(warnings.length, 1);
});

test("no keys ever: keys_unavailable, until they come", async (t) => {
  const { issuer, store, clock } = await storeOf(t);
  issuer.published = {};
  await assert.rejects(store.get("key-1"), fails("keys_unavailable"));
  issuer.published = { "key-1": issuer.key.publicPem };
  await assert.rejects(store.get("key-1"), fails("keys_unavailable"), "within the cooldown");
  clock.ms += 1001;
  assert.equal(await store.get("key-1"), issuer.key.publicPem);
});

for (const id of ["__proto__", "constructor", "toString"]) {
  test(`the key id ${id} is no key`, async (t) => {
    const { store } = await storeOf(t);
    await assert.rejects(store.get(id), fails("unauthenticated"));
  });
}

test("a token is verified once, however many ask at once, and never past exp", async () => {
  let ms = 0;
  let verified = 0;
  const cache = new TokenCache(
    async () => {
      verified++;
      await Promise.resolve();
      return { caller: { email: "a@b.c", subject: "1" }, expires: 10 };
    },
    () => ms,
  );
  await Promise.all(Array.from({ length: 20 }, () => cache.caller("token")));
  await cache.caller("token");
  assert.equal(verified, 1);
  ms = 9999;
  await cache.caller("token");
  assert.equal(verified, 1);
  ms = 10_000;
  await cache.caller("token");
  assert.equal(verified, 2);
});

test("a refusal is not remembered", async () => {
  let verified = 0;
  const cache = new TokenCache(
    () => {
      verified++;
      return Promise.reject(new EdgeError("unauthenticated"));
    },
    () => 0,
  );
  await assert.rejects(async () => cache.caller("token"));
  await assert.rejects(async () => cache.caller("token"));
  assert.equal(verified, 2);
});

test("the cache is bounded", async () => {
  let verified = 0;
  const cache = new TokenCache(
    () => {
      verified++;
      return Promise.resolve({ caller: { email: "a@b.c", subject: "1" }, expires: 10 });
    },
    () => 0,
  );
  for (let i = 0; i < 10_001; i++) await cache.caller(`token-${i}`);
  await cache.caller("token-10000");
  assert.equal(verified, 10_001);
  await cache.caller("token-0");
  assert.equal(verified, 10_002);
});

test("of the head that a token came in, nothing else is kept", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const cache = new TokenCache(
    () => Promise.resolve({ caller: { email: "a@b.c", subject: "1" }, expires: 10 }),
    () => 0,
  );
  const heap = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = heap();
  for (let i = 0; i < 320; i++) {
    const head = Buffer.alloc(65_536, `token-${String(i).padStart(94, "0")}`).toString("latin1");
    await cache.caller(head.slice(0, 100));
  }
  assert.ok(heap() - before < 5_000_000, "twenty megabytes of heads");
  assert.deepEqual(cache.caller(`token-${"0".repeat(94)}`), { email: "a@b.c", subject: "1" });
});
