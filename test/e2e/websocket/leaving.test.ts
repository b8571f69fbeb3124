// When the edge itself ends WebSockets: all of them, spread over the drain time, and those that have lasted long enough.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocket } from "ws";
import { testEdge } from "../../support/edge.ts";
import { webSocketWorker } from "../../support/websocket-worker.ts";

/** An open WebSocket; `closed` resolves with the code, the reason and when that was. */
async function open(port: number): Promise<{ closed: Promise<[code: number, reason: string, at: number]> }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  const closed = new Promise<[number, string, number]>((resolve) => {
    socket.once("close", (code, reason) => resolve([code, reason.toString(), performance.now()]));
  });
  await once(socket, "open");
  return { closed };
}

test("a drain closes WebSockets one after the other over half of its time, each with 1001", async (t) => {
  const worker = await webSocketWorker(t, "hello");
  const { port, edge } = await testEdge(t, { WS_UPSTREAMS: worker, DRAIN_SECONDS: "2" });
  const all = await Promise.all(Array.from({ length: 10 }, () => open(port)));
  const began = performance.now();
  const drained = edge.drain();
  const ends = await Promise.all(all.map(({ closed }) => closed));
  assert.deepEqual(
    new Set(ends.map(([code, reason]) => `${code} ${reason}`)),
    new Set(["1001 the server is shutting down"]),
  );
  const at = ends.map(([, , time]) => time - began).toSorted((a, b) => a - b);
  assert.ok(at[9]! - at[0]! > 600, `closed after ${at.map(Math.round).join(", ")} ms`);
  await drained;
});

test("a WebSocket that has lasted LIMIT_TUNNEL_SECONDS is closed with 1001, and the next one is served", async (t) => {
  const worker = await webSocketWorker(t, "hello");
  const { port } = await testEdge(t, { WS_UPSTREAMS: worker, LIMIT_TUNNEL_SECONDS: "1" });
  const began = performance.now();
  const [code, reason, at] = await (await open(port)).closed;
  assert.deepEqual([code, reason], [1001, "the connection has lasted as long as it may"]);
  assert.ok(at - began >= 900, `after ${at - began} ms`);
  const next = new WebSocket(`ws://127.0.0.1:${port}/`);
  assert.equal(String((await once(next, "message"))[0]), "hello");
  next.terminate();
});
