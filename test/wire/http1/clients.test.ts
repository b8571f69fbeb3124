// The clients' side of HTTP/1.1 on real sockets: whose turn it is, when a connection ends, and what is kept in memory.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { RawClient, talk } from "../../support/clients.ts";
import { Sink, answer, serve, untilStuck } from "../../support/http1-server.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSE = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const MIB = 1024 * 1024;

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

function post(length: number, body = "", more = ""): string {
  return `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n${more}\r\n${body}`;
}

// === whose turn it is

test("pipelined requests are handed on one by one, and answered in order", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  client.send(get("/0") + get("/1") + get("/2"));
  for (let i = 0; i < 3; i++) {
    const exchange = await served.exchange(i);
    assert.deepEqual([exchange.head.path, served.exchanges.length], [`/${i}`, i + 1]);
    answer(exchange, `<${i}>`);
  }
  assert.deepEqual((await client.until(/<2>/)).match(/<\d>/g), ["<0>", "<1>", "<2>"]);
  assert.deepEqual(served.closed, served.exchanges);
});

test("pipelined requests come one byte at a time", async (t) => {
  const served = await serve(t, (exchange) => {
    const sink = new Sink();
    exchange.receive(sink);
    void sink.over.then(() => answer(exchange, exchange.head.path));
  });
  const client = new RawClient(t, served.port);
  for (const byte of get("/0") + post(2, "hi") + get("/2")) client.send(byte);
  assert.equal((await client.until(/\/2$/)).match(/HTTP\/1\.1 200/g)?.length, 3);
  assert.doesNotMatch(client.text, /connection/);
});

test("thousands of requests in one piece that are answered at once do not use up the stack", async (t) => {
  const served = await serve(t, (exchange) => answer(exchange, "ok"));
  const client = new RawClient(t, served.port);
  client.send(GET.repeat(5000) + CLOSE);
  assert.equal((await client.closed).match(/HTTP\/1\.1 200/g)?.length, 5001);
  assert.equal(served.closed.length, 5001);
});

test("a client that pipelines on and on is read no further than its first request and a little", async (t) => {
  const { port } = await serve(t);
  const client = new RawClient(t, port);
  const written = await untilStuck(client, Buffer.from(GET.repeat(2000)), 64 * MIB);
  assert.ok(written < 16 * MIB, `${written} bytes went to a server that answered nothing`);
});

test("a client that pipelines and reads nothing is not answered on and on", async (t) => {
  const served = await serve(t, (exchange) => answer(exchange, "x".repeat(10_000)));
  const client = new RawClient(t, served.port);
  client.socket.pause();
  await untilStuck(client, Buffer.from(GET.repeat(2000)), 64 * MIB);
  assert.ok(served.exchanges.length < 3000, `${served.exchanges.length} requests were answered`);
});

test("a body that nobody wants yet holds its client back", async (t) => {
  const { port } = await serve(t);
  const client = new RawClient(t, port);
  client.send(post(256 * MIB));
  assert.ok((await untilStuck(client, Buffer.alloc(MIB), 256 * MIB)) < 16 * MIB);
});

test("a body flows by credit", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  const length = 8 * MIB;
  client.send(post(length));
  client.socket.write(Buffer.alloc(length));
  const exchange = await served.exchange(0);
  let owed = 0;
  const full = Promise.withResolvers<void>();
  const sink = new Sink((bytes) => {
    owed += bytes;
    if (owed > 128 * 1024) full.resolve();
  });
  exchange.receive(sink);
  await full.promise;
  // Whatever was read before the socket was stopped has come by now.
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(sink.bytes < 512 * 1024, `${sink.bytes} bytes came without credit`);
  const giving = setInterval(() => {
    exchange.consume(owed);
    owed = 0;
  }, 1);
  t.after(() => clearInterval(giving));
  assert.deepEqual([await sink.over, sink.bytes], ["end", length]);
});

test("a reply flows by credit, and arrives whole although its memory is used again", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  client.socket.pause();
  client.send(CLOSE);
  const exchange = await served.exchange(0);
  let unsent = 0;
  exchange.onSent = (bytes) => (unsent -= bytes);
  exchange.respond(200, [], false);
  const scratch = Buffer.alloc(50_000);
  let pieces = 0;
  let blocked = 0;
  while (pieces < 400) {
    unsent += scratch.length;
    exchange.write(scratch.fill(65 + (pieces % 26)));
    pieces++;
    if (unsent > 128 * 1024 && blocked === 0) blocked = pieces;
    if (unsent > 128 * 1024) break;
  }
  scratch.fill(33);
  assert.ok(blocked > 0, "a client that reads nothing never held its sender back");
  exchange.end([]);
  client.socket.resume();
  const text = await client.closed;
  const letters = [...text.matchAll(/c350\r\n([A-Z])\1{49999}\r\n/g)].map((match) => match[1]);
  assert.deepEqual(
    letters,
    Array.from({ length: pieces }, (_, i) => String.fromCharCode(65 + (i % 26))),
  );
  assert.equal(unsent, 0);
});

