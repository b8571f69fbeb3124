// Replies that two readers could take for two, from a worker that is not to be trusted: a client sees one reply to each request,
// and what is behind it is nobody's.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { suiteScope } from "../../support/suite.ts";
import { rawWorker } from "../../support/workers.ts";

/** What the worker answers where it is asked for /evil. */
let evil = "";
let ports: readonly (readonly [carrier: string, port: number])[];
const suite = suiteScope();

before(async () => {
  const worker = await rawWorker(suite, (socket, text) => {
    if (!text.endsWith("\r\n\r\n")) return;
    const isEvil = text.split("\r\n\r\n").at(-2)?.includes(" /evil ") === true;
    socket.write(isEvil ? evil : "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine", "latin1");
  });
  ports = await Promise.all(
    ["http2-proxy", "direct"].map(async (carrier) => {
      const { port } = await testEdge(suite, { HTTP_UPSTREAMS: worker, HTTP1_CARRIER: carrier });
      return [carrier, port] as const;
    }),
  );
});

const INJECTED = "HTTP/1.1 200 OK\r\nx-injected: 1\r\ncontent-length: 8\r\n\r\ninjected";
const N = INJECTED.length;
const chunk = `${N.toString(16)}\r\n${INJECTED}\r\n`;
const OK = "HTTP/1.1 200 OK\r\n";
const OF_TWO = `${OK}content-length: 2\r\n`;
const CHUNKED = `${OK}transfer-encoding: chunked\r\n`;

const rows: readonly (readonly [why: string, reply: string, status: number, method?: string])[] = [
  ["a reply behind a counted one", `${OF_TWO}\r\nok${INJECTED}`, 200],
  ["a reply behind one in chunks", `${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n${INJECTED}`, 200],
  ["a reply behind an empty one", `${OK}content-length: 0\r\n\r\n${INJECTED}`, 200],
  ["a reply behind a 204", `HTTP/1.1 204 No Content\r\n\r\n${INJECTED}`, 204],
  ["a 204 with a length", `HTTP/1.1 204 No Content\r\ncontent-length: ${N}\r\n\r\n${INJECTED}`, 204],
  ["a 304 with a length", `HTTP/1.1 304 Not Modified\r\ncontent-length: ${N}\r\n\r\n${INJECTED}`, 304],
  ["a 205 with a length", `HTTP/1.1 205 Reset Content\r\ncontent-length: ${N}\r\n\r\n${INJECTED}`, 205],
  ["a reply to HEAD with a body", `${OK}content-length: ${N}\r\n\r\n${INJECTED}`, 200, "HEAD"],
  ["a 101 that nobody asked for", `HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n${INJECTED}`, 502],
  ["two lengths", `${OK}content-length: 0\r\ncontent-length: ${N}\r\n\r\n${INJECTED}`, 502],
  ["a list of lengths", `${OK}content-length: 0, ${N}\r\n\r\n${INJECTED}`, 502],
  ["a length with a sign", `${OK}content-length: +0\r\n\r\n${INJECTED}`, 502],
  ["a length and chunks", `${CHUNKED}content-length: ${N + 9}\r\n\r\n${chunk}0\r\n\r\n`, 502],
  ["two codings", `${CHUNKED}transfer-encoding: identity\r\n\r\n${chunk}0\r\n\r\n`, 502],
  ["an unknown coding", `${OK}transfer-encoding: xchunked\r\n\r\n${chunk}0\r\n\r\n`, 502],
  ["a coding behind a vertical tab", `${OK}transfer-encoding: \vchunked\r\n\r\n${chunk}0\r\n\r\n`, 502],
  ["chunks in HTTP/1.0", `HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`, 502],
  ["a folded length", `${OK}content-length:\r\n 0\r\n\r\n${INJECTED}`, 502],
  ["a space before a colon", `${OK}content-length : 0\r\n\r\n${INJECTED}`, 502],
  ["a head that ends in bare LFs", `HTTP/1.1 200 OK\ncontent-length: 0\n\n${INJECTED}`, 502],
  ["a reply in a value behind a bare CR", `${OF_TWO}x: y\r\r${INJECTED}\r\n\r\nok`, 502],
  ["a reply in a value behind a bare LF", `${OF_TWO}location: /\n\n${INJECTED}\r\n\r\nok`, 502],
  ["a reply in a value behind a NUL", `${OF_TWO}x: y\0${INJECTED}\r\n\r\nok`, 502],
  ["a line without a colon", `${OF_TWO}${INJECTED}`, 502],
  ["no status line", `hello\r\n\r\n${INJECTED}`, 502],
  ["a status that is none", `HTTP/1.1 2000 OK\r\n\r\n${INJECTED}`, 502],
];
for (const [why, reply, status, method = "GET"] of rows) {
  test(`${why}: ${status}, and the next request has the reply that is its own`, async (t) => {
    evil = reply;
    for (const [by, port] of ports) {
      const client = new RawClient(t, port);
      client.send(
        `${method} /evil HTTP/1.1\r\nHost: a\r\n\r\nGET /mine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
      );
      const text = await client.closed;
      assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} [^]*HTTP/1\\.1 200 [^]*\r\n\r\nmine$`), by);
      assert.equal(text.match(/HTTP\/1\.1 [0-9]{3} /g)?.length, 2, by);
      assert.doesNotMatch(text, /injected/, by);
    }
    const session = http2Client(t, ports[0]?.[1] ?? 0);
    const first = await h2(session, { ":method": method, ":path": "/evil" });
    const second = await h2(session, { ":path": "/mine" });
    assert.equal(first.headers[":status"], status);
    assert.doesNotMatch(JSON.stringify([first.headers, first.body.toString()]), /injected/);
    assert.equal(second.body.toString(), "mine");
  });
}

