import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { before, test } from "node:test";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import { testEdge } from "../../support/edge.ts";
import type { Stack } from "../../support/stack.ts";
import { startStack } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { httpWorker } from "../../support/workers.ts";

let stack: Stack;
const suite = suiteScope();
before(async () => {
  stack = await startStack(suite);
});

test("server-sent events come one by one, not at the end", async (t) => {
  const session = http2Client(t, stack.port);
  const stream = session.request({ ":path": "/events?count=100&interval_ms=100" });
  const started = performance.now();
  await once(stream, "response");
  const [chunk] = (await once(stream, "data")) as [Buffer];
  assert.match(chunk.toString(), /^id: 1\ndata: /);
  assert.ok(performance.now() - started < 5000);
  stream.close();
});

test("a reply's head comes before its first byte", async (t) => {
  const held: import("node:http").ServerResponse[] = [];
  const worker = await httpWorker(t, (_req, res) => {
    held.push(res);
    res.flushHeaders();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 200 OK/);
  held[0]?.end();
});

const MIB = 1024 * 1024;

test("64 MiB up and down arrive whole, over both versions", async (t) => {
  const body = randomBytes(64 * MIB);
  const sha256 = createHash("sha256").update(body).digest("hex");
  const session = http2Client(t, stack.port);
  const up = await h2(session, { ":method": "PUT", ":path": "/upload" }, body);
  assert.deepEqual(JSON.parse(up.body.toString()), { bytes: body.length, sha256 });
  const down = await h2(session, { ":path": `/download?bytes=${64 * MIB}` });
  assert.deepEqual([down.body.length, down.code], [64 * MIB, 0]);
  const first = await fetch(`${stack.url}/upload`, { method: "POST", body });
  assert.deepEqual(await first.json(), { bytes: body.length, sha256 });
  const second = await fetch(`${stack.url}/download?bytes=${64 * MIB}`);
  assert.equal((await second.arrayBuffer()).byteLength, 64 * MIB);
});

test("a client that reads slowly holds the worker back: memory stays flat", async (t) => {
  let sent = 0;
  const worker = await httpWorker(t, (_req, res) => {
    const chunk = Buffer.alloc(64 * 1024);
    const pump = (): void => {
      while (!res.destroyed && sent < 256 * MIB) {
        sent += chunk.length;
        if (!res.write(chunk)) return void res.once("drain", pump);
      }
      res.end();
    };
    pump();
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const stream = http2Client(t, port).request({ ":path": "/" });
  await once(stream, "response");
  let before = -1;
  while (sent !== before) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.ok(sent < 16 * MIB, `the worker could send ${sent} bytes to a client that read none`);
  stream.close();
});

test("a worker that reads slowly holds the client back", async (t) => {
  const worker = await httpWorker(t, (req) => void req.pause());
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const client = new RawClient(t, port);
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${256 * MIB}\r\n\r\n`);
  const chunk = Buffer.alloc(MIB);
  let taken = 0;
  for (; taken < 256 * MIB; taken += MIB) {
    if (client.socket.write(chunk)) continue;
    const drained = await Promise.race([
      once(client.socket, "drain"),
      new Promise((resolve) => setTimeout(resolve, 500, "stuck")),
    ]);
    if (drained === "stuck") break;
  }
  assert.ok(taken < 32 * MIB, `${taken} bytes went to a worker that read none`);
});

test("the worker is told when the client leaves", async (t) => {
  const gone = Promise.withResolvers<void>();
  const worker = await httpWorker(t, (_req, res) => {
    res.once("close", () => gone.resolve());
    res.write("first");
  });
  const { port, logged } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  const stream = http2Client(t, port).request({ ":path": "/" });
  await once(stream, "data");
  stream.close(8);
  await gone.promise;
  await logged((line) => line["outcome"] === "client_gone");
});

test("an upload that breaks off does not look complete to the worker", async (t) => {
  const outcome = Promise.withResolvers<string>();
  const begun = Promise.withResolvers<void>();
  const worker = await httpWorker(t, (req) => {
    req.on("end", () => outcome.resolve("complete"));
    req.on("error", () => outcome.resolve("broken off"));
    req.on("data", () => begun.resolve());
  });
  const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker });
  // Without waitForTrailers Node's client itself ends the stream cleanly before it resets it.
  const stream = http2Client(t, port).request({ ":method": "POST", ":path": "/" }, { waitForTrailers: true });
  stream.on("error", () => {});
  stream.write("part");
  await begun.promise;
  stream.close(8);
  assert.equal(await outcome.promise, "broken off");
});
