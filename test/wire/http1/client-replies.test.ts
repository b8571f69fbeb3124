// The clients' side of HTTP/1.1 on real sockets: how replies are framed, and what becomes of those that fail.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { RawClient, talk } from "../../support/clients.ts";
import type { Served } from "../../support/http1-server.ts";
import { answer, get, serve } from "../../support/http1-server.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSE = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

const framed: readonly (readonly [
  why: string,
  line: string,
  status: number,
  fields: string[],
  end: boolean,
  want: RegExp,
])[] = [
  [
    "a reply of no length",
    "GET / HTTP/1.1",
    200,
    [],
    false,
    /transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n$/,
  ],
  [
    "a reply of no length to HTTP/1.0",
    "GET / HTTP/1.0",
    200,
    ["trailer", "x-sum"],
    false,
    /connection: close\r\n\r\nhi$/,
  ],
  [
    "a counted reply",
    "GET / HTTP/1.1",
    200,
    ["content-length", "2", "trailer", "x-sum"],
    false,
    /content-length: 2\r\ndate: [^\r]*\r\n\r\nhi$/,
  ],
  ["a reply that is over with its head", "GET / HTTP/1.1", 200, [], true, /content-length: 0\r\n\r\n$/],
  [
    "a reply to HEAD",
    "HEAD / HTTP/1.1",
    200,
    ["content-length", "2"],
    true,
    /content-length: 2\r\ndate: [^\r]*\r\n\r\n$/,
  ],
  [
    "a reply to HEAD that has a body",
    "HEAD / HTTP/1.1",
    200,
    ["content-length", "2"],
    false,
    /content-length: 2\r\ndate: [^\r]*\r\n\r\n$/,
  ],
  [
    "a reply of no length to HEAD",
    "HEAD / HTTP/1.1",
    200,
    [],
    true,
    /OK\r\n(?!content-length|transfer-encoding)/,
  ],
  ["204", "GET / HTTP/1.1", 204, [], true, /204 No Content\r\ndate: [^\r]*\r\n\r\n$/],
  [
    "304",
    "GET / HTTP/1.1",
    304,
    ["etag", '"x"'],
    true,
    /304 Not Modified\r\netag: "x"\r\ndate: [^\r]*\r\n\r\n$/,
  ],
  ["a status without a reason", "GET / HTTP/1.1", 599, [], true, /^HTTP\/1\.1 599 \r\n/],
  [
    "a date of the worker's own",
    "GET / HTTP/1.1",
    200,
    ["date", "today"],
    true,
    /OK\r\ndate: today\r\ncontent-length: 0\r\n\r\n$/,
  ],
];

for (const [why, line, status, fields, end, want] of framed) {
  test(`${why} is framed as it should be`, async (t) => {
    const served = await serve(t);
    const client = new RawClient(t, served.port);
    client.send(`${line}\r\nHost: a\r\n\r\n`);
    const exchange = await served.exchange(0);
    exchange.respond(status, fields, end);
    exchange.write(Buffer.from("hi"));
    exchange.end(["x-sum", "1"]);
    await client.until(/\r\n\r\n/);
    assert.match(await client.until(want), want);
  });
}

const unsafe: readonly (readonly [why: string, fields: string[]])[] = [
  ["a line break in a value", ["a", "b\r\nc: d"]],
  ["a character beyond a byte that becomes one", ["a", "b\u010ac"]],
  ["a NUL", ["a", "\0"]],
  ["a name that is none", ["a b", "c"]],
  ["an empty name", ["", "c"]],
  ["a coding of its own", ["transfer-encoding", "chunked"]],
  ["a length that is no number", ["content-length", "2, 2"]],
];

for (const [why, fields] of unsafe) {
  test(`a reply with ${why} is not sent, and becomes a 502`, async (t) => {
    const { toEdgeError } = await import("../../../edge/errors.ts");
    const served = await serve(t, (exchange) => {
      try {
        exchange.respond(200, fields, false);
      } catch (thrown) {
        exchange.fail(toEdgeError(thrown));
      }
    });
    const text = await talk(t, served.port, CLOSE);
    assert.match(text, /^HTTP\/1\.1 502 Bad Gateway\r\n[\s\S]*"error":"upstream_garbage"/);
    assert.equal(text.match(/^HTTP\/1\.1 /gm)?.length, 1);
  });
}