// === when a connection ends

test("HTTP/1.1 goes on, and says so by saying nothing", async (t) => {
  const { port } = await serve(t, (exchange) => answer(exchange, exchange.head.path));
  const client = new RawClient(t, port);
  for (const path of ["/1", "/2", "/3"]) {
    client.send(get(path));
    await client.until(new RegExp(`${path}$`));
  }
  assert.doesNotMatch(client.text, /connection:/i);
});

for (const [why, head] of [
  ["Connection: close", CLOSE],
  ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"],
] as const) {
  test(`${why}: the reply says close, and nothing that follows is read as a request`, async (t) => {
    const served = await serve(t, (exchange) => answer(exchange, "ok"));
    assert.match(await talk(t, served.port, head + GET), /\r\nconnection: close\r\n[\s\S]*ok$/);
    assert.equal(served.exchanges.length, 1);
  });
}

test("an idle connection is closed without a word", async (t) => {
  const { port } = await serve(t, (exchange) => answer(exchange, "ok"), { LIMIT_IDLE_MS: "1000" });
  const started = performance.now();
  assert.match(await talk(t, port, GET), /ok$/);
  assert.ok(performance.now() - started >= 1000);
});

test("an empty line behind a reply does not start the clock of a head", async (t) => {
  const { port } = await serve(t, (exchange) => answer(exchange, "ok"), {
    LIMIT_IDLE_MS: "1000",
    LIMIT_HEAD_MS: "100",
  });
  assert.match(await talk(t, port, `${GET}\r\n`), /ok$/);
});

test("a head that dribbles in is given up when its time is over", async (t) => {
  const served = await serve(t, (exchange) => answer(exchange, "ok"), { LIMIT_HEAD_MS: "200" });
  const client = new RawClient(t, served.port);
  client.send(GET);
  await client.until(/ok$/);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n");
  const dribble = setInterval(() => client.send("x: y\r\n"), 20);
  t.after(() => clearInterval(dribble));
  assert.match(await client.closed, /ok[\s\S]*408 Request Timeout[\s\S]*"error":"head_timeout"/);
  assert.equal(served.exchanges.length, 1);
});

test("a request may take longer than a head, and than an idle connection", async (t) => {
  const served = await serve(t, undefined, {
    LIMIT_IDLE_MS: "1000",
    LIMIT_HEAD_MS: "100",
    LIMIT_LINGER_MS: "0",
  });
  const client = new RawClient(t, served.port);
  client.send(GET);
  const exchange = await served.exchange(0);
  setTimeout(answer, 1500, exchange, "late");
  await client.until(/late$/);
});

test("a client that leaves is heard of: the worker is told, once", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  client.send(post(5, "he"));
  const exchange = await served.exchange(0);
  const sink = new Sink();
  exchange.receive(sink);
  client.socket.destroy();
  assert.equal(await sink.over, "client_gone");
  assert.deepEqual([exchange.gone, served.closed.length], [true, 1]);
  exchange.respond(200, [], false);
  exchange.write(Buffer.from("nobody"));
  exchange.end([]);
  assert.equal(served.closed.length, 1);
});

test("a body that cannot be read is a 400, and its receiver hears of it", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nnonsense\r\n");
  const exchange = await served.exchange(0);
  const sink = new Sink();
  exchange.receive(sink);
  assert.deepEqual([await sink.over, sink.text], ["bad_request", "hi"]);
  const { EdgeError } = await import("../../../edge/errors.ts");
  exchange.fail(new EdgeError("bad_request"));
  assert.match(await client.closed, /^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*connection: close/);
});

test("an early reply says close, and what the client goes on sending is thrown away for a while", async (t) => {
  const served = await serve(t, (exchange) => answer(exchange, "enough"), { LIMIT_LINGER_MS: "200" });
  const client = new RawClient(t, served.port);
  client.send(post(256 * MIB, "first"));
  const written = untilStuck(client, Buffer.alloc(MIB), 256 * MIB);
  assert.match(await client.closed, /^HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close[\s\S]*enough$/);
  assert.ok((await written) > 0);
  assert.equal(served.closed.length, 1);
});

