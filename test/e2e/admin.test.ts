// What the admin port answers to targets that name no page, and who may ask: what runs beside the edge, and no page in a browser there.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { get } from "node:http";
import { test } from "node:test";
import { RawClient } from "../support/clients.ts";
import { testEdge } from "../support/edge.ts";
import { freePort } from "../support/family.ts";
import { httpWorker } from "../support/workers.ts";

test("a target that names no page is a 404 with JSON, whatever its form", async (t) => {
  const admin = await freePort();
  const worker = await httpWorker(t, (_req, res) => void res.end());
  await testEdge(t, { HTTP_UPSTREAMS: worker, ADMIN_PORT: String(admin) });
  const ask = async (target: string): Promise<string> => {
    const client = new RawClient(t, admin);
    client.send(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    return client.closed;
  };
  for (const target of [
    "//",
    "///",
    "//livez",
    "//other/livez",
    "//[",
    "/%",
    "*",
    "http://",
    "http://a:99999/",
    "/x",
  ])
    assert.match(await ask(target), /^HTTP\/1\.1 404 [^]*\{"error":"not_found","paths":\["\/livez",/, target);
  for (const target of ["/livez", "/livez?x=//", "http://localhost/livez"])
    assert.match(await ask(target), /^HTTP\/1\.1 200 [^]*\{"phase":"ready"\}/, target);
});

const PAGES = ["/metrics", "/upstreams", "/upstreams/http", "/nothing"];

test("under a name that is not the machine's own, the admin port says that the edge is there, and no more", async (t) => {
  const worker = await httpWorker(t, (_req, res) => void res.end());
  const port = await freePort();
  await testEdge(t, { HTTP_UPSTREAMS: worker, ADMIN_PORT: String(port) });
  const status = async (path: string, host: string): Promise<unknown> => {
    const [reply] = (await once(get({ port, path, headers: { host } }), "response")) as [IncomingMessage];
    reply.resume();
    return reply.statusCode;
  };
  for (const path of PAGES) {
    for (const host of ["rebound.example", "127.0.0.1.example", `localhost.example:${port}`])
      assert.equal(await status(path, host), 403, `${path} at ${host}`);
    for (const host of ["localhost", `localhost:${port}`, `127.0.0.1:${port}`, "[::1]"])
      assert.equal(await status(path, host), path === "/nothing" ? 404 : 200, `${path} at ${host}`);
  }
  for (const path of ["/livez", "/readyz"]) assert.equal(await status(path, "10.0.0.7:9090"), 200);
});