test("a reply that fails before its head has left becomes the failure", async (t) => {
  const { EdgeError } = await import("../../../edge/errors.ts");
  const served = await serve(t, (exchange) => {
    exchange.respond(200, ["content-length", "10"], false);
    exchange.write(Buffer.from("half"));
    exchange.fail(new EdgeError("upstream_reset"));
  });
  const text = await talk(t, served.port, CLOSE);
  assert.match(text, /^HTTP\/1\.1 502 [\s\S]*"error":"upstream_reset"/);
  assert.doesNotMatch(text, /200|half/);
});

for (const [why, body] of [
  ["less", "half"],
  ["more", "0123456789more"],
] as const) {
  test(`a counted reply with ${why} than it promised ends its connection`, async (t) => {
    const served = await serve(t);
    const client = new RawClient(t, served.port);
    client.send(GET + get("/next"));
    const exchange = await served.exchange(0);
    exchange.respond(200, ["content-length", "10"], false);
    await client.until(/\r\n\r\n/);
    exchange.write(Buffer.from(body));
    exchange.end([]);
    assert.doesNotMatch(await client.closed, /more/);
    assert.equal(served.exchanges.length, 1);
  });
}

/** How a connection ends for its client: by a FIN, which makes whole what only that ends, or by a reset. */
function endOf({ socket }: RawClient): Promise<string | undefined> {
  return new Promise((resolve) => {
    socket.once("end", () => resolve("FIN"));
    socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code));
  });
}

/** More than the kernel takes for a client that does not read. */
const LARGE = Buffer.alloc(16 * 1024 * 1024);

const cutting: readonly (readonly [
  why: string,
  cut: (client: RawClient, served: Served) => unknown,
  body: Buffer,
  whole: boolean,
])[] = [
  ["its client ends its direction", ({ socket }) => socket.end(), Buffer.from("half"), false],
  ["all is ended", (_client, { server }) => server.destroy(), Buffer.from("half"), false],
  ["all is ended while it waits to be read", (_client, { server }) => server.destroy(), LARGE, true],
  ["its client reads nothing of it for too long", (_client, served) => untilStalled(served), LARGE, false],
  ["its client reads nothing of the end of it", (_client, served) => untilStalled(served), LARGE, true],
];

async function untilStalled({ limits }: Served): Promise<void> {
  while (!limits.includes("stall")) await new Promise((resolve) => setTimeout(resolve, 10));
}

for (const [why, cut, body, whole] of cutting) {
  test(`a reply that only the end of its connection ends is cut by a reset when ${why}`, async (t) => {
    const served = await serve(t, undefined, { LIMIT_STALL_MS: "200" });
    const client = new RawClient(t, served.port);
    const end = endOf(client);
    client.send("GET / HTTP/1.0\r\n\r\n");
    const exchange = await served.exchange(0);
    exchange.respond(200, [], false);
    await client.until(/\r\n\r\n/);
    client.socket.pause();
    exchange.write(body);
    if (whole) exchange.end([]);
    await cut(client, served);
    client.socket.resume();
    assert.equal(await end, "ECONNRESET");
  });
}

test("interim replies come before the reply, and not over HTTP/1.0", async (t) => {
  const served = await serve(t, (exchange) => {
    exchange.inform(100, []);
    exchange.inform(103, ["link", "</a>"]);
    answer(exchange, "ok");
  });
  assert.match(
    await talk(t, served.port, CLOSE),
    /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 103 Early Hints\r\nlink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
  );
  assert.match(await talk(t, served.port, "GET / HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 200 OK\r\n/);
});

test("a head and what there is of its body leave in one piece", async (t) => {
  const served = await serve(t, (exchange) => {
    exchange.respond(200, [], false);
    for (let i = 0; i < 50; i++) exchange.write(Buffer.from("piece"));
    exchange.end([]);
  });
  const client = new RawClient(t, served.port);
  client.send(GET);
  const [first] = (await once(client.socket, "data")) as [Buffer];
  assert.match(first.toString("latin1"), /^HTTP\/1\.1 200 OK\r\n[\s\S]*0\r\n\r\n$/);
});
