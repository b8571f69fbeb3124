// Both ways of an HTTP/1.1 request to its worker, by http2-proxy and straight: the client sees the same.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:http";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { RawClient } from "../support/clients.ts";
import type { TestEdge } from "../support/edge.ts";
import { testEdge } from "../support/edge.ts";
import { httpWorker, rawWorker, readAll } from "../support/workers.ts";

for (const carrier of ["http2-proxy", "direct"]) {
  const edgeFor = (t: TestContext, worker: string): Promise<TestEdge> =>
    testEdge(t, { HTTP_UPSTREAMS: worker, HTTP1_CARRIER: carrier });

  test(`${carrier}: a body in chunks and its trailers reach the worker, and come back`, async (t) => {
    const worker = await httpWorker(t, async (req, res) => {
      const body = await readAll(req);
      res.writeHead(200, { trailer: "x-sum" });
      res.write(body);
      res.addTrailers({ "x-sum": String(req.trailers["x-sum"]) });
      res.end();
    });
    const { port } = await edgeFor(t, worker);
    const client = new RawClient(t, port);
    client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n4\r\nping\r\n0\r\nx-sum: 9\r\n\r\n",
    );
    assert.match(await client.closed, /\r\n4\r\nping\r\n0\r\nx-sum: 9\r\n\r\n$/);
  });

  test(`${carrier}: trailers that only the edge may set, or that end at it, do not reach the worker`, async (t) => {
    const worker = await httpWorker(t, async (req, res) => {
      await readAll(req);
      res.end(JSON.stringify(req.rawTrailers));
    });
    const { port } = await edgeFor(t, worker);
    const client = new RawClient(t, port);
    client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-sum: 9\r\nx-auth-email: a@b.c\r\nauthorization: Bearer x\r\nconnection: close\r\nx_forwarded_for: 192.0.2.1\r\n\r\n",
    );
    assert.match(await client.closed, /\["x-sum","9"\]$/);
  });

  test(`${carrier}: five requests on one connection, one after the other`, async (t) => {
    const worker = await httpWorker(t, (req, res) => void res.end(req.url));
    const { port } = await edgeFor(t, worker);
    const client = new RawClient(t, port);
    for (let i = 0; i < 5; i++) {
      client.send(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await client.until(new RegExp(`/${i}$`));
    }
  });

  test(`${carrier}: a large upload and its early refusal`, async (t) => {
    const worker = await httpWorker(
      t,
      (_req, res) => void res.writeHead(413, { "content-length": 2 }).end("no"),
    );
    const { port } = await edgeFor(t, worker);
    const client = new RawClient(t, port);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\npart");
    await client.until(/HTTP\/1\.1 413 [\s\S]*no$/);
  });

  test(`${carrier}: a reply that is cut is no reply that ends`, async (t) => {
    const worker = await rawWorker(t, (socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", () => socket.destroy());
    });
    const { port } = await edgeFor(t, worker);
    const asked = request({ port, path: "/", agent: false }).end();
    const [reply] = (await once(asked, "response")) as [IncomingMessage];
    await assert.rejects(async () => {
      for await (const _ of reply) assert.ok(_);
    });
  });

  test(`${carrier}: a worker that talks nonsense is a 502`, async (t) => {
    const worker = await rawWorker(t, (socket) => void socket.end("nonsense\r\n\r\n"));
    const { url } = await edgeFor(t, worker);
    assert.equal((await fetch(url)).status, 502);
  });

  test(`${carrier}: 100 MB come down whole`, async (t) => {
    const worker = await httpWorker(t, (_req, res) => void res.end(Buffer.alloc(100_000_000)));
    const { port } = await edgeFor(t, worker);
    const asked = request({ port, path: "/", agent: false }).end();
    const [reply] = (await once(asked, "response")) as [IncomingMessage];
    let bytes = 0;
    for await (const chunk of reply as AsyncIterable<Buffer>) bytes += chunk.length;
    assert.equal(bytes, 100_000_000);
  });

  test(`${carrier}: forty uploads of a megabyte, eight at a time, on kept connections`, async (t) => {
    const worker = await httpWorker(t, async (req, res) => {
      res.end(String((await readAll(req)).length));
    });
    const { port } = await edgeFor(t, worker);
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    t.after(() => agent.destroy());
    const upload = async (): Promise<string> => {
      const asked = request({
        port,
        method: "POST",
        path: "/",
        agent,
        headers: { "content-length": 1_048_576 },
      });
      asked.end(Buffer.alloc(1_048_576));
      const [reply] = (await once(asked, "response")) as [IncomingMessage];
      return (await readAll(reply)).toString();
    };
    const counted = await Promise.all(Array.from({ length: 40 }, upload));
    assert.deepEqual(new Set(counted), new Set(["1048576"]));
  });
}
