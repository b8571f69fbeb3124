// The clients' side of HTTP/1.1 on real sockets: whose turn it is, and what is kept in memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient } from "../../support/clients.ts";
import { Sink, answer, get, post, serve, untilStuck } from "../../support/http1-server.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSE = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const MIB = 1024 * 1024;

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
  exchange.source = { consume: (bytes) => (unsent -= bytes) };
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
