// The HTTP/1.1 client towards workers, on real sockets: who is held back, what is given up, upgrades.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import type { SocketEnd } from "../../../edge/port/socket-end.ts";
import { requestHead } from "../../../edge/upstream/http1/request-head.ts";
import { Asking, GET, ask, counted, upstreamTo } from "../../support/http1-client.ts";
import { rawWorker } from "../../support/workers.ts";

const EMPTY = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const ok = (text: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;

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
  asking.stream.source = {
    consume(bytes) {
      credit += bytes;
      setImmediate(pump);
    },
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
