// A metadata server that comes late, goes, and comes back, in the time that this really takes.
import assert from "node:assert/strict";
import type { IncomingHttpHeaders } from "node:http";
import { test } from "node:test";
import { freePort } from "../support/family.ts";
import { testEdge } from "../support/edge.ts";
import { MetadataServer, claims } from "../support/metadata.ts";
import { httpsWorker, trust } from "../support/tls.ts";

const { good } = trust();

test("no request goes without a token, and none fails while there is one, whatever the metadata server does", async (t) => {
  const server = new MetadataServer();
  server.lifeMs = 20_000;
  const host = await server.start(t);
  // Nobody listens there at first.
  process.env["GCE_METADATA_HOST"] = `127.0.0.1:${await freePort()}`;
  setTimeout(() => (process.env["GCE_METADATA_HOST"] = host), 5000);
  const seen = new Set<string | undefined>();
  const worker = await httpsWorker(t, good, (req, res) => {
    seen.add(String((req.headers as IncomingHttpHeaders)["x-serverless-authorization"]));
    res.end("ok");
  });
  const { url, logged } = await testEdge(t, {
    HTTP_UPSTREAMS: `https://localhost:${worker.port}`,
    UPSTREAM_AUTH: "google",
    STARTUP_SECONDS: "60",
    LOG_LEVEL: "warn",
  });
  const outcomes: number[] = [];
  const asking = setInterval(() => {
    void fetch(url).then(({ status }) => outcomes.push(status));
  }, 50);
  t.after(() => clearInterval(asking));
  // Two lives of a token with it, then more than one without it, then with it again.
  await server.untilAsked(3);
  assert.deepEqual(new Set(outcomes), new Set([200]));
  process.env["GCE_METADATA_HOST"] = `127.0.0.1:${await freePort()}`;
  while (!outcomes.includes(503)) await new Promise((resolve) => setTimeout(resolve, 100));
  process.env["GCE_METADATA_HOST"] = host;
  const again = outcomes.length;
  while (!outcomes.slice(again).includes(200)) await new Promise((resolve) => setTimeout(resolve, 100));
  clearInterval(asking);
  await logged((line) => line["message"] === "ID token for the worker again");
  assert.deepEqual(new Set(outcomes), new Set([200, 503]));
  assert.ok(seen.size >= 4);
  for (const field of seen) assert.equal(claims(field).aud, `https://localhost:${worker.port}`);
});
