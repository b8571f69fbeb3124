// What the admin port answers to targets that name no page.
import assert from "node:assert/strict";
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
