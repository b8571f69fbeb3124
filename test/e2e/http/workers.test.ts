import assert from "node:assert/strict";
import { test } from "node:test";
import { h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import { httpWorker } from "../../support/workers.ts";

test("two workers share the requests", async (t) => {
  const hits = [0, 0];
  const workers = await Promise.all(
    [0, 1].map((index) =>
      httpWorker(t, (_req, res) => {
        hits[index]!++;
        res.end();
      }),
    ),
  );
  const { url } = await testEdge(t, { HTTP_UPSTREAMS: workers.join(",") });
  for (let i = 0; i < 20; i++) await (await fetch(url)).text();
  assert.deepEqual(hits, [10, 10]);
});

test("a worker on a Unix socket", async (t) => {
  const { createServer } = await import("node:http");
  const { mkdtempSync, rmSync } = await import("node:fs");
  const folder = mkdtempSync("/tmp/oneport-test-");
  const server = createServer((req, res) => res.end(`${req.method} ${req.url} ${req.headers.host}`));
  await new Promise<void>((resolve) => server.listen(`${folder}/worker`, resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(folder, { recursive: true });
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: `unix:${folder}/worker` });
  const reply = await h2(http2Client(t, port), { ":path": "/over/unix", ":authority": "api.example.com" });
  assert.equal(reply.body.toString(), "GET /over/unix api.example.com");
});
