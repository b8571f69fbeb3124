// The clients' side of HTTP/1.1 on real sockets: handshakes, and the tunnels behind them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient } from "../../support/clients.ts";
import { Sink, answer, serve, untilStuck } from "../../support/http1-server.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const MIB = 1024 * 1024;

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