const cut: readonly (readonly [why: string, reply: string])[] = [
  ["a chunk size with a bare LF", `${CHUNKED}\r\n2\nok\r\n0\r\n\r\n${INJECTED}`],
  ["a chunk longer than it says", `${CHUNKED}\r\n1\r\nok\r\n0\r\n\r\n${INJECTED}`],
  ["a chunk size beyond counting", `${CHUNKED}\r\n10000000000000000\r\n${INJECTED}`],
  ["a chunk extension with a bare LF", `${CHUNKED}\r\n2;\nok\r\n0\r\n\r\n${INJECTED}`],
  ["a last chunk with bare LFs", `${CHUNKED}\r\n2\r\nok\r\n0\n\n${INJECTED}`],
  ["a trailer with a bare LF", `${CHUNKED}\r\n2\r\nok\r\n0\r\nx: y\n\n${INJECTED}`],
];
for (const [why, reply] of cut) {
  test(`${why}: a reply that is refused or cut, and the next request has its own`, async (t) => {
    evil = reply;
    for (const [by, port] of ports) {
      const client = new RawClient(t, port);
      client.send("GET /evil HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      const text = await client.closed;
      assert.doesNotMatch(text, /injected|\r\n0\r\n\r\n$/, by);
      const next = new RawClient(t, port);
      next.send("GET /mine HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      assert.match(await next.closed, /\r\n\r\nmine$/, by);
    }
    const session = http2Client(t, ports[0]?.[1] ?? 0);
    const first = await h2(session, { ":path": "/evil" });
    assert.doesNotMatch(first.body.toString(), /injected/);
    assert.ok(Number(first.headers[":status"]) === 502 || first.code !== 0);
    assert.equal((await h2(session, { ":path": "/mine" })).body.toString(), "mine");
  });
}

test("trailers of a reply that would frame or route it do not pass", async (t) => {
  evil = `${CHUNKED}\r\n2\r\nok\r\n0\r\ncontent-length: 99\r\ntransfer-encoding: x\r\nconnection: x\r\nx-sum: 1\r\n\r\n`;
  for (const [by, port] of ports) {
    const client = new RawClient(t, port);
    client.send("GET /evil HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert.match(await client.closed, /\r\n0\r\nx-sum: 1\r\n\r\n$/, by);
  }
  const { trailers } = await h2(http2Client(t, ports[0]?.[1] ?? 0), { ":path": "/evil" });
  assert.deepEqual(Object.entries(trailers), [["x-sum", "1"]]);
});
