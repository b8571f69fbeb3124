// The HTTP/1.1 client towards workers, on real sockets: what connections are kept, used again, given up.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import { Asking, GET, POST, ask, upstreamTo } from "../../support/http1-client.ts";
import type { SocketEnd } from "../../../edge/socket-end.ts";
import { requestHead } from "../../../edge/upstream/http1/request-head.ts";
import type { WorkerRequest } from "../../../edge/upstream/http1/stream.ts";
import { rawWorker } from "../../support/workers.ts";

const EMPTY = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const ok = (text: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;

/** How many requests without a body a connection has sent. */
function count(text: string): number {
  return text.split("\r\n\r\n").length - 1;
}

function getting(path: string): WorkerRequest {
  return { ...GET, text: requestHead("GET", path, ["host", "a"]) };
}

test("a connection is used again and again", async (t) => {
  const worker = await rawWorker(t, (socket, text, connection) => {
    socket.write(ok(`${connection} ${count(text)}`));
  });
  const upstream = upstreamTo(t, worker);
  const bodies = [await ask(upstream), await ask(upstream), await ask(upstream)].map(({ body }) => body);
  assert.deepEqual(bodies, ["1 1", "1 2", "1 3"]);
});

test("requests at the same time have a connection each, and the last one put back is used next", async (t) => {
  const sockets = new Map<string, Socket>();
  const both = Promise.withResolvers<void>();
  const worker = await rawWorker(t, (socket, text) => {
    const path = text.slice(text.lastIndexOf("GET ")).split(" ")[1] ?? "";
    sockets.set(path, socket);
    if (sockets.size === 2) both.resolve();
    if (path === "/c") socket.write(EMPTY);
  });
  const upstream = upstreamTo(t, worker);
  const [first, second] = ["/a", "/b"].map((path) => new Asking(upstream, getting(path)));
  await both.promise;
  sockets.get("/b")?.write(EMPTY);
  assert.equal(await second?.over, "end");
  sockets.get("/a")?.write(EMPTY);
  assert.equal(await first?.over, "end");
  await ask(upstream, getting("/c"));
  assert.equal(sockets.get("/c"), sockets.get("/a"));
  assert.notEqual(sockets.get("/a"), sockets.get("/b"));
});

for (const [why, reply] of [
  ["connection: close", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"],
  [
    "connection: Close among others",
    "HTTP/1.1 200 OK\r\nconnection: x-a, Close\r\ncontent-length: 0\r\n\r\n",
  ],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n"],
  ["keep-alive: timeout=1", "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 0\r\n\r\n"],
  [
    "keep-alive: max=5, timeout=0",
    "HTTP/1.1 200 OK\r\nkeep-alive: max=5, timeout=0\r\ncontent-length: 0\r\n\r\n",
  ],
  ["bytes behind the reply", `${EMPTY}x`],
  ["a second reply behind the reply", EMPTY + ok("evil")],
  ["a body behind a 204", "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok"],
] as const) {
  test(`${why} ends the reply well, and the connection with it`, async (t) => {
    const ended: Promise<unknown>[] = [];
    const worker = await rawWorker(t, (socket, text, connection) => {
      assert.equal(count(text), 1);
      ended[connection] = once(socket, "close");
      socket.once("end", () => socket.end());
      socket.write(reply);
    });
    const upstream = upstreamTo(t, worker);
    assert.deepEqual(
      [await ask(upstream), await ask(upstream)].map(({ body }) => body),
      ["", ""],
    );
    await Promise.all(ended);
    assert.equal(ended.length, 3);
  });
}

for (const [why, reply, method] of [
  ["HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", "HEAD"],
  ["304", "HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n", "GET"],
  ["chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "GET"],
  ["interim replies", `HTTP/1.1 103 Early Hints\r\n\r\n${EMPTY}`, "GET"],
] as const) {
  test(`a connection is used again after ${why}`, async (t) => {
    let connections = 0;
    const worker = await rawWorker(t, (socket, _text, connection) => {
      connections = connection;
      socket.write(reply);
    });
    const upstream = upstreamTo(t, worker);
    for (let i = 0; i < 3; i++) assert.equal(await (await ask(upstream, { ...GET, method })).over, "end");
    assert.equal(connections, 1);
  });
}

for (const [why, act] of [
  ["ends", (socket: Socket) => void socket.end()],
  ["resets", (socket: Socket) => void socket.resetAndDestroy()],
  ["says something on", (socket: Socket) => void socket.write("HTTP/1.1 408 Request Timeout\r\n\r\n")],
] as const) {
  test(`a connection that the worker ${why} while it is idle is not used again`, async (t) => {
    const sockets: Socket[] = [];
    const worker = await rawWorker(t, (socket, _text, connection) => {
      sockets[connection] = socket;
      socket.write(ok(String(connection)));
    });
    const upstream = upstreamTo(t, worker);
    assert.equal((await ask(upstream)).body, "1");
    const closed = once(sockets[1]!, "close");
    sockets[1]!.once("end", () => sockets[1]!.end());
    act(sockets[1]!);
    await closed;
    assert.equal((await ask(upstream)).body, "2");
  });
}

test("an idle connection is closed before the worker would close it", async (t) => {
  const closed = Promise.withResolvers<number>();
  const started = performance.now();
  const worker = await rawWorker(t, (socket) => {
    socket.once("end", () => closed.resolve(performance.now() - started));
    socket.write("HTTP/1.1 200 OK\r\nkeep-alive: timeout=2\r\ncontent-length: 0\r\n\r\n");
  });
  await ask(upstreamTo(t, worker));
  // The limit is one second, and it is looked every second; the machine may be busy.
  assert.ok((await closed.promise) >= 1000);
});

test("at most 256 idle connections are kept", async (t) => {
  const sockets: Socket[] = [];
  let closed = 0;
  const both = Promise.withResolvers<void>();
  const all = Promise.withResolvers<void>();
  const worker = await rawWorker(t, (socket) => {
    socket.once("end", () => ++closed === 2 && both.resolve());
    if (sockets.push(socket) === 258) all.resolve();
  });
  const upstream = upstreamTo(t, worker);
  const asked = Array.from({ length: 258 }, () => new Asking(upstream, GET));
  await all.promise;
  for (const socket of sockets) socket.write(EMPTY);
  assert.ok((await Promise.all(asked.map(({ over }) => over))).every((end) => end === "end"));
  await both.promise;
  assert.equal(closed, 2);
});

/** A worker that answers the first request on a connection, and does something else with the second. */
function staleWorker(
  t: Parameters<typeof rawWorker>[0],
  second: (socket: Socket) => void,
  seen: string[] = [],
): Promise<string> {
  return rawWorker(t, (socket, text, connection) => {
    seen.push(`${connection}.${count(text)}`);
    if (count(text) > 1) second(socket);
    else socket.write(ok(String(connection)));
  });
}

for (const [why, second] of [
  ["reset", (socket: Socket) => void socket.resetAndDestroy()],
  ["ended", (socket: Socket) => void socket.end()],
] as const) {
  test(`a safe request whose kept connection is ${why} is sent once more, on a new one`, async (t) => {
    const seen: string[] = [];
    const upstream = upstreamTo(t, await staleWorker(t, second, seen));
    await ask(upstream);
    const again = await ask(upstream);
    assert.deepEqual([await again.over, again.body, seen], ["end", "2", ["1.1", "1.2", "2.1"]]);
  });

  test(`a request that must not be repeated fails when its kept connection is ${why}`, async (t) => {
    const seen: string[] = [];
    const upstream = upstreamTo(t, await staleWorker(t, second, seen));
    await ask(upstream);
    const again = await ask(upstream, { ...GET, method: "POST", repeatable: false });
    assert.deepEqual([await again.over, seen], ["upstream_reset", ["1.1", "1.2"]]);
  });
}

test("a request is not repeated once a byte of the reply has come", async (t) => {
  const seen: string[] = [];
  const upstream = upstreamTo(t, await staleWorker(t, (socket) => void socket.end("H"), seen));
  await ask(upstream);
  assert.deepEqual([await (await ask(upstream)).over, seen], ["upstream_reset", ["1.1", "1.2"]]);
});

test("a request is not repeated twice, nor at all on a connection that is new", async (t) => {
  let requests = 0;
  const worker = await rawWorker(t, (socket) => {
    requests++;
    if (requests === 1) socket.write(EMPTY);
    else socket.resetAndDestroy();
  });
  const upstream = upstreamTo(t, worker);
  await ask(upstream);
  assert.deepEqual([await (await ask(upstream)).over, requests], ["upstream_reset", 3]);
  assert.deepEqual([await (await ask(upstream)).over, requests], ["upstream_reset", 4]);
});

test("a worker that refuses connections may be passed over for another one", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  assert.equal(await (await ask(upstreamTo(t, `http://127.0.0.1:${port}`))).over, "upstream_refused");
});

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

const counted = (length: number) =>
  ({
    ...POST,
    text: requestHead("POST", "/", ["host", "a", "content-length", String(length)]),
    body: length,
  }) as const;

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

const MIB = 1024 * 1024;

test("a worker is held back while its reply does not leave, and goes on when it does", async (t) => {
  const body = Buffer.alloc(8 * MIB, "x");
  const worker = await rawWorker(t, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
    socket.write(body);
  });
  const asking = new Asking(upstreamTo(t, worker), GET);
  asking.hold = true;
  // Beyond 128 KiB nothing is read; one read brings at most 64.
  await asking.until(() => asking.bytes > 128 * 1024);
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(asking.bytes <= 192 * 1024, `${asking.bytes} bytes came unasked`);
  asking.hold = false;
  asking.stream.consume(asking.bytes);
  assert.deepEqual([await asking.over, asking.bytes], ["end", body.length]);
});

test("a client is held back while the worker does not read, and goes on when it does", async (t) => {
  const opened = Promise.withResolvers<Socket>();
  let received = 0;
  const server = createServer((socket) => {
    socket.pause();
    opened.resolve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const asking = await new Asking(upstreamTo(t, `http://127.0.0.1:${port}`), counted(32 * MIB)).ready();
  let credit = 128 * 1024;
  let written = 0;
  const chunk = Buffer.alloc(32 * 1024);
  const pump = (): void => {
    while (credit > 0 && written < 32 * MIB) {
      credit -= chunk.length;
      written += chunk.length;
      asking.stream.write(chunk);
    }
    if (written === 32 * MIB) asking.stream.end([]);
  };
  asking.stream.onSent = (bytes) => {
    credit += bytes;
    setImmediate(pump);
  };
  pump();
  const socket = await opened.promise;
  let before = -1;
  while (written !== before) {
    before = written;
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(written < 16 * MIB, `${written} bytes went to a worker that read none`);
  socket.on("data", (bytes) => {
    received += bytes.length;
    if (received > 32 * MIB) socket.end(EMPTY);
  });
  socket.resume();
  assert.equal(await asking.over, "end");
});

test("giving a request up closes its connection", async (t) => {
  const closed = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const worker = await rawWorker(t, (socket) => {
    socket.once("end", () => closed.resolve());
    asked.resolve();
  });
  const asking = new Asking(upstreamTo(t, worker), GET);
  await asked.promise;
  asking.stream.cancel();
  await closed.promise;
  assert.equal(asking.status, 0);
});

test("closing the client ends what is under way", async (t) => {
  const worker = await rawWorker(t, (socket) => void socket.write("HTTP/1.1 200 OK\r\n\r\nhalf"));
  const upstream = upstreamTo(t, worker);
  const asking = new Asking(upstream, GET);
  await asking.until(() => asking.bytes > 0);
  upstream.close();
  assert.equal(await asking.over, "upstream_reset");
});

const UPGRADE = {
  ...GET,
  upgrade: true,
  text: requestHead("GET", "/", ["host", "a", "connection", "Upgrade", "upgrade", "x"]),
};
const SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n";

test("an upgrade hands over the connection and what has come behind the head", async (t) => {
  const worker = await rawWorker(t, (socket, text) => {
    if (text.endsWith("ping")) socket.end("pong");
    else socket.write(`${SWITCHED}early`);
  });
  const given = Promise.withResolvers<{ headers: readonly string[]; socket: Socket; rest: string }>();
  const read = Promise.withResolvers<string>();
  const upgraded = (headers: readonly string[], end: SocketEnd, rest: Buffer): void => {
    end.receive((bytes) => read.resolve(bytes.toString()));
    given.resolve({ headers, socket: end.socket, rest: rest.toString() });
  };
  assert.ok(new Asking(upstreamTo(t, worker), UPGRADE, upgraded));
  const { headers, socket, rest } = await given.promise;
  assert.deepEqual([headers, rest], [["upgrade", "x"], "early"]);
  const ended = once(socket, "end");
  socket.write("ping");
  assert.equal(await read.promise, "pong");
  await ended;
  // Half-open: the worker has ended its direction, and ours is still there.
  assert.ok(socket.writable);
  socket.destroy();
});

test("an upgrade that is not wanted after all closes the connection", async (t) => {
  const closed = Promise.withResolvers<void>();
  const worker = await rawWorker(t, (socket) => {
    socket.once("end", () => closed.resolve());
    socket.write(SWITCHED);
  });
  const asking = new Asking(upstreamTo(t, worker), UPGRADE, () => {
    throw new Error("no");
  });
  assert.equal(await asking.over, "internal");
  await closed.promise;
});

test("an upgrade that the worker refuses is a reply like any other", async (t) => {
  const worker = await rawWorker(t, (socket) => void socket.write(ok("not today")));
  const asking = new Asking(upstreamTo(t, worker), UPGRADE);
  assert.deepEqual([await asking.over, asking.body], ["end", "not today"]);
});

test("a worker on a Unix socket", async (t) => {
  const folder = mkdtempSync("/tmp/oneport-test-");
  const server = createServer((socket) => void socket.on("data", () => socket.write(ok("unix"))));
  await new Promise<void>((resolve) => server.listen(`${folder}/worker`, resolve));
  const upstream = upstreamTo(t, `unix:${folder}/worker`);
  t.after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  assert.equal((await ask(upstream)).body, "unix");
  assert.equal((await ask(upstream)).body, "unix");
});
