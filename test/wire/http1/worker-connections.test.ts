// The HTTP/1.1 client towards workers, on real sockets: what connections are kept, used again, given up.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import { replyFraming } from "../../../edge/upstream/http1/framing.ts";
import { requestHead } from "../../../edge/upstream/http1/request-head.ts";
import type { WorkerRequest } from "../../../edge/upstream/http1/stream.ts";
import { Asking, GET, ask, upstreamTo } from "../../support/http1-client.ts";
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
  ["HEAD", "HTTP/1.1 200 OK\r\n\r\n", "HEAD"],
  ["HEAD for what is empty", EMPTY, "HEAD"],
  ["304", "HTTP/1.1 304 Not Modified\r\n\r\n", "GET"],
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

const EVIL = ok("evil");
for (const [why, method, reply] of [
  ["a reply to HEAD", "HEAD", `HTTP/1.1 200 OK\r\ncontent-length: ${EVIL.length}\r\n\r\n`],
  ["a chunked reply to HEAD", "HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],
  ["a 204", "GET", `HTTP/1.1 204 No Content\r\ncontent-length: ${EVIL.length}\r\n\r\n`],
  ["a 304", "GET", `HTTP/1.1 304 Not Modified\r\ncontent-length: ${EVIL.length}\r\n\r\n`],
] as const) {
  test(`a body that comes late behind ${why} is not the next request's reply`, async (t) => {
    const worker = await rawWorker(t, (socket, text) => {
      if (text.includes(" /next ")) socket.write(count(text) === 1 ? ok("mine") : EVIL);
      else socket.write(reply);
    });
    const upstream = upstreamTo(t, worker);
    await ask(upstream, { ...GET, method, text: requestHead(method, "/", ["host", "a"]) });
    assert.equal((await ask(upstream, getting("/next"))).body, "mine");
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

test("an idle connection is kept for as long as the worker promises", async (t) => {
  const both = Promise.withResolvers<void>();
  const sockets = new Map<string, Socket>();
  const worker = await rawWorker(t, (socket, text) => {
    const path = / (\S+) HTTP/.exec(text.split("\r\n\r\n").at(-2) ?? "")?.[1] ?? "";
    if (path === "/again")
      return void socket.write(ok(socket === sockets.get("/promised") ? "the same" : "new"));
    sockets.set(path, socket);
    if (sockets.size === 2) both.resolve();
  });
  const upstream = upstreamTo(t, worker);
  const asked = ["/plain", "/promised"].map((path) => new Asking(upstream, getting(path)));
  await both.promise;
  const closed = once(sockets.get("/plain")!, "end");
  sockets.get("/plain")!.write(EMPTY);
  sockets.get("/promised")!.write("HTTP/1.1 200 OK\r\nkeep-alive: timeout=65\r\ncontent-length: 0\r\n\r\n");
  for (const { over } of asked) assert.equal(await over, "end");
  // Nothing was said of this one, so it is taken for one that is closed after 5 s.
  await closed;
  assert.equal((await ask(upstream, getting("/again"))).body, "the same");
});

for (const [fields, idleMs] of [
  [[], 4000],
  [["keep-alive", "max=100"], 4000],
  [["keep-alive", "timeout=5"], 4000],
  [["keep-alive", "timeout=65"], 60_000],
  [["keep-alive", "max=9, timeout=20"], 19_000],
  [["keep-alive", "timeout=30", "keep-alive", "timeout=3"], 2000],
  [["keep-alive", "timeout=999999999"], 60_000],
  [["keep-alive", "timeout=0"], 0],
  [["keep-alive", "timeout=65", "connection", "close"], 0],
] as const) {
  test(`a reply with ${fields.join(" ") || "no keep-alive"} leaves its connection open for ${idleMs} ms`, () => {
    assert.equal(replyFraming(1, 200, ["content-length", "0", ...fields], "GET").idleMs, idleMs);
    assert.equal(replyFraming(0, 200, ["content-length", "0", ...fields], "GET").idleMs, 0);
  });
}

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