test("a body that ends soon after an early reply whose head had left costs no connection", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  client.send(post(10, "12345"));
  const exchange = await served.exchange(0);
  exchange.respond(200, ["content-length", "2"], false);
  await client.until(/\r\n\r\n$/);
  exchange.write(Buffer.from("ok"));
  exchange.end([]);
  await client.until(/ok$/);
  client.send(`67890${get("/next")}`);
  assert.equal((await served.exchange(1)).head.path, "/next");
});

test("a body that does not end soon after an early reply costs the connection", async (t) => {
  const served = await serve(t, undefined, { LIMIT_LINGER_MS: "100" });
  const client = new RawClient(t, served.port);
  client.send(post(10, "12345"));
  const exchange = await served.exchange(0);
  exchange.respond(200, ["content-length", "2"], false);
  await client.until(/\r\n\r\n$/);
  exchange.write(Buffer.from("ok"));
  exchange.end([]);
  assert.match(await client.closed, /ok$/);
});

test("a body held back for a 100 that never came costs the connection: nobody knows whether it follows", async (t) => {
  const served = await serve(t, (exchange) => answer(exchange, "no"));
  const text = await talk(t, served.port, post(2, "", "Expect: 100-continue\r\n"));
  assert.match(text, /connection: close[\s\S]*no$/);
});

test("a drain closes what is idle or has half a head, and lets a reply finish that says close", async (t) => {
  const served = await serve(t, (exchange) => {
    if (exchange.head.path === "/idle") answer(exchange, "ok");
  });
  const idle = new RawClient(t, served.port);
  idle.send(get("/idle"));
  await idle.until(/ok$/);
  const half = new RawClient(t, served.port);
  half.send(`${get("/idle")}GET /half HTT`);
  await half.until(/ok$/);
  const busy = new RawClient(t, served.port);
  busy.send(get("/busy"));
  const exchange = await served.exchange(2);
  const drained = served.server.drain();
  await Promise.all([idle.closed, half.closed]);
  answer(exchange, "last");
  assert.match(await busy.closed, /connection: close[\s\S]*last$/);
  await drained;
});

test("destroy ends everything, and every exchange hears of it", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  client.send(GET);
  const exchange = await served.exchange(0);
  const sink = new Sink();
  exchange.receive(sink);
  exchange.respond(200, ["content-length", "5"], false);
  await client.until(/\r\n\r\n$/);
  const closed = new Promise<void>((resolve) => (exchange.onClosed = () => resolve()));
  served.server.destroy();
  await Promise.all([client.closed, closed]);
  assert.equal(exchange.gone, true);
});

// === replies

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

// === tunnels

const UPGRADE =
  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

for (const cut of ["in one piece", "byte by byte"]) {
  test(`what comes behind a handshake ${cut} is the tunnel's`, async (t) => {
    const served = await serve(t);
    const client = new RawClient(t, served.port);
    const text = `${UPGRADE}GET /not-a-request HTTP/1.1\r\n\r\n`;
    for (const piece of cut === "in one piece" ? [text] : text) client.send(piece);
    const exchange = await served.exchange(0);
    const sink = new Sink();
    exchange.accept([]);
    exchange.receive(sink);
    client.socket.end("!");
    assert.equal(await sink.over, "end");
    assert.equal(sink.text, "GET /not-a-request HTTP/1.1\r\n\r\n!");
    assert.equal(served.exchanges.length, 1);
    exchange.end([]);
    assert.match(await client.closed, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  });
}

test("a tunnel's client is held back by credit", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  client.send(UPGRADE);
  const exchange = await served.exchange(0);
  const sink = new Sink();
  exchange.accept([]);
  exchange.receive(sink);
  const written = await untilStuck(client, Buffer.alloc(MIB), 64 * MIB);
  assert.ok(written < 16 * MIB && sink.bytes < MIB, `${sink.bytes} of ${written} bytes came`);
  const before = sink.bytes;
  const more = Promise.withResolvers<void>();
  sink.data = () => more.resolve();
  exchange.consume(before);
  await more.promise;
});

test("a handshake behind a request without a reply opens no tunnel", async (t) => {
  const served = await serve(t);
  const client = new RawClient(t, served.port);
  client.send(GET + UPGRADE);
  answer(await served.exchange(0), "ok");
  assert.match(await client.closed, /ok$/);
  assert.equal(served.exchanges.length, 1);
});
