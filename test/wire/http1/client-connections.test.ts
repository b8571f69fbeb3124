// The clients' side of HTTP/1.1 on real sockets: when a connection ends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient, talk } from "../../support/clients.ts";
import { Sink, answer, get, post, serve, untilStuck } from "../../support/http1-server.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSE = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const MIB = 1024 * 1024;

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
