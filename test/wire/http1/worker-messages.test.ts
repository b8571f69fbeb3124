// The HTTP/1.1 client towards workers, on real sockets: what is read of a reply, and how a request is written.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Asking, POST, ask, counted, upstreamTo } from "../../support/http1-client.ts";
import { rawWorker } from "../../support/workers.ts";

const EMPTY = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

for (const [why, bytes] of [
  ["a head", "HTTP/1.1 200 OK\r\ncontent-"],
  ["a counted body", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"],
  ["chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"],
  ["trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: "],
] as const) {
  test(`a connection that ends inside ${why} is no end of the reply`, async (t) => {
    const worker = await rawWorker(t, (socket) => void socket.end(bytes));
    assert.equal(await (await ask(upstreamTo(t, worker))).over, "upstream_reset");
  });
}

test("a reply without a length ends with its connection", async (t) => {
  const worker = await rawWorker(t, (socket) => void socket.end("HTTP/1.1 200 OK\r\n\r\nall of it"));
  const reply = await ask(upstreamTo(t, worker));
  assert.deepEqual([await reply.over, reply.body], ["end", "all of it"]);
});

test("a reply without a length whose connection is reset is cut", async (t) => {
  const worker = await rawWorker(t, (socket) => {
    socket.write("HTTP/1.1 200 OK\r\n\r\nhalf", () => setImmediate(() => socket.resetAndDestroy()));
  });
  assert.equal(await (await ask(upstreamTo(t, worker))).over, "upstream_reset");
});

test("an invalid reply costs its connection, and no other", async (t) => {
  const worker = await rawWorker(t, (socket, _text, connection) => {
    socket.write(connection === 1 ? "HTTP/1.1 200 OK\r\na : b\r\n\r\n" : EMPTY);
  });
  const upstream = upstreamTo(t, worker);
  assert.equal(await (await ask(upstream)).over, "upstream_garbage");
  assert.equal(await (await ask(upstream)).over, "end");
});

test("a head beyond the limit is refused", async (t) => {
  const worker = await rawWorker(
    t,
    (socket) => void socket.write(`HTTP/1.1 200 OK\r\na: ${"b".repeat(2000)}`),
  );
  assert.equal(await (await ask(upstreamTo(t, worker, { headBytes: 1000 }))).over, "upstream_garbage");
});

test("interim replies are told as they come", async (t) => {
  const worker = await rawWorker(t, (socket, text) => {
    if (text.endsWith("0\r\n\r\n")) socket.write(EMPTY);
    else if (text.endsWith("\r\n\r\n")) socket.write("HTTP/1.1 100 Continue\r\n\r\n");
  });
  const asking = await new Asking(upstreamTo(t, worker), POST).ready();
  await asking.until(() => asking.interim.length > 0);
  asking.stream.end([]);
  assert.deepEqual([await asking.over, asking.interim], ["end", [100]]);
});

test("head and body leave in one write, chunks and trailers as they should", async (t) => {
  const pieces: string[] = [];
  const worker = await rawWorker(t, (socket, text) => {
    pieces.push(text);
    if (text.endsWith("\r\n\r\n")) socket.write(EMPTY);
  });
  const upstream = upstreamTo(t, worker);
  await ask(upstream);
  const asking = await new Asking(upstream, POST).ready();
  asking.stream.write(Buffer.from("hello"));
  asking.stream.end(["x-sum", "1"]);
  assert.equal(await asking.over, "end");
  const [first = "", second = ""] = pieces;
  assert.equal(pieces.length, 2);
  assert.equal(
    second.slice(first.length),
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
  );
});

test("a body that is longer than its content-length is not sent on", async (t) => {
  let text = "";
  const closed = Promise.withResolvers<void>();
  const worker = await rawWorker(t, (socket, all) => {
    text = all;
    socket.once("close", () => closed.resolve());
    socket.once("end", () => socket.end());
  });
  const asking = await new Asking(upstreamTo(t, worker), counted(5)).ready();
  asking.stream.write(Buffer.from("hello"));
  await new Promise((resolve) => setImmediate(resolve));
  asking.stream.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  assert.equal(await asking.over, "bad_request");
  await closed.promise;
  assert.ok(!text.includes("GET /"));
});

test("a body that is shorter than its content-length does not look complete", async (t) => {
  const worker = await rawWorker(t, () => {});
  const asking = await new Asking(upstreamTo(t, worker), counted(5)).ready();
  asking.stream.write(Buffer.from("hell"));
  asking.stream.end([]);
  assert.equal(await asking.over, "bad_request");
});

test("trailers that cannot be written safely are refused", async (t) => {
  const worker = await rawWorker(t, () => {});
  const asking = await new Asking(upstreamTo(t, worker), POST).ready();
  asking.stream.end(["x", "1\r\n\r\nGET / HTTP/1.1"]);
  assert.equal(await asking.over, "bad_request");
});

test("an early reply is complete, and its connection is given up", async (t) => {
  let connections = 0;
  const closed = Promise.withResolvers<void>();
  const worker = await rawWorker(t, (socket, _text, connection) => {
    connections = connection;
    socket.once("end", () => closed.resolve());
    socket.write("HTTP/1.1 413 Too Much\r\ncontent-length: 2\r\n\r\nno");
  });
  const upstream = upstreamTo(t, worker);
  const asking = await new Asking(upstream, POST).ready();
  asking.stream.write(Buffer.from("first"));
  assert.deepEqual([await asking.over, asking.status, asking.body], ["end", 413, "no"]);
  await closed.promise;
  // What still comes of the request goes nowhere.
  asking.stream.write(Buffer.from("second"));
  asking.stream.end([]);
  await ask(upstream);
  assert.equal(connections, 2);
});
