// LIMIT_REPLY_SECONDS: a worker that has a request and does not begin a reply loses it; one that works on it does not.
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { RawClient, h2, http2Client } from "../../support/clients.ts";
import type { TestEdge } from "../../support/edge.ts";
import { testEdge } from "../../support/edge.ts";
import { httpWorker, rawWorker } from "../../support/workers.ts";

const LIMIT = { LIMIT_REPLY_SECONDS: "1" };

/** An edge in front of a worker that reads and says nothing, or does not even read. */
async function hanging(
  t: TestContext,
  onData: (socket: Socket) => void = () => {},
  env: Record<string, string> = {},
): Promise<TestEdge> {
  return testEdge(t, { HTTP_UPSTREAMS: await rawWorker(t, onData), ...LIMIT, ...env });
}

// Each waits for its second: together.
describe("LIMIT_REPLY_SECONDS", { concurrency: true }, () => {
  for (const carrier of ["http2-proxy", "direct"]) {
    test(`HTTP/1.1, ${carrier}: 504, and the connection to the worker is closed`, async (t) => {
      const closed = Promise.withResolvers<void>();
      const { url } = await hanging(
        t,
        (socket) => {
          socket.once("end", () => socket.end());
          socket.once("close", closed.resolve);
        },
        {
          HTTP1_CARRIER: carrier,
        },
      );
      const reply = await fetch(url);
      assert.equal(reply.status, 504);
      const { error, message } = (await reply.json()) as { error: string; message: string };
      assert.deepEqual([error, message], ["deadline", "the worker has not begun a reply within 1 s"]);
      await closed.promise;
    });
  }

  test("HTTP/2: 504, and other requests go on", async (t) => {
    const worker = await httpWorker(t, (req, res) => {
      if (req.url === "/ok") res.end("ok");
    });
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, ...LIMIT });
    const session = http2Client(t, port);
    const hung = h2(session, { ":path": "/hangs" });
    assert.equal((await h2(session, { ":path": "/ok" })).headers[":status"], 200);
    assert.equal((await hung).headers[":status"], 504);
    assert.equal((await h2(session, { ":path": "/ok" })).headers[":status"], 200);
  });

  test("an interim reply is no reply", async (t) => {
    const { url } = await hanging(t, (socket) => void socket.write("HTTP/1.1 103 Early Hints\r\n\r\n"));
    assert.equal((await fetch(url)).status, 504);
  });

  test("a worker that does not read the body loses the request", async (t) => {
    const { url } = await hanging(t, (socket) => void socket.pause());
    const reply = await fetch(url, { method: "POST", body: Buffer.alloc(64 * 1024 * 1024) }).catch(
      (thrown: Error) => thrown,
    );
    // A client that is still sending may notice the end of its connection before it reads the reply.
    assert.ok(reply instanceof Error || reply.status === 504);
  });

  test("a body that comes slowly takes as long as it takes", async (t) => {
    const worker = await httpWorker(t, (req, res) => {
      let bytes = 0;
      req.on("data", (chunk: Buffer) => (bytes += chunk.length));
      req.on("end", () => res.end(String(bytes)));
    });
    const { port } = await testEdge(t, { HTTP_UPSTREAMS: worker, ...LIMIT });
    const client = new RawClient(t, port);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8\r\n\r\n");
    for (let i = 0; i < 8; i++) {
      // The time is what is tested: longer than the limit in all, shorter from byte to byte.
      await sleep(250);
      client.send("x");
    }
    assert.match(await client.closed, /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n8$/);
  });

  test("a reply that has begun may last, with silence in between", async (t) => {
    const worker = await httpWorker(t, (_req, res) => {
      res.write("begun ");
      setTimeout(() => res.end("ended"), 2200);
    });
    const { url } = await testEdge(t, { HTTP_UPSTREAMS: worker, ...LIMIT });
    assert.equal(await (await fetch(url)).text(), "begun ended");
  });

  test("a worker that hangs is left out for another one, once it has failed often enough", async (t) => {
    const hangs = await rawWorker(t, () => {});
    const works = await httpWorker(t, (_req, res) => void res.end("ok"));
    const { url, logged } = await testEdge(t, {
      HTTP_UPSTREAMS: `${hangs},${works}`,
      EJECT_FAILURES: "2",
      ...LIMIT,
    });
    const first = await Promise.all([1, 2].map(() => fetch(url)));
    assert.deepEqual(first.map(({ status }) => status).sort(), [200, 504]);
    const ejected = logged(({ message }) => message === "worker ejected");
    const second = await Promise.all([1, 2].map(() => fetch(url)));
    assert.deepEqual(second.map(({ status }) => status).sort(), [200, 504]);
    assert.equal((await ejected)["worker"], hangs);
    for (let i = 0; i < 4; i++) assert.equal((await fetch(url)).status, 200);
  });
});
