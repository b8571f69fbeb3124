// Many calls that wait for a worker with few streams: what the end of one stream costs.
import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { readConfig } from "../../edge/settings/config.ts";
import { address } from "../../edge/settings/parse.ts";
import { Http2Upstream } from "../../edge/upstream/session.ts";
import { http2Worker } from "../support/workers.ts";

const WAITING = 200;

/** Calls a method; resolves when the worker has answered. */
function call(upstream: Http2Upstream, path: string): Promise<void> {
  const pseudo = [":method", "POST", ":scheme", "http", ":authority", "a", ":path", path];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const receiver = { inform() {}, data() {}, end() {}, head: () => resolve(), abort: reject };
  upstream.open(pseudo, [], [], receiver).end([]);
  return promise;
}

test("the end of a stream wakes one of those that wait for it, in turn", { timeout: 10_000 }, async (t) => {
  const held = Promise.withResolvers<ServerHttp2Stream>();
  const paths: string[] = [];
  const worker = await http2Worker(
    t,
    (stream, { ":path": path }) => {
      if (path === "/held") return held.resolve(stream);
      paths.push(path ?? "");
      stream.respond({ ":status": 200 }, { endStream: true });
    },
    { maxConcurrentStreams: 1 },
  );
  const upstream = new Http2Upstream(address("h2c")(worker), readConfig({ LIMIT_UPSTREAM_CONNECTIONS: "1" }));
  t.after(() => upstream.close());
  await upstream.ready();
  // With its reply the worker's SETTINGS have come.
  await call(upstream, "/first");
  await upstream.ready();
  const first = call(upstream, "/held");

  const { signal } = new AbortController();
  const queued = t.mock.method(signal, "addEventListener");
  const calls = Array.from({ length: WAITING }, async (_, i) => {
    do await upstream.ready(signal);
    while (!upstream.isReady);
    return call(upstream, `/${i}`);
  });
  (await held.promise).respond({ ":status": 200 }, { endStream: true });
  await Promise.all([first, ...calls]);

  assert.deepEqual(
    paths.slice(1),
    Array.from({ length: WAITING }, (_, i) => `/${i}`),
  );
  assert.equal(queued.mock.callCount(), WAITING);
});
