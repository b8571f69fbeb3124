// Requests bent at random, to workers that read as carelessly as any: whatever they make of it, the edge wrote it, once.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { RawClient } from "../support/clients.ts";
import { FrameClient, END_HEADERS, END_STREAM, fields, frame } from "../support/frames.ts";
import type { Front } from "../support/hostile.ts";
import { SMUGGLED, fronts } from "../support/hostile.ts";
import { values } from "../support/lenient-worker.ts";
import { bent, numbers } from "../support/random.ts";

const ROUNDS = 3000;
const N = SMUGGLED.length;
const CHUNKS = `${N.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`;

const requests = [
  `POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`,
  `GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: ${N}\r\nX-A: b\r\n\r\n${SMUGGLED}`,
  `POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n${CHUNKS}`,
  `DELETE /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n${CHUNKS}`,
  `POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${N}\r\n\r\n${SMUGGLED}`,
  `POST /a HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n`,
  `GET http://a/a HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
];
// prettier-ignore
const bits = [
  "\r", "\n", "\r\n", "\r\n\r\n", "\0", " ", "\t", "\v", ":", ";", ",", "/", "?", "#", "0", "1", "+", "_", "\x85", "\xff",
  "chunked", "identity", "Content-Length: 0\r\n", `Content-Length: ${N}\r\n`, "Content_Length: 0\r\n", "\r\n ",
  "Transfer-Encoding: chunked\r\n", "Transfer_Encoding: chunked\r\n", "Expect: 100-continue\r\n", "Host: b\r\n",
  "Connection: close\r\n", "Connection: content-length\r\n", "0\r\n\r\n", " HTTP/1.1\r\n", "HTTP/0.9", SMUGGLED,
];

/** Asks for one thing more, twice on each front; then all that its worker saw must be the edge's own words. */
async function check(t: TestContext, { name, port, worker }: Front, what: string): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const after = new RawClient(t, port);
    after.send("GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert.match(await after.closed, /^HTTP\/1\.1 200 [^]*\r\n\r\nok$/, `${name}: ${what}`);
    after.socket.destroy();
  }
  const seen = worker.requests.splice(0);
  for (const request of seen) {
    const written = ["via", "x-forwarded-for", "forwarded", "host"].map((field) => values(request, field));
    const why = `${name}: ${what}: ${JSON.stringify(request)}`;
    assert.match(written[0]?.join("") ?? "", /[12]\.[01] oneport$/, why);
    assert.deepEqual(
      written.map((each) => each.length),
      [1, 1, 1, 1],
      why,
    );
    assert.deepEqual(values(request, "x-auth-email"), [], why);
  }
  // Behind what is bent there may be a request of its own, which the edge sends when it likes.
  const after = seen.filter(({ target }) => target === "/after").map(({ body }) => body);
  assert.deepEqual(after, ["", ""], `${name}: ${what}`);
}

test(`${ROUNDS} bent HTTP/1.1 requests: no worker sees what the edge did not write`, async (t) => {
  const all = await fronts(t, ["http2-proxy", "direct"]);
  const next = numbers(7230);
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = bent(requests[next(requests.length)] ?? "", 1 + next(3), bits, next);
    const front = all[next(all.length)];
    assert.ok(front);
    const client = new RawClient(t, front.port);
    client.send(bytes);
    await check(t, front, JSON.stringify(bytes));
    client.socket.destroy();
  }
});

test(`${ROUNDS} bent HTTP/2 requests: no worker sees what the edge did not write`, async (t) => {
  const all = await fronts(t, ["direct"]);
  const next = numbers(9113);
  const some = (text: string): string => (next(6) === 0 ? bent(text, 1 + next(2), bits, next) : text);
  for (let round = 0; round < ROUNDS; round++) {
    const front = all[next(all.length)];
    assert.ok(front);
    const list: [string, string][] = [
      [":method", some(["GET", "POST", "DELETE"][next(3)] ?? "")],
      [":path", some("/a")],
      [":scheme", some("http")],
      [":authority", some("a")],
    ];
    for (const [name, value] of [
      ["content-length", String(N)],
      ["x-a", "b"],
      ["expect", "100-continue"],
      ["cookie", "a=b"],
    ] as const)
      if (next(2) === 0) list.push([some(name), some(value)]);
    const body = next(2) === 0 ? some(SMUGGLED) : undefined;
    const client = new FrameClient(t, front.port);
    const head = frame("HEADERS", END_HEADERS | (body === undefined ? END_STREAM : 0), 1, fields(...list));
    client.open(head, ...(body === undefined ? [] : [frame("DATA", END_STREAM, 1, body)]));
    await check(t, front, JSON.stringify([list, body]));
    client.socket.destroy();
  }
});
