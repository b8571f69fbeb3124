// What an HTTP/1.1 client can exceed is counted, by the names that HTTP/2 has for it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient } from "../../support/clients.ts";
import { answer, serve } from "../../support/http1-server.ts";

const LARGE = `X-Large: ${"x".repeat(5000)}\r\n`;
const LIMITS = { LIMIT_HEAD_BYTES: "4096", LIMIT_HEAD_MS: "200", LIMIT_STALL_MS: "200" };

const exceeding: [why: string, text: string, limit: string, reply: RegExp][] = [
  ["a head that does not end", "GET / HTTP/1.1\r\nHost: a\r\n", "head_time", /^HTTP\/1\.1 408 /],
  ["a head that ends after a letter, before its protocol is clear", "P", "head_time", /^$/],
  ["a head that is too large", `GET / HTTP/1.1\r\nHost: a\r\n${LARGE}\r\n`, "head_bytes", /^HTTP\/1\.1 431 /],
  [
    "trailers that are too large",
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${LARGE}\r\n`,
    "head_bytes",
    /^HTTP\/1\.1 431 /,
  ],
];
for (const [why, text, limit, reply] of exceeding) {
  test(`${why} counts as ${limit}`, async (t) => {
    const served = await serve(
      t,
      (exchange) => exchange.receive({ data() {}, end() {}, abort: (error) => exchange.fail(error) }),
      LIMITS,
    );
    const client = new RawClient(t, served.port);
    client.send(text);
    assert.match(await client.closed, reply);
    assert.deepEqual(served.limits, [limit]);
  });
}

test("a client that asks, and reads nothing at all of the reply, loses its connection", async (t) => {
  const gone = Promise.withResolvers<string>();
  const served = await serve(
    t,
    (exchange) => {
      exchange.receive({ data() {}, end() {}, abort: (error) => gone.resolve(error.code) });
      exchange.respond(200, [], false);
      exchange.write(Buffer.alloc(16 * 1024 * 1024));
    },
    LIMITS,
  );
  const client = new RawClient(t, served.port);
  client.socket.pause();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.equal(await gone.promise, "client_gone");
  assert.deepEqual(served.limits, ["stall"]);
  const other = new RawClient(t, served.port);
  other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await other.until(/^HTTP\/1\.1 200 /);
});

test("a client that leaves a complete reply unread loses its connection", async (t) => {
  const served = await serve(t, (exchange) => answer(exchange, "x".repeat(16_000_000)), LIMITS);
  const client = new RawClient(t, served.port);
  client.socket.pause();
  client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  while (served.closed.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(served.limits, ["stall"]);
});

test("a client that is idle is counted, and one whose reply takes its time exceeds nothing", async (t) => {
  const served = await serve(t, () => {}, { ...LIMITS, LIMIT_IDLE_MS: "1000" });
  const client = new RawClient(t, served.port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const idle = new RawClient(t, served.port);
  assert.equal(await idle.closed, "");
  assert.deepEqual(served.limits, ["idle"]);
  answer(await served.exchange(0), "late");
  assert.match(await client.until(/late$/), /^HTTP\/1\.1 200 /);
  assert.equal(await client.closed, client.text);
  assert.deepEqual(served.limits, ["idle", "idle"]);
});
