// Upstreams that are exchanged while the edge runs: by PUT on the admin port, and by SIGHUP.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { WebSocket } from "ws";
import { settle, h2, http2Client } from "../support/clients.ts";
import { freePort } from "../support/family.ts";
import type { Put } from "../support/swapping.ts";
import { message, named, swapUnderLoad, swappable, text } from "../support/swapping.ts";
import { webSocketWorker } from "../support/websocket-worker.ts";
import { http2Worker, httpWorker } from "../support/workers.ts";
import { UNTROUBLED } from "../support/views.ts";

test("new requests go to the new workers, and the answer says what was done", async (t) => {
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((name) => named(t, name)));
  const { url, put, admin } = await swappable(t, { HTTP_UPSTREAMS: `${a},${b}` });
  assert.deepEqual(new Set([await text(url), await text(url)]), new Set(["a", "b"]));
  assert.deepEqual(await put("http", `${b}, ${c}`), [200, { added: [c], removed: [a], kept: [b] }]);
  assert.deepEqual(new Set([await text(url), await text(url)]), new Set(["b", "c"]));
  assert.deepEqual(await put("http", JSON.stringify([c])), [200, { added: [], removed: [b], kept: [c] }]);
  const shown = await (await fetch(`http://127.0.0.1:${admin}/upstreams/http`)).json();
  assert.deepEqual(shown, [{ address: c, healthy: true, active: 0, ...UNTROUBLED }]);
});

test("what runs on a worker that was taken out finishes there", async (t) => {
  const asked = Promise.withResolvers<ServerResponse>();
  const old = await httpWorker(t, (_req, res) => asked.resolve(res));
  const fresh = await named(t, "new");
  const { url, put } = await swappable(t, { HTTP_UPSTREAMS: old });
  const running = text(url);
  const reply = await asked.promise;
  await put("http", fresh);
  assert.equal(await text(url), "new");
  const closed = once(reply.socket!, "close");
  reply.end("old");
  assert.equal(await running, "old");
  await closed;
});

test("a gRPC stream goes on where it began, and the next call goes to the new worker", async (t) => {
  const asked = Promise.withResolvers<ServerHttp2Stream>();
  const [old, fresh] = await Promise.all([
    http2Worker(t, (stream) => asked.resolve(stream)),
    http2Worker(t, (stream) => {
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "x-worker": "new", "grpc-status": "0" },
        { endStream: true },
      );
    }),
  ]);
  const { port, put } = await swappable(t, { GRPC_UPSTREAMS: old });
  const session = http2Client(t, port);
  const head = {
    ":method": "POST",
    ":path": "/Echo/Count",
    "content-type": "application/grpc",
    te: "trailers",
  };
  const running = settle(session.request(head));
  const stream = await asked.promise;
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.write("one");
  await put("grpc", fresh);
  assert.equal((await h2(session, head, "")).headers["x-worker"], "new");
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end("two");
  const reply = await running;
  assert.deepEqual([reply.body.toString(), reply.trailers["grpc-status"]], ["onetwo", "0"]);
});

test("a WebSocket stays with its worker, and is closed with 1012 when the drain time is over", async (t) => {
  const [old, fresh] = [await webSocketWorker(t, "old"), await webSocketWorker(t, "new")];
  const { port, put } = await swappable(t, { WS_UPSTREAMS: old, DRAIN_SECONDS: "1" });
  const first = new WebSocket(`ws://127.0.0.1:${port}/`);
  const closed = once(first, "close");
  assert.equal(await message(first), "old");
  await put("ws", fresh);
  const second = new WebSocket(`ws://127.0.0.1:${port}/`);
  assert.equal(await message(second), "new");
  const echo = message(first);
  first.send("still there");
  assert.equal(await echo, "still there");
  const [code, reason] = (await closed) as [number, Buffer];
  assert.deepEqual([code, reason.toString()], [1012, "the worker is being replaced"]);
  const back = message(second);
  second.send("goes on");
  assert.equal(await back, "goes on");
  second.terminate();
});

test("what cannot be is refused in words, and nothing is changed", async (t) => {
  const a = await named(t, "a");
  const { url, put, admin } = await swappable(t, { HTTP_UPSTREAMS: a });
  const nobody = `http://127.0.0.1:${await freePort()}`;
  const refused: readonly (readonly [Parameters<Put>, status: number, says: RegExp])[] = [
    [
      ["http", "ftp://a:1"],
      400,
      /http upstreams: must be http:\/\/host:port or https:\/\/host or unix:\/path, not "ftp:\/\/a:1"/,
    ],
    [["http", ""], 400, /names no upstream/],
    [["http", `${a},${a}`], 400, /names http:.* twice/],
    [["http", "[1]"], 400, /the body must be a list/],
    [["http", '["http'], 400, /the body must be a list/],
    [["http", a, { query: "?check=perhaps" }], 400, /check must be on or off/],
    [["http", nobody], 409, /accepted no connection; nothing was changed/],
    [["http", `${a},${nobody}`], 409, /accepted no connection/],
    [["http", a, { host: "evil.example" }], 403, /forbidden/],
    [["http", " ".repeat(70_000)], 413, /too_large/],
    [["smtp", a], 405, /method_not_allowed/],
  ];
  for (const [call, status, says] of refused) {
    const [got, answer] = await put(...call);
    assert.equal(got, status, JSON.stringify(call));
    assert.match(JSON.stringify(answer).replaceAll('\\"', '"'), says);
    assert.equal(await text(url), "a");
  }
  assert.equal((await fetch(`http://127.0.0.1:${admin}/upstreams/smtp`)).status, 404);
});

test("with check=off a worker may come later", async (t) => {
  const a = await named(t, "a");
  const { url, put } = await swappable(t, { HTTP_UPSTREAMS: a });
  const nobody = `http://127.0.0.1:${await freePort()}`;
  assert.equal((await put("http", nobody, { query: "?check=off" }))[0], 200);
  assert.equal((await fetch(url)).status, 503);
  await put("http", a);
  assert.equal(await text(url), "a");
});

test("ten exchanges of each protocol under load cost no request", async (t) => {
  await swapUnderLoad(t, 300, 10);
});
